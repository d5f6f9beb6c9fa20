//! The variables that a rule defines, known when it is compiled.

use std::collections::BTreeMap;

use super::variables::{Reference, Template};

/// The routing fields of a token.
const ROUTING_FIELDS: &[&str] = &["c", "g", "o", "p", "t", "u"];

/// The kind of a variable, which determines the fields it can have.
#[derive(Debug, Clone, Copy)]
pub(super) enum VariableKind {
    Text,
    Routing,
    Scopes,
    /// The claims of a JWT, whose fields are unknown until it is decoded.
    Claims,
}

impl VariableKind {
    fn has(self, fields: &[String]) -> bool {
        let only = |known: &[&str]| matches!(fields, [field] if known.contains(&field.as_str()));
        match self {
            Self::Text => fields.is_empty(),
            Self::Routing => only(ROUTING_FIELDS),
            Self::Scopes => only(&["namespace"]),
            Self::Claims => !fields.is_empty(),
        }
    }
}

/// The variables defined by the matches and transforms compiled so far.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, VariableKind>);

impl Names {
    /// Defines a variable. Defining one twice is an error.
    pub(super) fn define(&mut self, name: &str, kind: VariableKind) -> Result<(), String> {
        match self.0.insert(name.to_owned(), kind) {
            None => Ok(()),
            Some(_) => Err(format!("variable `{name}` is defined twice")),
        }
    }

    /// Parses a template and checks that its variables are defined.
    pub(super) fn template(&self, text: &str) -> Result<Template, String> {
        let template: Template = text.parse().map_err(|error| format!("{error}"))?;
        if template.references().all(|reference| self.defines(reference)) {
            Ok(template)
        } else {
            Err(format!("`{text}` uses a variable that no match or transform defines"))
        }
    }

    fn defines(&self, reference: &Reference) -> bool {
        self.0.get(&reference.name).is_some_and(|kind| kind.has(&reference.fields))
    }
}
