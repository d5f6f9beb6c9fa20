//! Filter configurations as Envoy loads them: ECDS resources whose rules are filled in from a
//! template, checked as the filter checks them, and moved into place.
//!
//! Envoy reloads a watched file when another file is moved onto it. A moved file is complete, so
//! Envoy never reads a half-written one.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;

use crate::{ConfigError, Router};

/// Where an ECDS resource holds the filter's configuration.
const CONFIGURATION: &str = "/resources/0/typed_config/config/configuration/value";

/// Why a filter configuration cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file or folder cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// A template has `${` without a `}` on the same line.
    #[error("`${{` without `}}` in the line: {0}")]
    Unclosed(String),
    /// The rendered template is not YAML.
    #[error("not valid YAML: {0}")]
    Yaml(#[from] serde_saphyr::Error),
    /// The rendered template is not an ECDS resource of the filter.
    #[error("no filter configuration at {CONFIGURATION}")]
    NoConfiguration,
    /// The filter would reject the configuration; the error names the rule and the field.
    #[error("the filter rejects the configuration: {0}")]
    Rejected(#[from] ConfigError),
}

impl InstallError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |error| Self::File { path: path.to_owned(), error }
    }
}

/// Renders a template and checks the result. Each `${FILE}` is replaced by that file below `folder`.
///
/// # Errors
/// [`InstallError`] if a file is missing, or the filter would reject the result.
pub fn render(template: &str, folder: &Path) -> Result<String, InstallError> {
    let lines: Result<Vec<_>, _> = template.lines().map(|line| fill_in(line, folder)).collect();
    let text = lines?.join("\n") + "\n";
    let resource: Value = serde_saphyr::from_str(&text)?;
    let configuration = resource.pointer(CONFIGURATION).and_then(Value::as_str);
    Router::from_json(configuration.ok_or(InstallError::NoConfiguration)?.as_bytes())?;
    Ok(text)
}

/// Writes `text` to a temporary file beside `path` and moves it onto `path`.
///
/// # Errors
/// [`InstallError::File`] if the folder cannot be written.
pub fn move_into_place(path: &Path, text: &str) -> Result<(), InstallError> {
    install(&[(path.to_owned(), text.to_owned())])
}

/// Moves files into place, as [`move_into_place`] does, after all of them have been written.
///
/// # Errors
/// [`InstallError::File`] if a file cannot be written, in which case none is moved.
pub fn install(files: &[(PathBuf, String)]) -> Result<(), InstallError> {
    for (path, text) in files {
        let temporary = temporary(path);
        fs::write(&temporary, text).map_err(InstallError::file(&temporary))?;
    }
    for (path, _) in files {
        fs::rename(temporary(path), path).map_err(InstallError::file(path))?;
    }
    Ok(())
}

/// Replaces `name` in a line of a YAML template. Each further line of `value` gets the indentation
/// of that line, so that it stays inside the same block scalar.
#[must_use]
pub fn substitute(line: &str, name: &str, value: &str) -> String {
    if !line.contains(name) {
        return line.to_owned();
    }
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    line.replace(name, &value.replace('\n', &format!("\n{indent}")))
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn fill_in(line: &str, folder: &Path) -> Result<String, InstallError> {
    let Some((_, rest)) = line.split_once("${") else { return Ok(line.to_owned()) };
    let Some((name, _)) = rest.split_once('}') else {
        return Err(InstallError::Unclosed(line.trim().to_owned()));
    };
    // The name as the template has it, where the folder is the current one.
    let path = if folder == Path::new(".") { PathBuf::from(name) } else { folder.join(name) };
    let text = fs::read_to_string(&path).map_err(InstallError::file(&path))?;
    Ok(substitute(line, &format!("${{{name}}}"), text.trim_end()))
}

#[cfg(test)]
mod tests;
