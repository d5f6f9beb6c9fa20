use super::*;

fn guard(url: &str, change: impl FnOnce(&mut config::Upstream)) -> Guard {
    let mut config = config::Upstream { url: Url::parse(url).unwrap(), ..Default::default() };
    change(&mut config);
    Guard::new(&config)
}

fn hub() -> Guard {
    guard("https://registry-1.docker.io", |_| {})
}

#[test]
fn a_realm_in_the_upstreams_own_domain_gets_our_credentials() {
    assert!(hub().realm("https://auth.docker.io/token").is_ok());
    let local = guard("http://127.0.0.1:5000", |_| {});
    assert!(local.realm("http://127.0.0.1:5001/token").is_ok());
    assert!(local.realm("http://localhost:5001/token").is_ok());
}

#[test]
fn a_realm_elsewhere_is_refused_unless_allowed_by_name() {
    for realm in [
        "https://auth.docker.io.evil.example/token",
        "https://docker.io@evil.example/token",
        "https://evil.example/token",
        "http://auth.docker.io/token",
        "https://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "token",
    ] {
        assert!(matches!(hub().realm(realm), Err(UpstreamError::Vetoed(_))), "{realm}");
    }
    let friendly = guard("https://registry.example.com", |config| {
        config.allowed_hosts = vec!["auth.elsewhere.example".into()];
    });
    assert!(friendly.realm("https://auth.elsewhere.example/token").is_ok());
}

#[test]
fn a_shared_public_suffix_is_no_shared_domain() {
    let pages = guard("https://me.github.io", |_| {});
    assert!(pages.realm("https://you.github.io/token").is_err());
}

#[test]
fn a_redirect_may_lead_to_any_public_host_over_https() {
    let from = Url::parse("https://registry-1.docker.io/v2/a/blobs/x").unwrap();
    assert!(hub().redirect(&from, "https://cdn.example/x?sig=1").is_ok());
    assert!(hub().redirect(&from, "/elsewhere").is_ok());
    for location in [
        "http://cdn.example/x",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "ftp://x/",
    ] {
        assert!(hub().redirect(&from, location).is_err(), "{location}");
    }
}

#[test]
fn addresses_of_this_network_are_private_however_they_are_written() {
    for text in [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "fc00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "ff02::1",
    ] {
        assert!(is_private(text.parse().unwrap()), "{text}");
    }
    for text in ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "100.128.0.1"] {
        assert!(!is_private(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn a_public_name_may_not_resolve_to_a_private_address() {
    let inside = "10.0.0.7".parse().unwrap();
    assert!(!hub().may_resolve_to("cdn.example", inside));
    let internal = guard("https://registry.corp.example", |_| {});
    assert!(internal.may_resolve_to("registry.corp.example", inside));
}
