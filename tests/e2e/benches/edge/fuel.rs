//! The fuel of a request for each shipped ruleset, decided by its first rule and by its last.

use anyhow::{Context as _, Result};
use harness::replay::{case_files, play, shipped};
use harness::rulesets;
use router::cases::{Case, CaseFile};
use serde_json::Value;

/// Milliseconds after which no response is cached, not even a stale one.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Measures the fuel and prints a table.
///
/// # Errors
/// A ruleset has no case for its first or last rule, or the filter fails.
pub(crate) fn print() -> Result<()> {
    println!(
        "Fuel a request (instructions in wasmtime, the same on every machine): the very first of a"
    );
    println!(
        "VM, which builds its automata; one whose Cell must be looked up; one whose Cell is cached\n"
    );
    println!(
        "{:<20} {:<12} {:>8} {:>8} {:>8}  case",
        "ruleset", "decided by", "first", "lookup", "cached"
    );
    for (name, file) in case_files()? {
        for (which, case) in first_and_last(&name, &file)? {
            let [first, lookup, cached] = fuel(&name, case, &file)?;
            println!("{name:<20} {which:<12} {first:>8} {lookup:>8} {cached:>8}  {}", case.name);
        }
    }
    Ok(())
}

fn fuel(name: &str, case: &Case, file: &CaseFile) -> Result<[u64; 3]> {
    let mut host = shipped(name)?;
    let mut spent = [0; 3];
    for (fuel, wait) in spent.iter_mut().zip([0, DAY, 0]) {
        host.pass_time(wait);
        let played = play(&mut host, case, file.directory(case))?;
        host.end_stream(played.stream)?;
        *fuel = played.fuel;
    }
    Ok(spent)
}

fn first_and_last<'f>(name: &str, file: &'f CaseFile) -> Result<[(&'static str, &'f Case); 2]> {
    let ruleset = rulesets::read(name)?;
    let rules = ruleset.get("rules").and_then(Value::as_array).context("a ruleset has rules")?;
    let by = |rule: Option<&Value>| {
        let id = rule.and_then(|rule| rule.get("id")?.as_str());
        let case = file.cases.iter().find(|case| id.is_some() && case.expect.rule.as_deref() == id);
        case.with_context(|| format!("{name}: no case is decided by {id:?}"))
    };
    Ok([("first rule", by(rules.first())?), ("last rule", by(rules.last())?)])
}
