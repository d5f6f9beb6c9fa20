//! The pull part of the OCI distribution specification's conformance suite, as tables.

use harness::client::{HttpResponse, Puller};
use harness::image::{Image, Manifest, noise};
use oci::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use oci::{Algorithm, Digest};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Pull, eventually, same_manifest};

/// Every kind of manifest that the suite pushes, with its tag.
fn kinds() -> Vec<(&'static str, Manifest)> {
    let (config, layer) = (described("application/vnd.oci.image.config.v1+json", b"{}"), layer());
    let image = |extra: Value| {
        let mut body = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer],
        });
        merge(&mut body, extra);
        manifest(OCI_MANIFEST, &body)
    };
    let plain = image(json!({}));
    let of = |manifest: &Manifest| described(&manifest.media_type, &manifest.bytes);
    let index = |manifests: &[Value]| {
        let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        manifest(OCI_INDEX, &body)
    };
    let one = index(&[of(&plain)]);
    let absent = described(OCI_MANIFEST, b"a manifest that does not exist");
    let artifact = json!({"artifactType": "application/vnd.example.sbom"});
    let subject = json!({"artifactType": "application/vnd.example.sbom", "subject": of(&plain)});
    let data = json!({"config": {
        "mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "data": "e30=",
        "digest": Digest::of(b"{}"),
    }});
    let foreign = json!({"layers": [{
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": Digest::of(b"elsewhere"), "size": 9, "urls": ["https://example.com/layer"],
    }]});
    vec![
        ("index", one.clone()),
        ("nested", index(&[of(&one), of(&plain)])),
        ("sparse", index(&[of(&plain), absent.clone()])),
        ("artifact", image(artifact)),
        ("subject", image(subject)),
        ("missing-subject", image(json!({"subject": absent}))),
        ("data", image(data)),
        ("no-layers", image(json!({"layers": []}))),
        ("nondistributable", image(foreign)),
        ("custom", image(json!({"org.example.custom": {"nested": [1, null]}}))),
        ("large", image(json!({"annotations": {"org.example.noise": "x".repeat(3_900_000)}}))),
        (
            "docker",
            manifest(DOCKER_MANIFEST, &json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST})),
        ),
        ("unknown", manifest("application/vnd.example.unknown.v9+json", &json!({"any": "thing"}))),
        ("plain", plain),
    ]
}

fn layer() -> Value {
    described("application/vnd.oci.image.layer.v1.tar", &blobs()[0])
}

fn blobs() -> [Vec<u8>; 3] {
    [noise(9, 2048), Vec::new(), b"{}".to_vec()]
}

fn described(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()})
}

/// With spaces and line breaks that none of our programs writes.
fn manifest(media_type: &str, body: &Value) -> Manifest {
    Manifest { media_type: media_type.into(), bytes: format!(" {body:#}\n\n").into_bytes() }
}

fn merge(body: &mut Value, extra: Value) {
    let Value::Object(extra) = extra else { return };
    body.as_object_mut().unwrap().extend(extra);
}

async fn pull() -> (Pull, Puller) {
    let pull = Pull::start().await;
    let image = Image { blobs: blobs().to_vec(), ..Image::single(&[]) };
    pull.upstream.add("library/app", "blobs", &image);
    for (tag, manifest) in kinds() {
        pull.upstream.add_manifest("library/app", tag, &manifest);
    }
    let client = pull.client();
    (pull, client)
}

async fn send(client: &Puller, method: Method, path: &str) -> HttpResponse {
    let accept = format!("{OCI_INDEX}, {OCI_MANIFEST}, */*");
    client.request(method, path, &[("accept", &accept)]).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_manifest_is_pulled_byte_for_byte_by_tag_and_by_digest() {
    let (_pull, client) = pull().await;
    for (tag, manifest) in kinds() {
        for reference in [tag, &manifest.digest().to_string()] {
            let path = format!("manifests/{reference}");
            for cached in [false, true] {
                let head = send(&client, Method::HEAD, &path).await;
                assert!(head.body.is_empty());
                let head = HttpResponse { body: manifest.bytes.clone().into(), ..head };
                same_manifest(&head, &manifest);
                let response = send(&client, Method::GET, &path).await;
                same_manifest(&response, &manifest);
                assert!(!cached || response.header("x-cache") == "HIT", "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_can_be_requested_by_sha512() {
    let (pull, client) = pull().await;
    let (_, manifest) = kinds().pop().unwrap();
    let digest = Digest::with(Algorithm::Sha512, &manifest.bytes).to_string();
    pull.upstream.add_manifest("library/app", &digest, &manifest);
    for status in ["MISS", "HIT"] {
        let response = send(&client, Method::GET, &format!("manifests/{digest}")).await;
        assert_eq!((response.status, response.header("x-cache")), (200, status));
        assert_eq!(response.header("docker-content-digest"), digest);
        assert_eq!(response.body, manifest.bytes);
    }
}

#[tokio::test]
async fn missing_and_malformed_requests_have_the_specified_error_codes() {
    let (_pull, client) = pull().await;
    let missing = Digest::of(b"missing");
    for (path, status, code) in [
        (format!("blobs/{missing}"), 404, "BLOB_UNKNOWN"),
        (format!("manifests/{missing}"), 404, "MANIFEST_UNKNOWN"),
        ("manifests/missing".into(), 404, "MANIFEST_UNKNOWN"),
        ("manifests/sha256:totallywrong".into(), 400, "DIGEST_INVALID"),
        ("manifests/sha256:baddigeststring".into(), 400, "DIGEST_INVALID"),
        ("blobs/sha256:baddigeststring".into(), 400, "DIGEST_INVALID"),
    ] {
        let response = send(&client, Method::GET, &path).await;
        assert_eq!((response.status, response.code().as_deref()), (status, Some(code)), "{path}");
        assert_eq!(send(&client, Method::HEAD, &path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn blobs_of_every_size_are_pulled_whole() {
    let (pull, client) = pull().await;
    let long = Digest::with(Algorithm::Sha512, &blobs()[0]);
    pull.upstream.add_blob("library/app", &long, &blobs()[0]);
    let requested = blobs().map(|blob| (Digest::of(&blob), blob));
    for (digest, blob) in requested.into_iter().chain([(long, blobs()[0].clone())]) {
        let path = format!("blobs/{digest}");
        for _ in 0..2 {
            let head = send(&client, Method::HEAD, &path).await;
            let response = send(&client, Method::GET, &path).await;
            assert!(response.body == blob && head.body.is_empty(), "{digest}");
            for response in [head, response] {
                assert_eq!(response.status, 200);
                assert_eq!(response.header("content-length"), blob.len().to_string(), "{digest}");
                assert_eq!(response.header("docker-content-digest"), digest.to_string());
            }
            eventually(async || {
                send(&client, Method::HEAD, &path).await.header("x-cache") == "HIT"
            })
            .await;
        }
    }
}

#[tokio::test]
async fn ranges_of_a_blob_are_served_as_requested() {
    let (_pull, client) = pull().await;
    let blob = &blobs()[0];
    let path = format!("blobs/{}", Digest::of(blob));
    send(&client, Method::GET, &path).await;
    for (range, expected) in [
        ("bytes=500-1499", Some(500..1500)),
        ("bytes=500-", Some(500..2048)),
        ("bytes=-500", Some(1548..2048)),
        ("bytes=2000-5000", Some(2000..2048)),
        ("bytes=5000-10000", None),
    ] {
        let response = client.request(Method::GET, &path, &[("range", range)]).await.unwrap();
        let Some(expected) = expected else {
            assert_eq!(response.status, 416, "{range}");
            continue;
        };
        let content = format!("bytes {}-{}/2048", expected.start, expected.end - 1);
        assert_eq!(
            (response.status, response.header("content-range")),
            (206, &*content),
            "{range}"
        );
        assert!(response.body == blob[expected], "{range}");
    }
}
