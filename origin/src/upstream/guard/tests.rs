use super::*;
use crate::config::{Networks, Registry};

fn guard(url: &str, change: impl FnOnce(&mut Registry, &mut Networks)) -> Guard {
    let url = Url::parse(url).unwrap();
    let mut registry = Registry { url, credential: None, allowed_hosts: Vec::new() };
    let mut networks = Networks::default();
    change(&mut registry, &mut networks);
    Guard::new(&registry, &networks)
}

fn plain(url: &str) -> Guard {
    guard(url, |_, _| {})
}

fn hub() -> Guard {
    plain("https://registry-1.docker.io")
}

fn redirect(guard: &Guard, location: &str) -> Result<Url, UpstreamError> {
    guard.redirect(&guard.registry.join("/v2/a/blobs/x").unwrap(), location)
}

#[test]
fn a_realm_in_the_upstreams_own_domain_is_allowed() {
    assert!(hub().realm("https://auth.docker.io/token").is_ok());
    let local = plain("http://127.0.0.1:5000");
    assert!(local.realm("http://127.0.0.1:5001/token").is_ok());
    assert!(local.realm("http://localhost:5001/token").is_ok());
}

#[test]
fn a_realm_elsewhere_is_rejected_unless_its_host_is_allowed() {
    for realm in [
        "https://auth.docker.io.evil.example/token",
        "https://docker.io@evil.example/token",
        "https://me:pw@auth.docker.io/token",
        "https://evil.example/token",
        "http://auth.docker.io/token",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:a9fe:a9fe]/",
        "https://localhost/token",
        "file:///etc/passwd",
        "token",
        "",
    ] {
        assert!(matches!(hub().realm(realm), Err(UpstreamError::Vetoed(_))), "{realm}");
    }
    let friendly = guard("https://registry.example.com", |registry, _| {
        registry.allowed_hosts = vec!["auth.elsewhere.example".into(), "10.0.0.7".into()];
    });
    assert!(friendly.realm("https://auth.elsewhere.example/token").is_ok());
    assert!(friendly.realm("https://10.0.0.7/token").is_ok());
    assert!(friendly.realm("https://10.0.0.8/token").is_err());
}

#[test]
fn a_shared_public_suffix_is_not_a_shared_domain() {
    assert!(plain("https://me.github.io").realm("https://you.github.io/token").is_err());
}

#[test]
fn a_redirect_may_lead_to_any_public_host_over_https() {
    assert!(redirect(&hub(), "https://cdn.example/x?sig=1").is_ok());
    assert!(redirect(&hub(), "/elsewhere").is_ok());
    for location in [
        "http://cdn.example/x",
        "https://user@cdn.example/x",
        "https://10.0.0.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://127.0.0.1:6379/",
        "https://[::1]/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://[2002:7f00:1::]/",
        "https://localhost/",
        "https://localhost./",
        "https://a.LocalHost/",
        "ftp://x/",
        "https://",
    ] {
        assert!(redirect(&hub(), location).is_err(), "{location}");
    }
}

#[test]
fn a_registry_on_loopback_may_redirect_to_loopback_but_not_to_a_metadata_service() {
    let local = plain("http://127.0.0.1:5000");
    assert!(redirect(&local, "http://127.0.0.1:5001/x").is_ok());
    let open = guard("https://registry.example", |_, networks| networks.allow_private = true);
    assert!(redirect(&open, "https://10.0.0.1/x").is_ok());
    for metadata in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"] {
        assert!(redirect(&local, &format!("http://{metadata}/latest")).is_err(), "{metadata}");
        assert!(redirect(&open, &format!("https://{metadata}/latest")).is_err(), "{metadata}");
    }
}

#[test]
fn only_the_listed_private_networks_may_be_reached() {
    let listed = guard("https://registry.example", |_, networks| {
        networks.allowed = vec!["10.1.0.0/16".parse().unwrap(), "fc00:1::/32".parse().unwrap()];
    });
    for (address, allowed) in [
        ("10.1.2.3", true),
        ("10.2.2.3", false),
        ("127.0.0.1", false),
        ("::ffff:10.1.2.3", true),
        ("64:ff9b::10.1.2.3", true),
        ("64:ff9b::10.2.2.3", false),
        ("fc00:1::1", true),
        ("fc00:2::1", false),
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(listed.may_resolve_to("cdn.example", address), allowed, "{address}");
        let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        assert_eq!(redirect(&listed, &format!("https://{host}/")).is_ok(), allowed, "{address}");
    }
}

#[test]
fn a_public_name_may_not_resolve_to_a_private_address() {
    let inside = "10.0.0.7".parse().unwrap();
    let metadata = "169.254.169.254".parse().unwrap();
    assert!(!hub().may_resolve_to("cdn.example", inside));
    assert!(!hub().may_resolve_to("metadata.google.internal", metadata));
    let internal = plain("https://registry.corp.example");
    assert!(internal.may_resolve_to("registry.corp.example", inside));
    assert!(
        !internal.may_resolve_to("registry.corp.example", metadata),
        "not even for the registry's own name"
    );
}

#[tokio::test]
async fn a_host_name_is_checked_each_time_it_is_resolved() {
    let resolve = |guard: Guard| VettedDns(Arc::new(guard)).resolve("localhost".parse().unwrap());
    assert!(resolve(hub()).await.is_err());
    assert!(resolve(plain("http://localhost:5000")).await.is_ok());
}
