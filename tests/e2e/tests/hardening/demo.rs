//! The sections that the demo's Envoy shares with the production one are identical.

use harness::production::shipped;

/// The block under a key, without its indentation.
fn block(text: &str, key: &str) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().skip_while(|line| line.trim() != key);
    let depth = indent(lines.next()?);
    let inner = lines.take_while(|line| line.trim().is_empty() || indent(line) > depth);
    let inner: Vec<_> = inner.map(|line| line.get(depth..).unwrap_or_default()).collect();
    Some(inner.join("\n").trim_end().to_owned())
}

#[test]
fn error_replies_header_removal_and_metrics_are_those_of_production() {
    let production = shipped("envoy.yaml").unwrap();
    for (file, key) in [
        ("demo/listener.yaml", "local_reply_config:"),
        ("demo/listener.yaml", "early_header_mutation_extensions:"),
        ("demo/envoy.yaml", "stats_config:"),
    ] {
        let demo = block(&shipped(file).unwrap(), key);
        assert!(demo.is_some(), "{file}: {key}");
        assert_eq!(demo, block(&production, key), "{file}: {key}");
    }
}
