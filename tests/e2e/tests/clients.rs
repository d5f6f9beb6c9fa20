//! Real registry clients → real Envoy with the compiled filter → the Cells → a real registry.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

use harness::client::Login;
use harness::clients::containerd::Containerd;
use harness::clients::docker::Docker;
use harness::clients::podman::Podman;
use harness::clients::{Client, ClientRun};
use harness::distribution::Distribution;
use harness::image::{Image, Manifest, layer, noise};
use harness::stack::{Settings, Stack};
use oci::Digest;
use tempfile::TempDir;

struct Edge {
    upstream: Distribution,
    image: Image,
    stack: Stack,
    _folder: TempDir,
}

impl Edge {
    /// Starts an edge whose upstream has `library/app` for two platforms.
    async fn start() -> Self {
        let (folder, upstream) = (TempDir::new().unwrap(), Distribution::start().await.unwrap());
        let settings = Settings::with_upstream(upstream.url(), folder.path()).unwrap();
        let layers = [("small", 1_000), ("large", 3_000_000)];
        let layers = layers.map(|(name, size)| layer(name, &noise(size, size as usize)).unwrap());
        let image = Image::multi(&layers);
        upstream.push("library/app", "latest", &image).await.unwrap();
        let stack = Stack::start(&settings).await.unwrap();
        Self { upstream, image, stack, _folder: folder }
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.stack.ports.edge)
    }

    fn tagged(&self, group: &str) -> String {
        format!("{}/app:latest", self.stack.group(group).unwrap().image_prefix)
    }

    fn login(&self, group: &str) -> Login {
        let group = self.stack.group(group).unwrap();
        Login { username: group.username.clone(), password: group.password.clone() }
    }

    async fn gets(&self) -> usize {
        self.upstream.gets("library/app").await.unwrap()
    }

    /// The image's manifest for this machine, and that for the other platform with the platform's
    /// name.
    fn platforms(&self) -> (&Manifest, &Manifest, &'static str) {
        let [amd64, arm64] = &self.image.children[..] else { unreachable!("it has two platforms") };
        if cfg!(target_arch = "aarch64") {
            (arm64, amd64, "linux/amd64")
        } else {
            (amd64, arm64, "linux/arm64")
        }
    }
}

fn configuration(manifest: &Manifest) -> Digest {
    manifest.configuration().unwrap()
}

fn wrong() -> Login {
    Login { username: "alice".into(), password: "hunter2".into() }
}

fn assert_success(edge: &Edge, outcome: &ClientRun) {
    assert!(outcome.success, "{}\n{}", outcome.output, edge.stack.logs());
}

/// Pulls an image that the client has not stored, checks that it is the right one, and removes it.
async fn pull(
    edge: &Edge,
    client: &impl Client,
    image: &str,
    platform: Option<&str>,
    expected: &Manifest,
) {
    let expected = configuration(expected);
    assert!(!client.has(&expected).await.unwrap(), "{image} is stored before it is pulled");
    assert_success(edge, &client.pull(image, platform).await.unwrap());
    assert!(client.has(&expected).await.unwrap(), "the pulled image is not {image}");
    client.remove(image).await.unwrap();
}

/// Pulls by tag, by digest, by platform, and again: each part comes from the upstream once.
async fn pull_by_tag_digest_and_platform(edge: &Edge, client: &impl Client) {
    let (here, elsewhere, platform) = edge.platforms();
    let by_tag = edge.tagged("acme");
    let by_digest = by_tag.replace(":latest", &format!("@{}", edge.image.top.digest()));

    pull(edge, client, &by_tag, None, here).await;
    let (index_and_manifest, configuration_and_layers) = (2, 3);
    assert_eq!(edge.gets().await, index_and_manifest + configuration_and_layers);
    pull(edge, client, &by_tag, None, here).await;
    pull(edge, client, &by_digest, None, here).await;
    assert_eq!(edge.gets().await, 5, "cached parts are not fetched again");

    pull(edge, client, &by_tag, Some(platform), elsewhere).await;
    pull(edge, client, &by_digest, Some(platform), elsewhere).await;
    let manifest_and_configuration = 2;
    assert_eq!(edge.gets().await, 5 + manifest_and_configuration);
}

#[tokio::test]
async fn podman_pulls_by_tag_digest_and_platform() {
    let (edge, podman) = (Edge::start().await, Podman::new().unwrap());
    assert_success(&edge, &podman.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    pull_by_tag_digest_and_platform(&edge, &podman).await;
}

#[tokio::test]
async fn buildah_pulls_by_tag_digest_and_platform() {
    let (edge, buildah) = (Edge::start().await, Podman::buildah().unwrap());
    assert_success(&edge, &buildah.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    pull_by_tag_digest_and_platform(&edge, &buildah).await;
}

#[tokio::test]
async fn containerd_pulls_by_tag_digest_and_platform() {
    let (edge, mut containerd) = (Edge::start().await, Containerd::start().await.unwrap());
    containerd.set_login(&edge.login("acme"));
    pull_by_tag_digest_and_platform(&edge, &containerd).await;
}

#[tokio::test]
async fn docker_pulls_by_tag_digest_and_platform() {
    let (edge, docker) = (Edge::start().await, Docker::start().await.unwrap());
    assert_success(&edge, &docker.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    pull_by_tag_digest_and_platform(&edge, &docker).await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_with_an_understandable_message() {
    let edge = Edge::start().await;
    let refused = |outcome: ClientRun, words: &str| {
        assert!(!outcome.success, "{}\n{}", outcome.output, edge.stack.logs());
        assert!(outcome.output.contains(words), "{}", outcome.output);
    };
    for client in [Podman::new().unwrap(), Podman::buildah().unwrap()] {
        let login = client.log_in(&edge.host(), &wrong()).await.unwrap();
        refused(login, "invalid username/password");
    }
    let docker = Docker::start().await.unwrap();
    refused(docker.log_in(&edge.host(), &wrong()).await.unwrap(), "unauthorized: ");
    let mut containerd = Containerd::start().await.unwrap();
    containerd.set_login(&wrong());
    let pulled = containerd.pull(&edge.tagged("acme"), None).await.unwrap();
    refused(pulled, "401 Unauthorized");
    assert_eq!(edge.gets().await, 0);
}

#[tokio::test]
async fn one_host_can_have_a_login_for_each_group() {
    let (edge, podman) = (Edge::start().await, Podman::new().unwrap());
    for group in ["acme", "globex"] {
        let place = format!("{}/{group}", edge.host());
        assert_success(&edge, &podman.log_in(&place, &edge.login(group)).await.unwrap());
    }
    let (here, _, _) = edge.platforms();
    for group in ["acme", "globex"] {
        pull(&edge, &podman, &edge.tagged(group), None, here).await;
    }
}

#[tokio::test]
async fn buildah_builds_from_a_cached_image() {
    let (edge, buildah) = (Edge::start().await, Podman::buildah().unwrap());
    assert_success(&edge, &buildah.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    let containerfile = format!("FROM {}\nLABEL built=here\n", edge.tagged("acme"));
    assert_success(&edge, &buildah.build(&containerfile, "built").await.unwrap());
    assert!(buildah.has_named("localhost/built").await.unwrap());
}

/// Pulls by names of Docker Hub, which the client's configuration maps to a mirror. The real Docker
/// Hub is unreachable or has other bytes.
async fn pull_from_the_mirror(edge: &Edge, client: &impl Client) {
    let (here, elsewhere, platform) = edge.platforms();
    let by_digest = format!("docker.io/library/app@{}", edge.image.top.digest());
    pull(edge, client, "docker.io/library/app:latest", None, here).await;
    pull(edge, client, &by_digest, None, here).await;
    pull(edge, client, "docker.io/library/app:latest", Some(platform), elsewhere).await;
    assert_eq!(edge.gets().await, 5 + 2, "each part is fetched once");
}

#[tokio::test]
async fn podman_uses_a_groups_dependency_proxy_as_mirror_of_docker_hub() {
    let (edge, podman) = (Edge::start().await, Podman::new().unwrap());
    let place = &edge.stack.group("acme").unwrap().image_prefix;
    podman.mirror("docker.io", place).unwrap();
    assert_success(&edge, &podman.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    pull_from_the_mirror(&edge, &podman).await;
}

#[tokio::test]
async fn containerd_uses_a_groups_dependency_proxy_as_mirror_of_docker_hub() {
    let (edge, mut containerd) = (Edge::start().await, Containerd::start().await.unwrap());
    let place = format!("{}/v2/acme/dependency_proxy/containers", edge.stack.edge());
    containerd.mirror("docker.io", &place).unwrap();
    containerd.set_login(&edge.login("acme"));
    pull_from_the_mirror(&edge, &containerd).await;
}

#[tokio::test]
async fn docker_uses_a_groups_mirror_host_as_mirror_of_docker_hub() {
    let edge = Edge::start().await;
    // The HTTP proxy replaces the name resolution of the mirror host.
    let mirror = "http://acme.mirror.gitlab.example.com";
    let docker = Docker::mirroring(mirror, &edge.stack.edge()).await.unwrap();
    docker.store_docker_hub_login(&edge.login("acme")).unwrap();
    pull_from_the_mirror(&edge, &docker).await;
}
