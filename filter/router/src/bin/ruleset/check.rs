//! `ruleset check`: errors, for which the filter would reject a ruleset, and warnings.

use std::path::{Path, PathBuf};

use anyhow::Result;
use router::{Router, config, lint};

use crate::files::{self, RulesetFile};
use crate::report::Report;

/// The errors and warnings of one file.
struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
    rules: usize,
}

pub(crate) fn run(paths: &[PathBuf], deny_warnings: bool) -> Result<Report> {
    let mut report = Report { text: String::new(), success: true };
    for path in files::expand(paths)? {
        let Findings { errors, warnings, rules } = inspect(&path);
        let file = path.display();
        for error in &errors {
            report.text += &format!("{file}: error: {error}\n");
        }
        for warning in &warnings {
            report.text += &format!("{file}: warning: {warning}\n");
        }
        if errors.is_empty() && warnings.is_empty() {
            report.text += &format!("{file}: configuration OK ({rules} rules)\n");
        }
        report.success &= errors.is_empty() && (warnings.is_empty() || !deny_warnings);
    }
    Ok(report)
}

fn inspect(path: &Path) -> Findings {
    let mut findings = Findings { errors: Vec::new(), warnings: Vec::new(), rules: 0 };
    if let Err(error) = try_inspect(path, &mut findings) {
        let file = format!("{}: ", path.display());
        let error = format!("{error:#}");
        findings.errors.push(error.strip_prefix(&file).unwrap_or(&error).to_owned());
    }
    findings
}

fn try_inspect(path: &Path, findings: &mut Findings) -> Result<()> {
    let file = RulesetFile::read(path)?;
    let ruleset = config::from_json(file.ruleset().to_string().as_bytes())?;
    let router = Router::from_json(file.config.to_string().as_bytes())?;
    findings.rules = router.ruleset().ids().count();
    let cases = file.cases()?;
    if cases.is_none() {
        findings.warnings.push(format!("no cases: {} does not exist", file.cases_path().display()));
    }
    let lints = lint::warnings(&ruleset, cases.as_ref())?;
    findings.warnings.extend(lints.iter().map(ToString::to_string));
    Ok(())
}
