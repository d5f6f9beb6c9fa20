use super::*;

const EXAMPLE: &str = include_str!("../../topology.example.toml");

fn rejection(text: &str) -> String {
    Config::from_toml(&format!("env = \"test\"\n{text}")).unwrap_err().to_string()
}

fn cells(second: &str) -> String {
    format!(
        "[[cells]]\nid = 1\naddress = \"cell-1\"\nregistry_address = \"registry-1\"\n\
         session_prefix = \"one\"\nsequence_ranges = [{{ minval = 1, maxval = 100 }}]\n\
         [[cells]]\n{second}\n"
    )
}

fn claims(entries: &str) -> String {
    format!("{}{entries}", cells("id = 2\naddress = \"cell-2\""))
}

#[test]
fn the_example_is_valid_and_shows_every_key() {
    let config = Config::from_toml(EXAMPLE).unwrap();
    assert_eq!(config.directory.cells().len(), 2);
    let keys = ["registry_address", "session_prefix", "skip_range_validation", "minval", "maxval"];
    let claims = ClaimKind::ALL.map(ClaimKind::name);
    for key in keys.into_iter().chain(claims) {
        assert!(EXAMPLE.lines().any(|line| line.starts_with(&format!("{key} ="))), "{key}");
    }
}

#[test]
fn the_example_shows_the_default_ttls() {
    let config = Config::from_toml(EXAMPLE).unwrap();
    assert_eq!(config.cache, CacheFields::default().into());
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/topology.toml")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nonexistent/topology.toml: "), "{error}");
}

#[test]
fn an_invalid_file_and_the_field_at_fault_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("topology.toml");
    std::fs::write(&file, "env = \"test\"\n[[cells]]\nid = 1\nadress = \"cell-1\"\n").unwrap();
    let error = Config::load(&file).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:4: ", file.display())), "{error}");
    assert!(error.contains("unknown field `adress`"), "{error}");
}

#[test]
fn the_line_of_the_table_at_fault_is_named() {
    let cells = "env = \"test\"\n[[cells]]\nid = 1\naddress = \"a\"\n[[cells]]\nid = 2\n";
    for (rest, line) in [
        ("address = \"a\"\n", 5),
        ("address = \"b\"\n\n[[claims]]\ncell = 1\nroute = \"x/y\"\n", 9),
        ("address = \"b\"\n[[claims]]\ncell = 1\n[[claims]]\ncell = 2\nroute = \"x\"\n", 8),
        ("address = \"b\"\n[[claims]]\ncell = 3\nroute = \"x\"\n", 8),
        (
            "address = \"b\"\n[[claims]]\ncell = 1\nroute = \"x\"\nusername = \"x\"\n\
             [[claims]]\ncell = 2\nusername = \"X\"\n",
            12,
        ),
    ] {
        let text = format!("{cells}{rest}");
        let error = Config::from_toml(&text).unwrap_err();
        assert_eq!(error.line(&text), Some(line), "{text}{error}");
    }
    assert_eq!(Config::from_toml("env = \"test\"\ncells = []").unwrap_err().line(""), None);
}

#[test]
fn unknown_fields_are_rejected_at_every_level() {
    for text in [
        "colour = 1\n[[cells]]\nid = 1\naddress = \"a\"",
        "[cache]\ncolour = 1\n[[cells]]\nid = 1\naddress = \"a\"",
        "[[cells]]\nid = 1\naddress = \"a\"\ncolour = 1",
        "[[cells]]\nid = 1\naddress = \"a\"\n[[cells.sequence_ranges]]\nminval=1\nmaxval=2\ncolour=1",
    ] {
        assert!(rejection(text).contains("unknown field `colour`"), "{}", rejection(text));
    }
}

#[test]
fn a_directory_needs_a_cell() {
    assert_eq!(rejection("cells = []"), "cells: at least one cell is needed");
}

#[test]
fn a_value_that_identifies_a_cell_is_unique() {
    for (second, expected) in [
        ("id = 1\naddress = \"b\"", "cells.id: 1 is given twice"),
        (
            "id = 2\naddress = \"cell-1\"",
            "cells.address: cell-1 is given twice, to cell 1 and to cell 2",
        ),
        (
            "id = 2\naddress = \"b\"\nregistry_address = \"registry-1\"",
            "cells.registry_address: registry-1 is given twice, to cell 1 and to cell 2",
        ),
        (
            "id = 2\naddress = \"b\"\nsession_prefix = \"one\"",
            "cells.session_prefix: one is given twice, to cell 1 and to cell 2",
        ),
    ] {
        assert_eq!(rejection(&cells(second)), expected);
    }
}

#[test]
fn ranges_of_two_cells_must_not_overlap_unless_one_is_exempt() {
    let ranges = "sequence_ranges = [{ minval = 100, maxval = 200 }]";
    let second = format!("id = 2\naddress = \"b\"\n{ranges}");
    let error = rejection(&cells(&second));
    assert!(error.contains("cell 1 and cell 2 overlap at 100"), "{error}");
    let exempt = cells(&format!("{second}\nskip_range_validation = true"));
    assert!(Config::from_toml(&format!("env = \"test\"\n{exempt}")).is_ok());
}

#[test]
fn invalid_values_of_a_cell_are_rejected() {
    for second in [
        "id = 0\naddress = \"b\"",
        "id = -1\naddress = \"b\"",
        "id = \"2\"\naddress = \"b\"",
        "id = 2\naddress = \"\"",
        "id = 2\naddress = \"a b\"",
        "id = 2\naddress = \"b\"\nsequence_ranges = [{ minval = 9, maxval = 8 }]",
    ] {
        rejection(&cells(second));
    }
}

#[test]
fn a_claim_must_name_a_known_cell() {
    let error = rejection(&claims("[[claims]]\ncell = 7\nroute = \"acme\""));
    assert_eq!(error, "claims: route \"acme\" names cell 7, which is not among the cells");
}

#[test]
fn a_claim_has_one_owner_regardless_of_letter_case() {
    let error = rejection(&claims(
        "[[claims]]\ncell = 1\nroute = \"acme\"\n[[claims]]\ncell = 2\nroute = \"ACME\"",
    ));
    assert_eq!(error, "claims: route \"ACME\" is given twice, to cell 1 and to cell 2");
}

#[test]
fn a_claim_that_no_cell_can_own_is_rejected_by_name() {
    for (claim, expected) in [
        ("route = \"acme/team\"", "claims[0].route: only the top-level segment"),
        ("route = \"\"", "claims[0].route: expected a value"),
        ("route = 7", "claims[0].route: expected a string"),
        ("route = 1.5", "claims[0].route: expected a string or a whole number"),
        ("rute = \"acme\"", "claims[0].rute: unknown kind of claim"),
        ("organizationId = 7", "claims[0].organizationId: unknown kind of claim"),
        ("organization_id = 0", "claims[0].organization_id: expected a positive number"),
        ("", "claims[0]: expected at least one claim"),
    ] {
        let error = rejection(&claims(&format!("[[claims]]\ncell = 1\n{claim}")));
        assert!(error.starts_with(expected), "{error}");
    }
}
