//! `ruleset check`: what the filter would refuse, and what looks like a mistake.

use std::path::{Path, PathBuf};

use anyhow::Result;
use router::{Router, config, lint};

use crate::Report;
use crate::files::{self, RulesetFile};

/// What was found in one file.
struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
    rules: usize,
}

pub(crate) fn run(paths: &[PathBuf], deny_warnings: bool) -> Result<Report> {
    let mut report = Report { text: String::new(), well: true };
    for path in files::expand(paths)? {
        let Findings { errors, warnings, rules } = look(&path);
        let file = path.display();
        for error in &errors {
            report.text += &format!("{file}: error: {error}\n");
        }
        for warning in &warnings {
            report.text += &format!("{file}: warning: {warning}\n");
        }
        if errors.is_empty() && warnings.is_empty() {
            report.text += &format!("{file}: {rules} rules, ok\n");
        }
        report.well &= errors.is_empty() && (warnings.is_empty() || !deny_warnings);
    }
    Ok(report)
}

fn look(path: &Path) -> Findings {
    let mut findings = Findings { errors: Vec::new(), warnings: Vec::new(), rules: 0 };
    if let Err(error) = look_into(path, &mut findings) {
        let file = format!("{}: ", path.display());
        let error = format!("{error:#}");
        findings.errors.push(error.strip_prefix(&file).unwrap_or(&error).to_owned());
    }
    findings
}

fn look_into(path: &Path, findings: &mut Findings) -> Result<()> {
    let file = RulesetFile::read(path)?;
    let ruleset = config::from_json(file.ruleset().to_string().as_bytes())?;
    let router = Router::from_json(file.config.to_string().as_bytes())?;
    findings.rules = router.ruleset().ids().count();
    let cases = file.cases()?;
    if cases.is_none() {
        findings.warnings.push(format!("no cases: {} is missing", file.cases_path().display()));
    }
    let odd = lint::warnings(&ruleset, cases.as_ref())?;
    findings.warnings.extend(odd.iter().map(ToString::to_string));
    Ok(())
}
