//! The container registries of two Cells behind one registry host: skopeo → real Envoy with the
//! compiled filter → real CNCF distribution, with tokens of the Cell's own origin.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

use std::fs;
use std::path::{Path, PathBuf};

use harness::client::{HttpResponse, Login};
use harness::image::{Image, noise};
use harness::skopeo::{self, ClientRun};
use harness::stack::{Ports, RegistryDesign, Settings, Stack};
use reqwest::{Client, Method, RequestBuilder};
use tempfile::TempDir;

mod access;
mod topology;
mod uploads;

struct Edge {
    folder: TempDir,
    stack: Stack,
}

impl Edge {
    async fn start() -> Self {
        Self::with(|settings| settings).await
    }

    async fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        let folder = TempDir::new().unwrap();
        let settings = Settings::new(Ports::free().unwrap(), folder.path().join("state"));
        let stack = Stack::start(&change(settings)).await.unwrap();
        Self { folder, stack }
    }

    fn login(&self, group: &str) -> Login {
        let group = self.stack.group(group).unwrap();
        Login { username: group.username.clone(), password: group.password.clone() }
    }

    /// Returns the login of a new member of a group, and creates the group in that Cell if it is
    /// missing.
    fn member(&self, cell: usize, group: &str, role: &str) -> Login {
        let username = format!("{role}-of-{group}");
        let operate = |arguments: &[&str]| self.stack.run_origin(cell, arguments).unwrap();
        operate(&["create-group", group]);
        operate(&["create-user", &username]);
        operate(&["add-member", group, &username, "--role", role]);
        let password = operate(&["create-token", &username]).trim().to_owned();
        Login { username, password }
    }

    fn image_name(&self, repository: &str) -> String {
        format!("127.0.0.1:{}/{repository}:latest", self.stack.ports.registry_edge)
    }

    async fn push(&self, image: &Image, repository: &str, login: &Login) -> ClientRun {
        let written = TempDir::new_in(self.folder.path()).unwrap();
        image.write(written.path()).unwrap();
        skopeo::push(written.path(), &self.image_name(repository), login).await.unwrap()
    }

    async fn push_successfully(&self, image: &Image, repository: &str, login: &Login) {
        let pushed = self.push(image, repository, login).await;
        assert!(pushed.success, "{repository}: {}\n{}", pushed.output, self.stack.logs());
    }

    async fn pull(&self, repository: &str, login: Option<&Login>, into: &str) -> ClientRun {
        let into = self.folder.path().join(into);
        skopeo::pull_as(&self.image_name(repository), login, &into).await.unwrap()
    }

    /// Pulls an image, and compares it with the pushed one byte by byte.
    async fn pull_same(&self, image: &Image, repository: &str, login: Option<&Login>, into: &str) {
        let pulled = self.pull(repository, login, into).await;
        assert!(pulled.success, "{repository}: {}\n{}", pulled.output, self.stack.logs());
        let expected = self.folder.path().join(format!("{into}-expected"));
        image.write(&expected).unwrap();
        assert!(contents(&self.folder.path().join(into)) == contents(&expected), "{repository}");
    }

    /// Whether a Cell's registry has a repository.
    fn holds(&self, cell: usize, repository: &str) -> bool {
        self.stack.repositories(cell).join(repository).join("_manifests").is_dir()
    }

    /// Requests a registry token from the web host.
    async fn request_token(&self, scopes: &[&str], login: Option<&Login>) -> HttpResponse {
        let query = scopes.iter().map(|scope| ("scope", *scope));
        let query = [("service", "container_registry")].into_iter().chain(query);
        let mut url: reqwest::Url = format!("{}/jwt/auth", self.stack.edge()).parse().unwrap();
        url.query_pairs_mut().extend_pairs(query);
        let request = client().get(url);
        send(match login {
            Some(login) => request.basic_auth(&login.username, Some(&login.password)),
            None => request,
        })
        .await
    }

    async fn token(&self, scopes: &[&str], login: Option<&Login>) -> String {
        let response = self.request_token(scopes, login).await;
        assert_eq!(response.status, 200, "{scopes:?}");
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        body.get("token").unwrap().as_str().unwrap().to_owned()
    }

    /// A request to the registry host on its own connection.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        client().request(method, format!("{}{path}", self.stack.registry_edge()))
    }

    /// A request to a Cell's registry that bypasses the edge.
    fn request_past_the_edge(&self, cell: usize, method: Method, path: &str) -> RequestBuilder {
        let port = self.stack.ports.registries.get(cell - 1).unwrap();
        client().request(method, format!("http://127.0.0.1:{port}{path}"))
    }
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn send(request: RequestBuilder) -> HttpResponse {
    HttpResponse::read(request.send().await.unwrap()).await.unwrap()
}

fn image(seed: u64) -> Image {
    Image::multi(&[noise(seed, 300_000), noise(seed + 1, 2_000_000)])
}

/// All files of a folder, by name.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.map(|path| (name(&path), fs::read(&path).unwrap())).collect();
    files.sort();
    files
}

#[tokio::test]
async fn an_image_is_stored_in_its_groups_cell_and_pulled_back_byte_for_byte() {
    for registry_design in [RegistryDesign::Answer, RegistryDesign::Request] {
        let edge = Edge::with(|settings| Settings { registry_design, ..settings }).await;
        for (seed, group, repository, here, elsewhere) in [
            (1, "acme", "acme/app", 1, 2),
            (3, "globex", "globex/web/app", 2, 1),
            (5, "acme/team", "acme/team/app", 1, 2),
        ] {
            let (image, login) = (image(seed), edge.login(group));
            edge.push_successfully(&image, repository, &login).await;
            assert!(edge.holds(here, repository), "{repository}, {registry_design:?}");
            assert!(!edge.holds(elsewhere, repository), "{repository}, {registry_design:?}");
            edge.pull_same(&image, repository, Some(&login), &format!("pulled-{seed}")).await;
        }
    }
}

#[tokio::test]
async fn a_login_is_checked_by_the_cell_that_issued_it() {
    let edge = Edge::start().await;
    let host = format!("127.0.0.1:{}", edge.stack.ports.registry_edge);
    for (group, cell) in [("acme", "registry-cell-1"), ("globex", "registry-cell-2")] {
        let login = edge.login(group);
        let outcome = skopeo::log_in(&host, &login, edge.folder.path()).await.unwrap();
        assert!(outcome.success, "{group}: {}", outcome.output);

        let token = edge.token(&[], Some(&login)).await;
        let base = send(edge.request(Method::GET, "/v2/").bearer_auth(token)).await;
        assert_eq!((base.status, base.header("x-cell")), (200, cell));
    }
    let wrong = Login { username: "alice".into(), password: "hunter2".into() };
    let outcome = skopeo::log_in(&host, &wrong, edge.folder.path()).await.unwrap();
    assert!(!outcome.success);
    let refused = edge.request_token(&[], Some(&wrong)).await;
    assert_eq!((refused.status, refused.code().as_deref()), (401, Some("UNAUTHORIZED")));
}

#[tokio::test]
async fn a_request_without_a_repository_goes_to_the_first_cell() {
    let edge = Edge::start().await;
    for path in ["/v2/", "/v2/_catalog"] {
        let response = send(edge.request(Method::GET, path)).await;
        assert_eq!(
            (response.status, response.header("x-cell")),
            (401, "registry-cell-1"),
            "{path}"
        );
        let realm = format!("realm=\"{}/jwt/auth\"", edge.stack.edge());
        let challenge = response.header("www-authenticate");
        assert!(challenge.contains(&realm), "{challenge}");
        assert!(challenge.contains("service=\"container_registry\""), "{challenge}");
    }
}
