use http::HeaderValue;

use super::*;
use crate::db::tests::database;

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn basic(password: &str) -> HeaderMap {
    headers(&[&format!("Basic {}", STANDARD.encode(format!("anybody:{password}")))])
}

fn bearer(token: &str) -> HeaderMap {
    headers(&[&format!("Bearer {token}")])
}

const PROXY: Service = Service::DependencyProxy;

struct Cell {
    _folder: tempfile::TempDir,
    db: Db,
    auth: Authenticator,
}

async fn cell(id: u64) -> Cell {
    let (folder, db) = database().await;
    let key = folder.path().join("key.pem");
    let text = format!(
        "[cell]\nid = {id}\n[http]\nlisten = \"127.0.0.1:0\"\nexternal_url = \"http://x\"\n\
         [database]\nurl = \"sqlite:x\"\n[store]\nurl = \"memory:\"\nspool = \"x\"\n\
         [auth]\nissuer = \"shared\"\nsigning_key = \"{}\"\n",
        key.display()
    );
    let auth = Authenticator::new(&Config::parse(&text).unwrap(), db.clone()).unwrap();
    Cell { _folder: folder, db, auth }
}

async fn user_with_token(cell: &Cell) -> SecretString {
    let user = cell.db.create_user("ann").await.unwrap();
    let token = personal::mint(cell.auth.cell, user).unwrap();
    cell.db.add_token(token.expose_secret(), user, "laptop").await.unwrap();
    token
}

#[tokio::test]
async fn a_jwt_stands_for_the_user_who_logged_in() {
    let cell = cell(1).await;
    let token = user_with_token(&cell).await;
    let ann = cell.auth.log_in(&basic(token.expose_secret())).await.unwrap();
    let issued = cell.auth.issue(PROXY, Some(&ann), Vec::new()).unwrap();
    assert_eq!(cell.auth.identify(&bearer(issued.token.expose_secret())).await.unwrap(), ann);
    assert_eq!(cell.auth.identify(&basic(token.expose_secret())).await.unwrap(), ann);
}

#[tokio::test]
async fn a_wrong_password_and_a_foreign_token_are_told_apart() {
    let cell = cell(1).await;
    let elsewhere = personal::mint(2, UserId(1)).unwrap();
    let unknown_here = personal::mint(1, UserId(1)).unwrap();
    let seen = cell.auth.log_in(&basic(elsewhere.expose_secret())).await;
    assert!(matches!(seen, Err(Error::ForeignCredential)));
    for password in ["", "hunter2", unknown_here.expose_secret()] {
        let seen = cell.auth.log_in(&basic(password)).await;
        assert!(matches!(seen, Err(Error::WrongCredential)));
    }
}

#[tokio::test]
async fn a_jwt_of_another_cell_is_as_if_there_were_none() {
    let (here, there) = (cell(1).await, cell(2).await);
    let identity = Identity { user: UserId(1), username: "ann".into() };
    let issued = there.auth.issue(PROXY, Some(&identity), Vec::new()).unwrap();
    let seen = here.auth.identify(&bearer(issued.token.expose_secret())).await;
    assert!(matches!(seen, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn a_token_for_the_container_registry_opens_nothing_here() {
    let cell = cell(1).await;
    let identity = Identity { user: UserId(1), username: "ann".into() };
    let issued = cell.auth.issue(Service::ContainerRegistry, Some(&identity), Vec::new()).unwrap();
    let seen = cell.auth.identify(&bearer(issued.token.expose_secret())).await;
    assert!(matches!(seen, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn where_anybody_may_ask_only_a_wrong_password_of_this_cell_is_refused() {
    let cell = cell(1).await;
    let token = user_with_token(&cell).await;
    let elsewhere = personal::mint(2, UserId(1)).unwrap();
    let known = cell.auth.log_in_or_not(&basic(token.expose_secret())).await.unwrap();
    assert_eq!(known.map(|identity| identity.username).as_deref(), Some("ann"));
    for nobody in [HeaderMap::new(), basic(elsewhere.expose_secret())] {
        assert_eq!(cell.auth.log_in_or_not(&nobody).await.unwrap(), None);
    }
    let unknown_here = personal::mint(1, UserId(1)).unwrap();
    for wrong in
        [basic("hunter2"), basic(unknown_here.expose_secret()), bearer(token.expose_secret())]
    {
        let seen = cell.auth.log_in_or_not(&wrong).await;
        assert!(matches!(seen, Err(Error::WrongCredential)));
    }
}

#[tokio::test]
async fn a_forged_jwt_is_as_if_there_were_none() {
    let cell = cell(1).await;
    let identity = Identity { user: UserId(1), username: "ann".into() };
    let good = cell.auth.issue(PROXY, Some(&identity), Vec::new()).unwrap();
    let (head, signature) = good.token.expose_secret().rsplit_once('.').unwrap();
    let unsigned = "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoxfQ.";
    let stripped = format!("{head}.");
    let swapped = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for token in ["", "x", "a.b.c", unsigned, &stripped, &swapped] {
        let seen = cell.auth.identify(&bearer(token)).await;
        assert!(
            matches!(seen, Err(Error::Unauthenticated | Error::BadAuthorization(_))),
            "{token}"
        );
    }
}

#[test]
fn authorization_headers_that_could_be_read_in_two_ways_are_refused() {
    let two = headers(&["Bearer a", "Bearer b"]);
    for bad in [two, headers(&["Digest x"]), headers(&["Basic %%%"]), headers(&["Basic YQ=="])] {
        assert!(matches!(Credential::of(&bad), Err(Error::BadAuthorization(_))), "{bad:?}");
    }
    assert!(Credential::of(&HeaderMap::new()).unwrap().is_none());
}

#[test]
fn a_password_may_hold_colons() {
    let value = format!("Basic {}", STANDARD.encode("me:a:b"));
    let read = Credential::of(&headers(&[&value])).unwrap();
    let Some(Credential::Basic(password)) = read else { panic!("{read:?}") };
    assert_eq!(password.expose_secret(), "a:b");
}

#[test]
fn a_credential_does_not_show_in_debug() {
    let read = Credential::of(&basic("hunter2")).unwrap();
    assert!(!format!("{read:?}").contains("hunter2"));
}

#[test]
fn a_key_is_made_once_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let made = key::load_or_make(&path).unwrap();
    assert_eq!(key::load_or_make(&path).unwrap().point, made.point);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&path, "nonsense").unwrap();
    let error = format!("{:#}", key::load_or_make(&path).unwrap_err());
    assert!(error.contains("key.pem") && error.contains("PKCS#8"), "{error}");
}
