//! Lists of tags and referrers: live from the upstream, or marked as stale.

use harness::client::HttpResponse;
use harness::fault::Faults;
use harness::image::Manifest;
use oci::Digest;
use oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Pull, eventually};

const NAME: &str = "acme/dependency_proxy/containers/app";

/// A Cell whose upstream has `library/app` with the tags `a` to `e` and `latest`.
async fn pull() -> Pull {
    let pull = Pull::start().await;
    for tag in ["e", "c", "a", "d", "b"] {
        pull.upstream.add("library/app", tag, &pull.image);
    }
    pull
}

async fn list(pull: &Pull, path: &str) -> HttpResponse {
    pull.client().request(Method::GET, path, &[]).await.unwrap()
}

fn tags(response: &HttpResponse) -> Vec<String> {
    assert_eq!((response.status, response.header("content-type")), (200, "application/json"));
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["name"], NAME);
    serde_json::from_value(body["tags"].clone()).unwrap()
}

/// Referrers of `subject`, one of each type.
fn referrers_of(subject: &Digest, types: &[&str]) -> Vec<Manifest> {
    let refer = |kind: &&str| {
        let body = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind,
            "subject": {"mediaType": OCI_INDEX, "digest": subject, "size": 7},
            "annotations": {"org.example.kind": kind},
        });
        Manifest { media_type: OCI_MANIFEST.into(), bytes: body.to_string().into_bytes() }
    };
    types.iter().map(refer).collect()
}

fn found(response: &HttpResponse) -> Vec<String> {
    assert_eq!((response.status, response.header("content-type")), (200, OCI_INDEX));
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((&body["schemaVersion"], &body["mediaType"]), (&json!(2), &json!(OCI_INDEX)));
    let found = body["manifests"].as_array().unwrap();
    let annotated = |one: &Value| {
        assert_eq!(one["annotations"]["org.example.kind"], one["artifactType"]);
        one["digest"].as_str().unwrap().to_owned()
    };
    let mut found: Vec<_> = found.iter().map(annotated).collect();
    found.sort();
    found
}

fn digests(manifests: &[Manifest]) -> Vec<String> {
    let mut digests: Vec<_> = manifests.iter().map(|one| one.digest().to_string()).collect();
    digests.sort();
    digests
}

#[tokio::test]
async fn tags_are_listed_in_pages_even_if_the_upstream_does_not_page() {
    let pull = pull().await;
    for without_pages in [false, true] {
        pull.upstream.fail(Faults { without_pages, ..Faults::default() });
        let all = list(&pull, "tags/list").await;
        assert_eq!(tags(&all), ["a", "b", "c", "d", "e", "latest"]);
        assert_eq!(all.header("link"), "");
        let first = list(&pull, "tags/list?n=2").await;
        assert_eq!(tags(&first), ["a", "b"]);
        let next = format!("</v2/{NAME}/tags/list?n=2&last=b>; rel=\"next\"");
        assert_eq!(first.header("link"), next);
        assert_eq!(tags(&list(&pull, "tags/list?n=2&last=b").await), ["c", "d"]);
        let rest = list(&pull, "tags/list?last=d&n=5").await;
        assert_eq!((tags(&rest), rest.header("link")), (vec!["e".into(), "latest".into()], ""));
        assert_eq!(tags(&list(&pull, "tags/list?n=4000000000").await).len(), 6);
        let none = list(&pull, "tags/list?n=0").await;
        assert_eq!((tags(&none).len(), none.header("link")), (0, ""));
    }
}

#[tokio::test]
async fn tags_are_always_listed_live_from_the_upstream() {
    let pull = pull().await;
    assert_eq!(list(&pull, "tags/list?last=e").await.header("x-cache"), "MISS");
    pull.upstream.add("library/app", "new", &pull.image);
    assert_eq!(tags(&list(&pull, "tags/list?last=e").await), ["latest", "new"]);
    let head = pull.client().request(Method::HEAD, "tags/list", &[]).await.unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn invalid_list_requests_are_refused() {
    let pull = pull().await;
    for (path, code) in [
        ("tags/list?n=-1", "PAGINATION_NUMBER_INVALID"),
        ("tags/list?n=many", "PAGINATION_NUMBER_INVALID"),
        ("referrers/sha256:wrong", "DIGEST_INVALID"),
    ] {
        let response = list(&pull, path).await;
        assert_eq!((response.status, response.code().as_deref()), (400, Some(code)), "{path}");
    }
    assert_eq!(pull.upstream.requests().len(), 0);
    for method in [Method::PUT, Method::DELETE] {
        let refused = pull.client().request(method, "tags/list", &[]).await.unwrap();
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"));
    }
}

#[tokio::test]
async fn an_outage_serves_the_last_lists_of_the_same_group() {
    let pull = pull().await;
    let subject = pull.image.top.digest();
    let (whole, of_subject) = ("tags/list", format!("referrers/{subject}"));
    for path in [whole, "tags/list?n=1", &of_subject] {
        assert_eq!(list(&pull, path).await.status, 200, "{path}");
    }
    let globex = pull.cell.member_of("globex").await.unwrap();
    for status in [429, 500, 503] {
        pull.upstream.fail(Faults { status: Some(status), ..Faults::default() });
        // A page that was never requested is cut out of the whole list.
        for path in [whole, "tags/list?n=1", "tags/list?n=2&last=b", &of_subject] {
            let response = list(&pull, path).await;
            assert_eq!((response.status, response.header("x-cache")), (200, "STALE"), "{path}");
            assert!(response.header("warning").starts_with("110"), "{path}");
        }
        assert_eq!(tags(&list(&pull, "tags/list?n=2&last=b").await), ["c", "d"]);
        let other = pull.client_of("globex", &globex);
        for path in [whole, &of_subject] {
            let response = other.request(Method::GET, path, &[]).await.unwrap();
            assert!(matches!(response.status, 429 | 503), "{path}: {}", response.status);
        }
    }
}

#[tokio::test]
async fn a_refusal_of_a_list_is_passed_on() {
    let pull = pull().await;
    list(&pull, "tags/list").await;
    for (upstream, status, code) in [(401, 403, "DENIED"), (404, 404, "NAME_UNKNOWN")] {
        pull.upstream.fail(Faults { status: Some(upstream), ..Faults::default() });
        let response = list(&pull, "tags/list").await;
        assert_eq!((response.status, response.code().as_deref()), (status, Some(code)));
    }
}

#[tokio::test]
async fn clients_of_one_list_share_one_upstream_request_across_groups() {
    let pull = pull().await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    pull.upstream.fail(Faults { hold_manifests: true, ..Faults::default() });
    let asking: Vec<_> = (0..20)
        .map(|number| {
            let other = pull.client_of("globex", &globex);
            let client = if number % 2 == 0 { pull.client() } else { other };
            tokio::spawn(
                async move { client.request(Method::GET, "tags/list", &[]).await.unwrap() },
            )
        })
        .collect();
    eventually(async || pull.cell.metrics().lookups.get() == 20).await;
    eventually(async || pull.upstream.count("GET", "/tags/list") == 1).await;
    pull.upstream.release();
    for response in asking {
        assert_eq!(response.await.unwrap().status, 200);
    }
    assert_eq!(pull.upstream.count("GET", "/tags/list"), 1);
    pull.upstream.stop();
    for client in [pull.client(), pull.client_of("globex", &globex)] {
        let response = client.request(Method::GET, "tags/list", &[]).await.unwrap();
        assert_eq!(response.header("x-cache"), "STALE", "each group stores its own list");
    }
}

#[tokio::test]
async fn referrers_are_listed_and_filtered_with_and_without_the_api() {
    let subject = Digest::of(b"a subject that does not exist");
    let some = referrers_of(&subject, &["a/b", "c/d", "a/b+x"]);
    let pull = Pull::start().await;
    let path = format!("referrers/{subject}");
    assert_eq!(found(&list(&pull, &path).await), [""; 0], "an empty list is a success");
    for one in &some {
        pull.upstream.add_manifest("library/app", "any", one);
    }
    assert_eq!(found(&list(&pull, &path).await), digests(&some));
    let filtered = list(&pull, &format!("{path}?artifactType=a%2Fb%2Bx")).await;
    assert_eq!(found(&filtered), digests(&some[2..]));
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");

    pull.upstream.fail(Faults { without_referrers: true, ..Faults::default() });
    assert_eq!(found(&list(&pull, &path).await), [""; 0], "neither the API nor the tag exists");
    let described = some.iter().zip(["a/b", "c/d", "a/b+x"]).map(|(one, kind)| {
        json!({
            "mediaType": one.media_type, "digest": one.digest(), "size": one.bytes.len(),
            "artifactType": kind, "annotations": {"org.example.kind": kind},
        })
    });
    let described: Vec<_> = described.collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": described});
    let index = Manifest { media_type: OCI_INDEX.into(), bytes: index.to_string().into_bytes() };
    pull.upstream.add_manifest("library/app", &format!("sha256-{}", subject.hex()), &index);
    assert_eq!(found(&list(&pull, &path).await), digests(&some));
    let filtered = list(&pull, &format!("{path}?artifactType=c/d")).await;
    assert_eq!(found(&filtered), digests(&some[1..2]));
}

#[tokio::test]
async fn a_list_longer_than_4_mib_is_a_502() {
    let pull = Pull::start().await;
    let subject = Digest::of(b"a subject");
    let path = format!("referrers/{subject}");
    for (letter, status) in [("a", "MISS"), ("b", "STALE")] {
        let kind = letter.repeat(1_200_000);
        let long = referrers_of(&subject, &[&kind]).remove(0);
        pull.upstream.add_manifest("library/app", letter, &long);
        assert_eq!(list(&pull, &path).await.header("x-cache"), status);
    }
    let globex = pull.cell.member_of("globex").await.unwrap();
    let response =
        pull.client_of("globex", &globex).request(Method::GET, &path, &[]).await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (502, Some("UNAVAILABLE")));
}
