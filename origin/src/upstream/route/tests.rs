use super::*;

fn names(name: &str, aliases: &[&str], has_library: bool) -> UpstreamNames {
    let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
    UpstreamNames { name: name.to_owned(), aliases, has_library }
}

fn known() -> Vec<UpstreamNames> {
    vec![
        names("docker.io", &["index.docker.io"], true),
        names("quay.io", &[], false),
        names("registry.corp", &["registry.corp:5000"], false),
    ]
}

/// Returns `UPSTREAM REPOSITORY NAME`, or the error's text.
fn found(known: &[UpstreamNames], image: &str, namespace: Option<&str>) -> Result<String, String> {
    let route = route(known, &image.parse().unwrap(), namespace);
    let text = |Route { upstream, repository, name }| format!("{upstream} {repository} {name}");
    route.map(text).map_err(|error| error.to_string())
}

#[test]
fn every_spelling_of_an_image_leads_to_one_name() {
    let known = known();
    for (image, namespace, expected) in [
        ("alpine", None, "0 alpine alpine"),
        ("library/alpine", None, "0 library/alpine alpine"),
        ("docker.io/alpine", None, "0 alpine alpine"),
        ("docker.io/library/alpine", None, "0 library/alpine alpine"),
        ("library/alpine", Some("docker.io"), "0 library/alpine alpine"),
        ("alpine", Some("index.docker.io"), "0 alpine alpine"),
        ("org/app", None, "0 org/app org/app"),
        ("quay.io/org/app", None, "1 org/app quay.io/org/app"),
        ("org/app", Some("quay.io"), "1 org/app quay.io/org/app"),
        ("org/app", Some("QUAY.io"), "1 org/app quay.io/org/app"),
        ("quay.io/org/app", Some("quay.io"), "1 org/app quay.io/org/app"),
        ("app", Some("registry.corp:5000"), "2 app registry.corp/app"),
        ("quay.io/library/app", None, "1 library/app quay.io/library/app"),
    ] {
        assert_eq!(found(&known, image, namespace).unwrap(), expected, "{image} {namespace:?}");
    }
}

#[test]
fn an_image_of_the_default_upstream_has_one_name_with_and_without_prefix() {
    let other = [names("gitlab.corp", &[], false)];
    assert_eq!(found(&other, "org/app", None).unwrap(), "0 org/app org/app");
    assert_eq!(found(&other, "gitlab.corp/org/app", None).unwrap(), "0 org/app org/app");
    assert_eq!(found(&other, "library/app", None).unwrap(), "0 library/app library/app");
}

#[test]
fn a_host_like_prefix_is_never_part_of_a_plain_repository() {
    let known = known();
    for image in ["ghcr.io/org/app", "localhost/app", "registry.corp.evil.example/app"] {
        let error = found(&known, image, None).unwrap_err();
        assert!(error.contains(image.split('/').next().unwrap()), "{error}");
        assert!(error.contains("docker.io, quay.io, registry.corp"), "{error}");
    }
    assert_eq!(found(&known, "quay.io", None).unwrap(), "0 quay.io quay.io");
    assert_eq!(
        found(&known, "docker.io/ghcr.io/app", None).unwrap(),
        "0 ghcr.io/app docker.io/ghcr.io/app",
        "an upstream ghcr.io that is configured later finds no rows under its name"
    );
}

#[test]
fn an_unknown_or_contradictory_namespace_is_rejected() {
    let known = known();
    for (image, namespace, text) in [
        ("org/app", "ghcr.io", "no upstream registry `ghcr.io` is configured"),
        ("org/app", "", "no upstream registry `` is configured"),
        ("quay.io/org/app", "docker.io", "`quay.io`, the parameter ns `docker.io`"),
        ("org/app", "glpat-secret/../x", "registry (hidden)"),
    ] {
        let error = found(&known, image, Some(namespace)).unwrap_err();
        assert!(error.contains(text) && !error.contains("glpat"), "{error}");
    }
}

#[test]
fn a_default_upstream_without_a_host_name_has_no_host_like_repositories() {
    let odd = [names("registry", &[], false)];
    assert!(found(&odd, "group.x/app", Some("registry")).is_err());
    assert_eq!(found(&odd, "registry/group.x/app", None).unwrap().split(' ').next(), Some("0"));
}
