use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::*;
use crate::access::UserId;
use crate::config::SecretString;
use crate::db::tests::database;

fn authorization(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
}

fn basic(password: &str) -> HeaderMap {
    authorization(&format!("Basic {}", STANDARD.encode(format!("any-name:{password}"))))
}

fn bearer(token: &str) -> HeaderMap {
    authorization(&format!("Bearer {token}"))
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

fn ann() -> Identity {
    Identity { user: UserId(1), username: "ann".into() }
}

#[tokio::test]
async fn a_jwt_identifies_the_user_who_logged_in() {
    let cell = cell(1).await;
    let token = user_with_token(&cell).await;
    let ann = cell.auth.log_in(&basic(token.expose_secret())).await.unwrap();
    let issued = cell.auth.issue(PROXY, Some(&ann), Vec::new()).unwrap();
    assert_eq!(cell.auth.identify(&bearer(issued.token.expose_secret())).await.unwrap(), ann);
    assert_eq!(cell.auth.identify(&basic(token.expose_secret())).await.unwrap(), ann);
}

#[tokio::test]
async fn a_wrong_password_differs_from_another_cells_token() {
    let cell = cell(1).await;
    let foreign = personal::mint(2, UserId(1)).unwrap();
    let unknown = personal::mint(1, UserId(1)).unwrap();
    let result = cell.auth.log_in(&basic(foreign.expose_secret())).await;
    assert!(matches!(result, Err(AuthError::ForeignCredential)));
    for password in ["", "hunter2", unknown.expose_secret()] {
        let result = cell.auth.log_in(&basic(password)).await;
        assert!(matches!(result, Err(AuthError::WrongCredential)));
    }
}

#[tokio::test]
async fn another_cells_jwt_counts_as_missing() {
    let (here, there) = (cell(1).await, cell(2).await);
    let issued = there.auth.issue(PROXY, Some(&ann()), Vec::new()).unwrap();
    let result = here.auth.identify(&bearer(issued.token.expose_secret())).await;
    assert!(matches!(result, Err(AuthError::Unauthenticated)));
}

#[tokio::test]
async fn a_jwt_for_the_container_registry_counts_as_missing() {
    let cell = cell(1).await;
    let issued = cell.auth.issue(Service::ContainerRegistry, Some(&ann()), Vec::new()).unwrap();
    let result = cell.auth.identify(&bearer(issued.token.expose_secret())).await;
    assert!(matches!(result, Err(AuthError::Unauthenticated)));
}

#[tokio::test]
async fn an_optional_login_refuses_only_a_wrong_password_of_this_cell() {
    let cell = cell(1).await;
    let token = user_with_token(&cell).await;
    let foreign = personal::mint(2, UserId(1)).unwrap();
    let identity = cell.auth.log_in_optional(&basic(token.expose_secret())).await.unwrap();
    assert_eq!(identity.map(|identity| identity.username).as_deref(), Some("ann"));
    for anonymous in [HeaderMap::new(), basic(foreign.expose_secret())] {
        assert_eq!(cell.auth.log_in_optional(&anonymous).await.unwrap(), None);
    }
    let unknown = personal::mint(1, UserId(1)).unwrap();
    for wrong in [basic("hunter2"), basic(unknown.expose_secret()), bearer(token.expose_secret())] {
        let result = cell.auth.log_in_optional(&wrong).await;
        assert!(matches!(result, Err(AuthError::WrongCredential)));
    }
}

#[tokio::test]
async fn a_forged_jwt_counts_as_missing() {
    let cell = cell(1).await;
    let valid = cell.auth.issue(PROXY, Some(&ann()), Vec::new()).unwrap();
    let (head, signature) = valid.token.expose_secret().rsplit_once('.').unwrap();
    let unsigned = "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoxfQ.";
    let stripped = format!("{head}.");
    let swapped = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for token in ["", "x", "a.b.c", unsigned, &stripped, &swapped] {
        let result = cell.auth.identify(&bearer(token)).await;
        assert!(
            matches!(result, Err(AuthError::Unauthenticated | AuthError::MalformedHeader(_))),
            "{token}"
        );
    }
}
