//! Real clients of registries → real Envoy with the compiled filter → the cells → a real registry.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panic")]

use e2e::client::Login;
use e2e::clients::containerd::Containerd;
use e2e::clients::docker::Docker;
use e2e::clients::podman::Podman;
use e2e::clients::{Client, Outcome};
use e2e::distribution::Distribution;
use e2e::image::{Image, Manifest, layer, noise};
use e2e::stack::{Settings, Stack};
use oci::Digest;
use tempfile::TempDir;

struct Edge {
    upstream: Distribution,
    image: Image,
    stack: Stack,
    _folder: TempDir,
}

impl Edge {
    /// With `library/app` at the upstream, for two platforms.
    async fn start() -> Self {
        let (folder, upstream) = (TempDir::new().unwrap(), Distribution::start().await.unwrap());
        let settings = Settings::before(upstream.url(), folder.path()).unwrap();
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

    /// The image's manifest for this machine, and that for the other platform with its name.
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

fn well(edge: &Edge, outcome: &Outcome) {
    assert!(outcome.success, "{}\n{}", outcome.output, edge.stack.logs());
}

/// Pulls an image that the client does not have yet, checks that it is the right one, and removes it.
async fn pull(
    edge: &Edge,
    client: &impl Client,
    image: &str,
    platform: Option<&str>,
    expected: &Manifest,
) {
    let expected = configuration(expected);
    assert!(!client.has(&expected).await.unwrap(), "{image} is there before it is pulled");
    well(edge, &client.pull(image, platform).await.unwrap());
    assert!(client.has(&expected).await.unwrap(), "{image} is not what was pulled");
    client.forget(image).await.unwrap();
}

/// By tag, by digest, by platform, and again: each part comes from the upstream once.
async fn pulls_in_every_way(edge: &Edge, client: &impl Client) {
    let (here, elsewhere, platform) = edge.platforms();
    let by_tag = edge.tagged("acme");
    let by_digest = by_tag.replace(":latest", &format!("@{}", edge.image.top.digest()));

    pull(edge, client, &by_tag, None, here).await;
    let (index_and_manifest, configuration_and_layers) = (2, 3);
    assert_eq!(edge.gets().await, index_and_manifest + configuration_and_layers);
    pull(edge, client, &by_tag, None, here).await;
    pull(edge, client, &by_digest, None, here).await;
    assert_eq!(edge.gets().await, 5, "what is cached is not fetched again");

    pull(edge, client, &by_tag, Some(platform), elsewhere).await;
    pull(edge, client, &by_digest, Some(platform), elsewhere).await;
    let manifest_and_configuration = 2;
    assert_eq!(edge.gets().await, 5 + manifest_and_configuration);
}

#[tokio::test]
async fn podman_pulls_in_every_way() {
    let (edge, podman) = (Edge::start().await, Podman::new().unwrap());
    well(&edge, &podman.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    pulls_in_every_way(&edge, &podman).await;
}

#[tokio::test]
async fn buildah_pulls_in_every_way() {
    let (edge, buildah) = (Edge::start().await, Podman::buildah().unwrap());
    well(&edge, &buildah.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    pulls_in_every_way(&edge, &buildah).await;
}

#[tokio::test]
async fn containerd_pulls_in_every_way() {
    let (edge, mut containerd) = (Edge::start().await, Containerd::start().await.unwrap());
    containerd.become_user(&edge.login("acme"));
    pulls_in_every_way(&edge, &containerd).await;
}

#[tokio::test]
async fn docker_pulls_in_every_way() {
    let (edge, docker) = (Edge::start().await, Docker::start().await.unwrap());
    well(&edge, &docker.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    pulls_in_every_way(&edge, &docker).await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_words_and_lets_nobody_in() {
    let edge = Edge::start().await;
    let refused = |outcome: Outcome, words: &str| {
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
    containerd.become_user(&wrong());
    let pulled = containerd.pull(&edge.tagged("acme"), None).await.unwrap();
    refused(pulled, "401 Unauthorized");
    assert_eq!(edge.gets().await, 0);
}

#[tokio::test]
async fn one_host_keeps_a_login_for_each_group() {
    let (edge, podman) = (Edge::start().await, Podman::new().unwrap());
    for group in ["acme", "globex"] {
        let place = format!("{}/{group}", edge.host());
        well(&edge, &podman.log_in(&place, &edge.login(group)).await.unwrap());
    }
    let (here, _, _) = edge.platforms();
    for group in ["acme", "globex"] {
        pull(&edge, &podman, &edge.tagged(group), None, here).await;
    }
}

#[tokio::test]
async fn buildah_builds_from_an_image_of_the_cache() {
    let (edge, buildah) = (Edge::start().await, Podman::buildah().unwrap());
    well(&edge, &buildah.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    let containerfile = format!("FROM {}\nLABEL built=here\n", edge.tagged("acme"));
    well(&edge, &buildah.build(&containerfile, "built").await.unwrap());
    assert!(buildah.knows("localhost/built").await.unwrap());
}

/// By names that say nothing of a mirror; the real Docker Hub is out of reach or has other bytes.
async fn pulls_from_the_mirror(edge: &Edge, client: &impl Client) {
    let (here, elsewhere, platform) = edge.platforms();
    let by_digest = format!("docker.io/library/app@{}", edge.image.top.digest());
    pull(edge, client, "docker.io/library/app:latest", None, here).await;
    pull(edge, client, &by_digest, None, here).await;
    pull(edge, client, "docker.io/library/app:latest", Some(platform), elsewhere).await;
    assert_eq!(edge.gets().await, 5 + 2, "each part once");
}

#[tokio::test]
async fn podman_takes_docker_hubs_images_from_a_groups_proxy() {
    let (edge, podman) = (Edge::start().await, Podman::new().unwrap());
    let place = &edge.stack.group("acme").unwrap().image_prefix;
    podman.mirror("docker.io", place).unwrap();
    well(&edge, &podman.log_in(&edge.host(), &edge.login("acme")).await.unwrap());
    pulls_from_the_mirror(&edge, &podman).await;
}

#[tokio::test]
async fn containerd_takes_docker_hubs_images_from_a_groups_proxy() {
    let (edge, mut containerd) = (Edge::start().await, Containerd::start().await.unwrap());
    let place = format!("{}/v2/acme/dependency_proxy/containers", edge.stack.edge());
    containerd.mirror("docker.io", &place).unwrap();
    containerd.become_user(&edge.login("acme"));
    pulls_from_the_mirror(&edge, &containerd).await;
}

#[tokio::test]
async fn docker_takes_docker_hubs_images_from_a_groups_mirror_host() {
    let edge = Edge::start().await;
    // The proxy stands for what the name's address would be.
    let mirror = "http://acme.mirror.gitlab.example.com";
    let docker = Docker::mirroring(mirror, &edge.stack.edge()).await.unwrap();
    docker.keep_login_of_docker_hub(&edge.login("acme")).unwrap();
    pulls_from_the_mirror(&edge, &docker).await;
}
