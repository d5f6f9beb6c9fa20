//! `ruleset test`: runs the cases of a ruleset.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use router::{Millis, Router, cases};

use crate::files::{self, RulesetFile};
use crate::report::Report;

pub(crate) fn run(paths: &[PathBuf], cases: Option<&Path>) -> Result<Report> {
    let mut text = String::new();
    let (mut all, mut failed) = (0, 0);
    for path in files::expand(paths)? {
        let file = RulesetFile::read(&path)?;
        let default = file.cases_path();
        let failures = failures(&file, cases.unwrap_or(&default), &mut all)?;
        failed += failures.len();
        for (name, difference) in failures {
            let difference = difference.replace('\n', "\n    ");
            text += &format!("{}: failed: {name}\n    {difference}\n", path.display());
        }
    }
    text += &format!("{all} cases, {failed} failed\n");
    Ok(Report { text, success: failed == 0 })
}

/// Returns the names of failed cases and their differences.
fn failures(file: &RulesetFile, cases: &Path, count: &mut usize) -> Result<Vec<(String, String)>> {
    let config = file.config.to_string();
    let cases = files::case_file(cases)?;
    *count += cases.cases.len();
    let mut failures = Vec::new();
    for case in &cases.cases {
        // Each case has its own router, whose cache is empty.
        let router = Router::from_json(config.as_bytes())
            .with_context(|| file.path.display().to_string())?;
        let actual = cases::run(&router, &case.request, cases.directory(case), Millis(0));
        if let Err(difference) = case.expect.check(&actual) {
            failures.push((case.name.clone(), difference));
        }
    }
    Ok(failures)
}
