use crate::config::tests::MINIMAL;
use crate::config::{Config, ExposeSecret as _, Password, ShortNames};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(&format!("{MINIMAL}{text}")).map_err(|error| format!("{error:#}"))
}

#[test]
fn another_upstream_needs_no_more_than_its_name() {
    let config = parse("[upstreams.\"quay.io\"]\n[upstreams.\"docker.corp\"]\n").unwrap();
    assert_eq!(config.upstream.name, "docker.io");
    let quay = config.upstreams.iter().find(|upstream| upstream.name == "quay.io").unwrap();
    assert_eq!(quay.registry.url.as_str(), "https://quay.io/");
    assert_eq!(quay.short_names, ShortNames::AsIs);
}

#[test]
fn docker_hub_is_docker_hub_under_any_heading() {
    let text = "[upstream]\nurl = \"https://gitlab.corp:5050\"\n[upstreams.\"docker.io\"]\n";
    let config = parse(text).unwrap();
    assert_eq!(config.upstream.name, "gitlab.corp");
    assert_eq!(config.upstream.aliases, ["gitlab.corp:5050"]);
    let hub = config.upstreams.first().unwrap();
    assert_eq!(hub.registry.url.as_str(), "https://registry-1.docker.io/");
    assert_eq!(hub.short_names, ShortNames::Library);
}

#[test]
fn a_mirror_is_a_url_or_a_table_with_a_login_of_its_own() {
    let text = r#"[upstream]
mirrors = ["https://one.example", { url = "https://two.example", username = "me", password = "hunter2" }]
"#;
    let config = parse(text).unwrap();
    let [one, two] = config.upstream.mirrors.as_slice() else { panic!("two mirrors") };
    assert_eq!((one.url.as_str(), &one.credential), ("https://one.example/", &None));
    assert_eq!(two.credential.as_ref().unwrap().username, "me");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_password_is_read_from_its_file_without_the_line_break() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let text = format!("[upstream]\nusername = \"me\"\npassword_file = \"{}\"\n", file.display());
    let upstream = parse(&text).unwrap().upstream;
    let read = upstream.with_passwords().unwrap().registry.credential.unwrap().password;
    let Password::Given(secret) = read else { panic!("still a file") };
    assert_eq!(secret.expose_secret(), "hunter2");
    for broken in ["", "\n", "two\nlines"] {
        std::fs::write(&file, broken).unwrap();
        let error = format!("{:#}", upstream.with_passwords().unwrap_err());
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    for (text, named) in [
        ("[upstreams.quay]\n", "[upstreams.\"quay\"]: `quay` is no upstream's name"),
        ("[upstreams.\"quay.io:443\"]\n", "without a port"),
        ("[upstreams.\"a.b/c\"]\n", "no upstream's name"),
        ("[upstreams.\"Quay.io\"]\n", "lower-case"),
        ("[upstreams.\"quay.io\"]\nname = \"x.y\"\n", "the table's name is its name"),
        ("[upstreams.\"quay.io\"]\ncolour = 1\n", "colour"),
        ("[upstreams.\"docker.io\"]\n", "the default upstream has this name"),
        ("[upstream]\nname = \"hub\"\n", "[upstream] name"),
        ("[upstream]\npassword_file = \"/x\"\n", "give both or neither"),
        ("[upstream]\nusername = \"a\"\npassword = \"b\"\npassword_file = \"/x\"\n", "one of them"),
        ("[upstream]\nmirrors = [\"ftp://x\"]\n", "not an http(s) URL"),
        ("[upstream]\nmirrors = [{ url = \"https://x\", colour = 1 }]\n", "colour"),
        (
            "[upstream]\nmirrors = [{ url = \"https://x\", username = \"a\" }]\n",
            "mirrors: username",
        ),
        ("[upstream]\nallowed_networks = [\"10.0.0.0/99\"]\n", "allowed_networks"),
        ("[upstream]\nmax_connections = 1\n", "max_connections: at least 2"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(named), "{text}: {error}");
    }
}
