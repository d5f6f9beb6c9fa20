//! Access to the container registries, within a Cell and between Cells.

use harness::client::{HttpResponse, Login};
use oci::media_type::OCI_INDEX;
use reqwest::Method;

use super::{Edge, image, send};

const APP: &str = "/v2/acme/app/manifests/latest";

impl Edge {
    /// Requests a manifest as a docker client does, with a token for its repository.
    async fn manifest(&self, repository: &str, login: Option<&Login>) -> HttpResponse {
        let token = self.token(&[&format!("repository:{repository}:pull")], login).await;
        let path = format!("/v2/{repository}/manifests/latest");
        let request = self.request(Method::GET, &path).header("accept", OCI_INDEX);
        send(request.bearer_auth(token)).await
    }
}

#[tokio::test]
async fn strangers_can_neither_pull_nor_push_and_learn_nothing() {
    let edge = Edge::start().await;
    let image = image(1);
    edge.push_successfully(&image, "acme/app", &edge.login("acme")).await;
    // Members of another Cell, of a subgroup, and of another group of the same Cell.
    let strangers =
        [edge.login("globex"), edge.login("acme/team"), edge.member(1, "initech", "owner")];
    for (number, stranger) in strangers.iter().enumerate() {
        let pulled = edge.pull("acme/app", Some(stranger), &format!("pulled-{number}")).await;
        assert!(!pulled.success, "{}", stranger.username);
        let pushed = edge.push(&image, "acme/app", stranger).await;
        assert!(!pushed.success, "{}", stranger.username);
        let pushed = edge.push(&image, "acme/other", stranger).await;
        assert!(!pushed.success && !edge.holds(1, "acme/other"), "{}", stranger.username);

        let existing = edge.manifest("acme/app", Some(stranger)).await;
        let missing = edge.manifest("acme/nothing", Some(stranger)).await;
        assert_eq!((existing.status, existing.code().as_deref()), (401, Some("UNAUTHORIZED")));
        assert_eq!(
            String::from_utf8_lossy(&existing.body).replace("acme/app", "acme/nothing"),
            String::from_utf8_lossy(&missing.body)
        );
    }
    let logs = edge.stack.logs();
    for secret in strangers.iter().map(|stranger| &stranger.password) {
        assert!(!logs.contains(secret.as_str()), "a password is in a log");
    }
    assert!(!logs.contains("eyJ"), "a JWT is in a log");
}

#[tokio::test]
async fn each_role_can_do_its_actions_and_no_more() {
    let edge = Edge::start().await;
    let image = image(1);
    let (guest, reporter, developer) = (
        edge.member(1, "acme", "guest"),
        edge.member(1, "acme", "reporter"),
        edge.member(1, "acme", "developer"),
    );
    assert!(!edge.push(&image, "acme/app", &reporter).await.success);
    edge.push_successfully(&image, "acme/app", &developer).await;
    assert_eq!(edge.manifest("acme/app", Some(&guest)).await.status, 401);
    assert_eq!(edge.manifest("acme/app", Some(&reporter)).await.status, 200);
    edge.pull_same(&image, "acme/app", Some(&reporter), "reporters").await;

    let path = format!("/v2/acme/app/manifests/{}", image.top.digest());
    let delete = async |login: &Login| {
        let token = edge.token(&["repository:acme/app:pull,delete"], Some(login)).await;
        send(edge.request(Method::DELETE, &path).bearer_auth(token)).await.status
    };
    assert_eq!(delete(&developer).await, 401);
    assert_eq!(delete(&edge.login("acme")).await, 202, "a maintainer");
    assert_eq!(edge.manifest("acme/app", Some(&reporter)).await.status, 404);
}

#[tokio::test]
async fn a_public_image_is_pulled_with_any_credential_of_any_cell_and_with_none() {
    let edge = Edge::start().await;
    let image = image(1);
    edge.push_successfully(&image, "acme/oss/app", &edge.login("acme/oss")).await;
    let other_cell = edge.login("globex");
    edge.pull_same(&image, "acme/oss/app", None, "anonymous").await;
    edge.pull_same(&image, "acme/oss/app", Some(&other_cell), "other-cell").await;
    edge.pull_same(&image, "acme/oss/app", Some(&edge.login("acme/team")), "other-group").await;
    assert!(!edge.push(&image, "acme/oss/app", &other_cell).await.success);
    assert!(!edge.pull("acme/app", None, "private").await.success);
}

#[tokio::test]
async fn a_token_for_two_cells_is_refused_at_the_edge() {
    let edge = Edge::start().await;
    let scopes = ["repository:acme/app:pull,push", "repository:globex/app:pull,push"];
    let refused = edge.request_token(&scopes, Some(&edge.login("acme"))).await;
    assert_eq!((refused.status, refused.code().as_deref()), (400, Some("UNSUPPORTED")));
}

#[tokio::test]
async fn a_cells_registry_accepts_only_tokens_of_its_own_cell() {
    let edge = Edge::start().await;
    let image = image(1);
    edge.push_successfully(&image, "acme/app", &edge.login("acme")).await;
    let same_path_elsewhere = edge.member(2, "acme", "maintainer");
    let here = edge.token(&["repository:acme/app:pull"], Some(&edge.login("acme"))).await;
    let requested = async |cell, token: &str| {
        let request = edge.request_past_the_edge(cell, Method::GET, APP);
        send(request.header("accept", OCI_INDEX).bearer_auth(token)).await.status
    };
    assert_eq!(requested(1, &here).await, 200);
    assert_eq!(requested(2, &here).await, 401);

    let scope = "scope=repository:acme/app:pull&service=container_registry&cell_id=2";
    let login = same_path_elsewhere;
    let url = format!("{}/jwt/auth?{scope}", edge.stack.edge());
    let issued = super::client().get(url).basic_auth(login.username, Some(login.password));
    let body: serde_json::Value = serde_json::from_slice(&send(issued).await.body).unwrap();
    let there = body.get("token").unwrap().as_str().unwrap();
    assert_eq!(requested(1, there).await, 401);
    assert_eq!(
        requested(2, there).await,
        404,
        "the token is valid there, and the image does not exist"
    );
}
