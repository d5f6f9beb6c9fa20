//! `OpenMetrics` 1.0 to the Prometheus text format 0.0.4.
//!
//! `prometheus-client` writes only `OpenMetrics`. The formats differ in the name of a counter's family, in
//! types that the older format does not have, and in lines that it does not have. The conversion
//! covers what that library writes for these services: neither exemplars nor timestamps.

/// Converts a page.
pub(super) fn from_open_metrics(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = "";
    let mut created = String::new();
    for line in page.lines() {
        if let Some(line) = line.strip_prefix("# HELP ") {
            help = line;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(split) {
            created = format!("{name}_created");
            text.push_str(&describe(name, kind, help));
        } else if !line.starts_with('#') && !line.starts_with(&created) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Returns the lines `# HELP` and `# TYPE` of a family.
fn describe(name: &str, kind: &str, help: &str) -> String {
    let (suffix, kind) = match kind {
        // In OpenMetrics the suffix belongs to the sample, here to the whole family.
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "gauge" | "histogram" | "summary" => ("", kind),
        _ => ("", "untyped"),
    };
    let help = split(help).map_or("", |(_, help)| help);
    format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n")
}

fn split(line: &str) -> Option<(&str, &str)> {
    line.split_once(' ')
}
