use super::*;

fn names(name: &str, aliases: &[&str], library: bool) -> Names {
    let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
    Names { name: name.to_owned(), aliases, library }
}

fn known() -> Vec<Names> {
    vec![
        names("docker.io", &["index.docker.io"], true),
        names("quay.io", &[], false),
        names("registry.corp", &["registry.corp:5000"], false),
    ]
}

/// `upstream repository name`, or the refusal.
fn found(known: &[Names], image: &str, namespace: Option<&str>) -> Result<String, String> {
    let route = route(known, &image.parse().unwrap(), namespace);
    let told = |Route { upstream, repository, name }| format!("{upstream} {repository} {name}");
    route.map(told).map_err(|error| error.to_string())
}

#[test]
fn one_image_has_one_name_however_it_is_spelled() {
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
fn the_default_has_the_same_rows_whether_it_is_named_or_not() {
    let other = [names("gitlab.corp", &[], false)];
    assert_eq!(found(&other, "org/app", None).unwrap(), "0 org/app org/app");
    assert_eq!(found(&other, "gitlab.corp/org/app", None).unwrap(), "0 org/app org/app");
    assert_eq!(found(&other, "library/app", None).unwrap(), "0 library/app library/app");
}

#[test]
fn an_upstream_is_never_taken_for_a_plain_repository() {
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
        "an upstream ghcr.io that comes later finds none of its rows taken"
    );
}

#[test]
fn a_namespace_is_a_closed_world() {
    let known = known();
    for (image, namespace, told) in [
        ("org/app", "ghcr.io", "no upstream registry `ghcr.io` here"),
        ("org/app", "", "no upstream registry `` here"),
        ("quay.io/org/app", "docker.io", "both `quay.io` and `docker.io`"),
        ("org/app", "glpat-secret/../x", "of that ns"),
    ] {
        let error = found(&known, image, Some(namespace)).unwrap_err();
        assert!(error.contains(told) && !error.contains("glpat"), "{error}");
    }
}

#[test]
fn a_default_without_a_hosts_name_has_no_repositories_that_look_like_hosts() {
    let odd = [names("registry", &[], false)];
    assert!(found(&odd, "group.x/app", Some("registry")).is_err());
    assert_eq!(found(&odd, "registry/group.x/app", None).unwrap().split(' ').next(), Some("0"));
}
