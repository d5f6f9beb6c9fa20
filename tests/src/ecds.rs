//! Filter configurations as Envoy loads them: `${FILE}` in a template is replaced by that file, what
//! comes out is compiled as the filter would, and moved into place.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use router::Router;
use serde_json::Value;

/// Where an ECDS resource holds what the filter is configured with.
const CONFIGURATION: &str = "/resources/0/typed_config/config/configuration/value";

/// Fills in a template; files are looked for in `folder`.
///
/// # Errors
/// A file is missing, or the filter would refuse the outcome; the rule and its field are told.
pub fn render(template: &str, folder: &Path) -> Result<String> {
    let lines: Result<Vec<_>> = template.lines().map(|line| fill_in(line, folder)).collect();
    let text = lines?.join("\n") + "\n";
    let resource: Value = serde_saphyr::from_str(&text).context("it is no YAML")?;
    let configuration = resource.pointer(CONFIGURATION).and_then(Value::as_str);
    let configuration = configuration.with_context(|| format!("nothing is at {CONFIGURATION}"))?;
    Router::from_json(configuration.as_bytes()).context("the filter refuses it")?;
    Ok(text)
}

/// Envoy watches for files that are moved, and reads no half-written one that way.
///
/// # Errors
/// The folder cannot be written.
pub fn move_into_place(path: &Path, text: &str) -> Result<()> {
    let aside = path.with_extension("new");
    let written = fs::write(&aside, text).and_then(|()| fs::rename(&aside, path));
    written.with_context(|| path.display().to_string())
}

fn fill_in(line: &str, folder: &Path) -> Result<String> {
    let Some((_, rest)) = line.split_once("${") else { return Ok(line.to_owned()) };
    let (name, _) = rest.split_once('}').with_context(|| format!("no }} after: {line}"))?;
    let text = fs::read_to_string(folder.join(name)).with_context(|| name.to_owned())?;
    Ok(substitute(line, &format!("${{{name}}}"), text.trim_end()))
}

/// A value of several lines keeps the indentation of the line it is put in, as YAML wants it.
pub(crate) fn substitute(line: &str, name: &str, value: &str) -> String {
    if !line.contains(name) {
        return line.to_owned();
    }
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    line.replace(name, &value.replace('\n', &format!("\n{indent}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program;

    fn shipped(name: &str) -> String {
        fs::read_to_string(program::workspace().join("envoy").join(name)).unwrap()
    }

    #[test]
    fn the_templates_shipped_take_the_rulesets_shipped() {
        for name in ["filter-web.yaml", "filter-registry.yaml"] {
            let text = render(&shipped(name), &program::workspace()).unwrap();
            assert!(text.contains("first_cell"), "{name}");
        }
    }

    #[test]
    fn a_ruleset_the_filter_would_refuse_is_named_by_file_rule_and_field() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rulesets")).unwrap();
        let file = folder.path().join("rulesets/dependency_proxy.json");
        let refused =
            || format!("{:#}", render(&shipped("filter-web.yaml"), folder.path()).unwrap_err());
        assert!(refused().contains("rulesets/dependency_proxy.json"), "{}", refused());

        fs::write(&file, r#"{"rules": [{"id": "odd", "action": "classify"}]}"#).unwrap();
        assert!(refused().contains("odd"), "{}", refused());
        fs::write(&file, r#"{"rulse": []}"#).unwrap();
        assert!(refused().contains("rulse"), "{}", refused());
    }
}
