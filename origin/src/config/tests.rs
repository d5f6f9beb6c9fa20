use super::*;

/// A configuration with the required keys only.
pub(crate) const MINIMAL: &str = r#"
[cell]
id = 1
[http]
listen = "127.0.0.1:8101"
external_url = "http://127.0.0.1:8080"
[database]
url = "sqlite:/tmp/origin.db"
[store]
url = "file:///tmp/objects"
spool = "/tmp/spool"
"#;

fn error_of(text: &str) -> String {
    format!("{:#}", Config::parse(text).unwrap_err())
}

const EXAMPLE: &str = include_str!("../../origin.example.toml");

/// Returns the example with every documented key enabled, except `password`, which excludes
/// `password_file`.
fn example_in_full() -> String {
    let in_full = |line: &str| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_key = bare.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let is_table = bare.starts_with('[') && bare.ends_with(']');
        let taken = (is_key || is_table) && !bare.starts_with("password = ");
        // A `file:` store has no options.
        taken.then(|| bare.replace("file:///var/lib/origin/objects", "s3://bucket"))
    };
    EXAMPLE.lines().filter_map(in_full).collect::<Vec<_>>().join("\n")
}

/// Returns the keys of a table of the configuration, as the error about an unknown key lists them.
fn keys_of(table: &str) -> Vec<String> {
    let (header, odd) = (format!("[{table}]\n"), "no_such_key = 1\n");
    let text = match MINIMAL.split_once(&header) {
        Some((before, after)) => format!("{before}{header}{odd}{after}"),
        None if table.is_empty() => format!("{odd}{MINIMAL}"),
        None => format!("{MINIMAL}{header}{odd}"),
    };
    let error = error_of(&text);
    let (_, expected) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_example_file_loads_unchanged_and_with_every_key_enabled() {
    Config::parse(EXAMPLE).unwrap();
    let config = Config::parse(&example_in_full()).unwrap();
    assert_eq!((config.upstream.mirrors.len(), config.upstreams.len()), (2, 1));
    assert_eq!(config.store.options.len(), 4);
}

#[test]
fn commented_out_keys_show_their_defaults() {
    let (full, default) =
        (Config::parse(&example_in_full()).unwrap(), Config::parse(EXAMPLE).unwrap());
    let shown = |config: &Config| {
        let Config { limits, auth, cache, database, .. } = config;
        format!("{limits:?} {auth:?} {:?} {:?} {database:?}", cache.memory, cache.memory_life)
    };
    assert_eq!(shown(&full), shown(&default));
    assert_eq!(full.upstream.max_connections, default.upstream.max_connections);
    assert_eq!(full.upstream.queue_timeout, default.upstream.queue_timeout);
    assert_eq!(full.store.part_size, default.store.part_size);
}

#[test]
fn the_example_documents_every_key() {
    let full: toml::Table = toml::from_str(&example_in_full()).unwrap();
    let tables = keys_of("");
    assert!(tables.len() > 5, "{tables:?}");
    for table in &tables {
        let documented = full.get(table).unwrap_or_else(|| panic!("[{table}] is not documented"));
        // The keys of this table are the names of upstreams.
        if table == "upstreams" {
            continue;
        }
        for key in keys_of(table).iter().filter(|key| *key != "password") {
            assert!(documented.get(key).is_some(), "[{table}] {key} is not documented");
        }
    }
}

#[test]
fn missing_keys_have_the_documented_defaults() {
    let config = Config::parse(MINIMAL).unwrap();
    assert_eq!(config.upstream.registry.url.as_str(), "https://registry-1.docker.io/");
    assert_eq!(config.upstream.short_names, ShortNames::Library);
    assert_eq!(config.auth.token_life, Duration::from_secs(900));
    assert_eq!(config.auth.issuer, "cell-1");
    assert_eq!(config.cache.when_refused, WhenRefused::Honest);
    assert_eq!(config.http.metrics_listen, None);
    assert_eq!(config.http.drain_delay, Duration::ZERO);
    assert_eq!(config.http.shutdown_timeout, Duration::from_secs(300));
    assert_eq!(config.limits.max_connections, 10_000);
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(65 * 60));
    assert_eq!(config.store.part_size.as_u64(), 8 << 20);
    assert_eq!((config.store.redirect, config.store.redirect_life.as_secs()), (false, 300));
    assert_eq!(config.database.acquire_timeout, Duration::from_secs(5));
}

#[test]
fn an_error_names_the_key() {
    let cases = [
        ("colour = 1\n", "colour"),
        ("[upstream]\nurl = \"ftp://x\"\n", "is not an http or https URL"),
        ("[upstream]\nurl = \"https://u:p@x/\"\n", "only a scheme, a host and a port"),
        ("[upstream]\nusername = \"me\"\n", "set both or neither"),
        ("[auth]\ntoken_life = \"1s\"\n", "token_life"),
        ("[limits]\nmax_connections = 0\n", "[limits] max_connections"),
        ("[limits]\nmax_streams = 0\n", "[limits] max_streams"),
        ("[limits]\nmax_head_bytes = 8191\n", "[limits] max_head_bytes"),
        ("[limits]\nidle_timeout = \"0s\"\n", "[limits] idle_timeout"),
        ("[cache]\nwhen_refused = \"maybe\"\n", "maybe"),
        ("[cache]\nrecheck_interval = \"soon\"\n", "recheck_interval"),
        ("[cache]\nimmutable_tags = [\"v[1\"]\n", "v[1"),
    ];
    for (addition, named) in cases {
        let text = if addition.starts_with('[') {
            format!("{MINIMAL}{addition}")
        } else {
            format!("{addition}{MINIMAL}")
        };
        assert!(error_of(&text).contains(named), "{addition}: {}", error_of(&text));
    }
    let database = |url| MINIMAL.replace("sqlite:/tmp/origin.db", url);
    let error = error_of(&database("mysql://u:hunter2@x/y"));
    assert!(error.contains("[database] url") && !error.contains("hunter2"), "{error}");
    let store = |url| MINIMAL.replace("file:///tmp/objects\"", &format!("{url}\"\n"));
    for (url, named) in [
        ("file:///x\"\nredirect = true\nredirect_life = \"1m", "[store] redirect: "),
        ("memory:\"\nredirect = true\nredirect_life = \"1m", "[store] redirect: "),
        ("s3://b\"\nredirect_life = \"0s", "[store] redirect_life"),
        ("s3://b\"\npart_size = 1\nredirect_life = \"1m", "[store] part_size"),
        ("file:///x\"\noptions.region = \"x", "[store.options]: a `file:` store"),
        ("s3://id:hunter2@b", "[store] url: may contain only a scheme"),
        ("s3://b?x=y", "[store] url: may contain only a scheme"),
    ] {
        let error = error_of(&store(url));
        assert!(error.contains(named) && !error.contains("hunter2"), "{url}: {error}");
    }
    assert!(
        error_of(&MINIMAL.replace("id = 1", "id = 0")).contains("[cell] id: must be at least 1")
    );
    let spool =
        |limit| MINIMAL.replace("spool = ", &format!("spool_limit = \"{limit}\"\nspool = "));
    assert!(error_of(&spool("much")).contains("spool_limit"));
    let parsed = Config::parse(&spool("10GiB")).unwrap().store.spool_limit.unwrap();
    assert_eq!(parsed.as_u64(), 10 << 30);
    assert!(error_of(&MINIMAL.replace("file://", "ftp://")).contains("[store] url"));
}

#[test]
fn debug_output_hides_secrets() {
    let text = format!("{MINIMAL}[upstream]\nusername = \"me\"\npassword = \"hunter2\"\n");
    let config = Config::parse(&text).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let Password::Given(secret) = config.upstream.registry.credential.unwrap().password else {
        panic!("the password is not the one in the file");
    };
    assert_eq!(secret.expose_secret(), "hunter2");
}
