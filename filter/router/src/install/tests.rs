use std::fs;
use std::path::Path;

use super::*;

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn shipped(name: &str) -> String {
    fs::read_to_string(workspace().join("envoy").join(name)).unwrap()
}

#[test]
fn the_shipped_templates_accept_the_shipped_rulesets() {
    for name in ["filter-web.yaml", "filter-registry.yaml"] {
        let text = render(&shipped(name), workspace()).unwrap();
        assert!(text.contains("first_cell"), "{name}");
    }
}

#[test]
fn the_error_names_the_file_the_rule_and_the_field() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rulesets")).unwrap();
    let file = folder.path().join("rulesets/dependency_proxy.json");
    let error = || render(&shipped("filter-web.yaml"), folder.path()).unwrap_err().to_string();
    assert!(error().contains("rulesets/dependency_proxy.json"), "{}", error());

    fs::write(&file, r#"{"rules": [{"id": "odd", "action": "classify"}]}"#).unwrap();
    assert!(error().contains("odd"), "{}", error());
    fs::write(&file, r#"{"rulse": []}"#).unwrap();
    assert!(error().contains("rulse"), "{}", error());
}

#[test]
fn a_text_that_is_not_a_filter_resource_is_rejected() {
    let error = |template| render(template, workspace()).unwrap_err();
    assert!(matches!(error("a: ${b"), InstallError::Unclosed(line) if line == "a: ${b"));
    assert!(matches!(error("a: [b"), InstallError::Yaml(_)));
    assert!(matches!(error("resources: []"), InstallError::NoConfiguration));
}

#[test]
fn further_lines_of_a_value_are_indented() {
    assert_eq!(substitute("  a: ${B}", "${B}", "{\n}"), "  a: {\n  }");
}

#[test]
fn no_file_is_moved_if_one_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("a.yaml");
    fs::write(&first, "old").unwrap();
    let missing = folder.path().join("missing/b.yaml");
    let files = [(first.clone(), "new".to_owned()), (missing, "new".to_owned())];
    assert!(matches!(install(&files), Err(InstallError::File { .. })));
    assert_eq!(fs::read_to_string(&first).unwrap(), "old");
}
