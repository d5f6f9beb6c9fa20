//! Fuel of a request, for each shipped ruleset: decided by its first rule, by its last, and both
//! again once the Topology Service's answers and the path are known.

use anyhow::{Context as _, Result};
use e2e::replay::{case_files, play, ruleset, shipped};
use router::cases::{Case, CaseFile};
use serde_json::Value;

/// Measures and prints.
///
/// # Errors
/// A ruleset has no case for a rule, or the filter fails.
pub(crate) fn print() -> Result<()> {
    println!("Fuel a request (wasmtime; instructions, the same on every machine)\n");
    println!("{:<20} {:<12} {:>9} {:>9}  case", "ruleset", "decided by", "asked", "known");
    for (name, file) in case_files()? {
        for (which, case) in first_and_last(&name, &file)? {
            let mut host = shipped(&name)?;
            let asked = play(&mut host, case, file.directory(case))?;
            host.end_stream(asked.stream)?;
            let known = play(&mut host, case, file.directory(case))?.fuel;
            println!("{name:<20} {which:<12} {:>9} {known:>9}  {}", asked.fuel, case.name);
        }
    }
    Ok(())
}

fn first_and_last<'f>(name: &str, file: &'f CaseFile) -> Result<[(&'static str, &'f Case); 2]> {
    let ruleset = ruleset(name)?;
    let rules = ruleset.get("rules").and_then(Value::as_array).context("a ruleset has rules")?;
    let by = |rule: Option<&Value>| {
        let id = rule.and_then(|rule| rule.get("id")?.as_str());
        let case = file.cases.iter().find(|case| id.is_some() && case.expect.rule.as_deref() == id);
        case.with_context(|| format!("{name}: no case is decided by {id:?}"))
    };
    Ok([("first rule", by(rules.first())?), ("last rule", by(rules.last())?)])
}
