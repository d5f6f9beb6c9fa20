//! The variables a rule may read, known when it is compiled.

use std::collections::BTreeMap;

use crate::variables::{Reference, Template};

/// The fields of a decoded token's routing.
const ROUTING_FIELDS: &[&str] = &["c", "g", "o", "p", "t", "u"];

/// What a variable holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Routing,
    Scopes,
    /// Claims of a JWT, known only when it comes.
    Claims,
}

impl Shape {
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

/// Variables set so far, in the order matches and transforms set them.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Shape>);

impl Names {
    /// Adds a variable; one that is there already would be ambiguous.
    pub(super) fn define(&mut self, name: &str, shape: Shape) -> Result<(), String> {
        match self.0.insert(name.to_owned(), shape) {
            None => Ok(()),
            Some(_) => Err(format!("variable `{name}` is set twice")),
        }
    }

    /// Reads a template all of whose variables are known.
    pub(super) fn template(&self, text: &str) -> Result<Template, String> {
        let template: Template = text.parse().map_err(|error| format!("{error}"))?;
        if template.references().all(|reference| self.knows(reference)) {
            Ok(template)
        } else {
            Err(format!("`{text}` reads a variable that no match or transform sets"))
        }
    }

    fn knows(&self, reference: &Reference) -> bool {
        self.0.get(&reference.name).is_some_and(|shape| shape.has(&reference.fields))
    }
}
