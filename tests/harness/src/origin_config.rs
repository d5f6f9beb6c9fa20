//! `origin.toml`: an origin's configuration, as its operator writes it.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

/// The usual configuration of an origin, and what a test changes in it.
#[derive(Debug, Clone, Default)]
pub struct OriginConfig(Table);

impl OriginConfig {
    /// Cell 1 on this loopback port. Its database, objects, spool and signing key are in `home`.
    #[must_use]
    pub fn new(home: &Path, port: u16) -> Self {
        let home = home.display();
        Self::default()
            .set("cell", "id", 1)
            .set("http", "listen", format!("127.0.0.1:{port}"))
            .set("http", "external_url", "http://edge.example")
            .set("database", "url", format!("sqlite:{home}/origin.db"))
            .set("store", "url", format!("file://{home}/objects"))
            .set("store", "spool", format!("{home}/spool"))
            .set("auth", "signing_key", format!("{home}/key.pem"))
    }

    /// Sets one key of a section.
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: impl Into<Value>) -> Self {
        let section = self.0.entry(section).or_insert_with(|| Table::new().into());
        if let Value::Table(section) = section {
            section.insert(key.to_owned(), value.into());
        }
        self
    }

    /// Merges further lines, which begin inside `section`; a key they hold replaces the present
    /// one.
    ///
    /// # Errors
    /// The lines are not TOML.
    pub fn merge(mut self, section: &str, lines: &str) -> Result<Self> {
        let text = format!("[{section}]\n{lines}");
        let further = text.parse().with_context(|| text.clone())?;
        merge(&mut self.0, further);
        Ok(self)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, self.to_string()).with_context(|| file.display().to_string())
    }
}

impl fmt::Display for OriginConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn merge(table: &mut Table, further: Table) {
    for (key, value) in further {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(present)), Value::Table(further)) => merge(present, further),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_lines_replace_keys_and_add_sections() {
        let config =
            OriginConfig::new(Path::new("/home"), 80).set("upstream", "read_timeout", "2s");
        let lines = "read_timeout = \"9s\"\n[cache]\nmemory = 0\n";
        let text = config.merge("upstream", lines).unwrap().to_string();
        assert!(text.contains("[upstream]\nread_timeout = \"9s\"\n"), "{text}");
        assert!(text.contains("[cache]\nmemory = 0\n"), "{text}");
        assert!(text.contains("signing_key = \"/home/key.pem\"\n"), "{text}");
    }
}
