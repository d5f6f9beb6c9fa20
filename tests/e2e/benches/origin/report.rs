//! Rounds, medians, and the printed lines.

use anyhow::Result;
use harness::progress;

/// The rounds of each measurement. The first one fills caches and is not counted.
pub(crate) const ROUNDS: usize = 5;

/// The budget of a ratio.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    AtLeast(f64),
    AtMost(f64),
}

impl Budget {
    fn verdict(self, value: f64) -> String {
        let (sign, bound, met) = match self {
            Self::AtLeast(bound) => ("≥", bound, value >= bound),
            Self::AtMost(bound) => ("≤", bound, value <= bound),
        };
        format!("budget {sign} {bound}: {}", if met { "reached" } else { "SHORT" })
    }
}

/// Prints the headline of a part.
pub(crate) fn headline(text: &str) {
    println!("\n{text}\n");
}

/// Prints a measured value.
pub(crate) fn value(what: &str, value: f64, unit: &str) {
    let digits = if value.abs() < 100.0 { 2 } else { 0 };
    println!("  {what:<58} {value:>12.digits$} {unit}");
}

/// Prints a ratio of two measured values with its budget.
pub(crate) fn ratio(what: &str, ratio: f64, budget: Budget) {
    println!("    {what:<56} {ratio:>12.2} ({})", budget.verdict(ratio));
}

/// Prints a measured value with its budget.
pub(crate) fn bounded(what: &str, value: f64, unit: &str, budget: Budget) {
    println!("  {what:<58} {value:>12.2} {unit} ({})", budget.verdict(value));
}

/// Measures all subjects in turn, round after round, and returns the median of each.
pub(crate) fn medians<S>(
    what: &str,
    subjects: &[S],
    mut measure: impl FnMut(&S) -> Result<f64>,
) -> Result<Vec<f64>> {
    let mut measured: Vec<Vec<f64>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 0..=ROUNDS {
        progress::show(&format!("{what}: round {round} of {ROUNDS}"));
        for (subject, kept) in subjects.iter().zip(&mut measured) {
            let value = measure(subject)?;
            if round > 0 {
                kept.push(value);
            }
        }
    }
    progress::show("");
    Ok(measured.into_iter().map(median).collect())
}

/// Returns the median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
