use crate::config::tests::MINIMAL;
use crate::config::{Config, ExposeSecret as _, Password, ShortNames};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(&format!("{MINIMAL}{text}")).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_name_is_all_that_another_upstream_needs() {
    let config = parse("[upstreams.\"quay.io\"]\n[upstreams.\"docker.corp\"]\n").unwrap();
    assert_eq!(config.upstream.name, "docker.io");
    let quay = config.upstreams.iter().find(|upstream| upstream.name == "quay.io").unwrap();
    assert_eq!(quay.registry.url.as_str(), "https://quay.io/");
    assert_eq!(quay.short_names, ShortNames::AsIs);
}

#[test]
fn docker_hub_has_its_defaults_in_either_section() {
    let text = "[upstream]\nurl = \"https://gitlab.corp:5050\"\n[upstreams.\"docker.io\"]\n";
    let config = parse(text).unwrap();
    assert_eq!(config.upstream.name, "gitlab.corp");
    assert_eq!(config.upstream.aliases, ["gitlab.corp:5050"]);
    let hub = config.upstreams.first().unwrap();
    assert_eq!(hub.registry.url.as_str(), "https://registry-1.docker.io/");
    assert_eq!(hub.short_names, ShortNames::Library);
}

#[test]
fn a_mirror_is_a_url_or_a_table_with_credentials() {
    let text = r#"[upstream]
mirrors = ["https://one.example", { url = "https://two.example", username = "me", password = "hunter2" }]
"#;
    let config = parse(text).unwrap();
    let [one, two] = config.upstream.mirrors.as_slice() else { panic!("expected two mirrors") };
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
    let Password::Given(secret) = read else { panic!("the password was not read") };
    assert_eq!(secret.expose_secret(), "hunter2");
    for broken in ["", "\n", "two\nlines"] {
        std::fs::write(&file, broken).unwrap();
        let error = format!("{:#}", upstream.with_passwords().unwrap_err());
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
}

#[test]
fn an_invalid_section_is_rejected_with_the_name_of_the_key() {
    for (text, named) in [
        ("[upstreams.quay]\n", "[upstreams.\"quay\"]: `quay` is not a valid upstream name"),
        ("[upstreams.\"quay.io:443\"]\n", "without a port"),
        ("[upstreams.\"a.b/c\"]\n", "not a valid upstream name"),
        ("[upstreams.\"Quay.io\"]\n", "lower-case"),
        ("[upstreams.\"quay.io\"]\nname = \"x.y\"\n", "the table's name is the upstream's name"),
        ("[upstreams.\"quay.io\"]\ncolour = 1\n", "colour"),
        ("[upstreams.\"docker.io\"]\n", "the default upstream already has this name"),
        ("[upstream]\nname = \"hub\"\n", "[upstream] name"),
        ("[upstream]\npassword_file = \"/x\"\n", "set both or neither"),
        (
            "[upstream]\nusername = \"a\"\npassword = \"b\"\npassword_file = \"/x\"\n",
            "only one of them",
        ),
        ("[upstream]\nmirrors = [\"ftp://x\"]\n", "is not an http or https URL"),
        ("[upstream]\nmirrors = [{ url = \"https://x\", colour = 1 }]\n", "colour"),
        (
            "[upstream]\nmirrors = [{ url = \"https://x\", username = \"a\" }]\n",
            "mirrors: username",
        ),
        ("[upstream]\nallowed_networks = [\"10.0.0.0/99\"]\n", "allowed_networks"),
        ("[upstream]\nmax_connections = 1\n", "max_connections: must be at least 2"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(named), "{text}: {error}");
    }
}
