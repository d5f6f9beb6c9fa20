//! The variables of one rule for one request, and the `${name.field}` templates that read them.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// The number of texts one reference may have. It truncates a hostile list of claims and is higher
/// than any allowed `maxNamespaces`.
const MAX_TEXTS: usize = 128;

/// The captures of matches and the results of transforms. The last value set under a name counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(Vec<(String, Value)>);

impl Variables {
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.0.push((name.to_owned(), value));
    }

    /// Returns the texts of a reference: none if it does not exist, several if it is a list. Blank
    /// texts are omitted, as are texts with control characters, which could break out of a header.
    pub(crate) fn texts(&self, reference: &Reference) -> Vec<String> {
        let mut texts = Vec::new();
        let value = self.0.iter().rev().find(|(name, _)| *name == reference.name);
        if let Some((_, value)) = value {
            collect(value, &reference.fields, &mut texts);
        }
        texts
    }
}

/// Descends by field. A list is expanded into its items, so `access.name` reads every `name`.
fn collect(value: &Value, fields: &[String], texts: &mut Vec<String>) {
    match (value, fields.split_first()) {
        _ if texts.len() >= MAX_TEXTS => {}
        (Value::Array(items), _) => items.iter().for_each(|item| collect(item, fields, texts)),
        (Value::Object(object), Some((field, rest))) => {
            object.get(field).into_iter().for_each(|value| collect(value, rest, texts));
        }
        (Value::String(text), None) => push(text.clone(), texts),
        (Value::Number(number), None) if number.is_u64() => push(number.to_string(), texts),
        _ => {}
    }
}

fn push(text: String, texts: &mut Vec<String>) {
    if is_header_safe(&text) && !texts.contains(&text) {
        texts.push(text);
    }
}

fn is_header_safe(text: &str) -> bool {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    plain || !text.trim().is_empty() && !text.contains(char::is_control)
}

/// `name` or `name.field.field`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) fields: Vec<String>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.fields.iter().try_for_each(|field| write!(f, ".{field}"))
    }
}

/// A malformed template or reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed template `{0}`: expected ${{name}} or ${{name.field}}")]
pub(crate) struct TemplateError(String);

impl FromStr for Reference {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        let mut parts = text.split('.').map(str::to_owned);
        let name = parts.next().unwrap_or_default();
        let fields: Vec<_> = parts.collect();
        if !word(&name) || !fields.iter().all(|field| word(field)) {
            return Err(TemplateError(text.to_owned()));
        }
        Ok(Self { name, fields })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Variable(Reference),
}

/// A text with variables, as `cell-${decoded.c}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

impl Template {
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(reference) => Some(reference),
            Piece::Literal(_) => None,
        })
    }

    /// Returns all expansions: one for each item of a list, none if a variable does not exist.
    pub(crate) fn expand(&self, variables: &Variables) -> Vec<String> {
        // Most templates are one variable.
        if let [Piece::Variable(reference)] = self.0.as_slice() {
            return variables.texts(reference);
        }
        self.0.iter().fold(vec![String::new()], |texts, piece| match piece {
            Piece::Literal(literal) => texts.into_iter().map(|text| text + literal).collect(),
            Piece::Variable(reference) => product(&texts, &variables.texts(reference)),
        })
    }

    /// Returns the template with `name` in place of each variable.
    pub(crate) fn with_all(&self, name: &str) -> String {
        let texts = self.0.iter().map(|piece| match piece {
            Piece::Literal(literal) => literal,
            Piece::Variable(_) => name,
        });
        texts.collect()
    }

    /// Returns the only expansion, or `None` if there are none or several.
    pub(crate) fn one(&self, variables: &Variables) -> Option<String> {
        let mut texts = self.expand(variables);
        texts.pop().filter(|_| texts.is_empty())
    }
}

fn product(heads: &[String], tails: &[String]) -> Vec<String> {
    let pairs = heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}")));
    pairs.take(MAX_TEXTS).collect()
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once("${") {
            let error = || TemplateError(text.to_owned());
            let (reference, tail) = tail.split_once('}').ok_or_else(error)?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            pieces.push(Piece::Variable(reference.parse().map_err(|_| error())?));
            rest = tail;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expand(template: &str, name: &str, value: Value) -> Vec<String> {
        let mut variables = Variables::default();
        variables.set(name, value);
        template.parse::<Template>().unwrap().expand(&variables)
    }

    #[test]
    fn texts_numbers_and_fields_are_expanded() {
        assert_eq!(expand("cell-${c}", "c", json!("2")), ["cell-2"]);
        assert_eq!(expand("${claims.cell_id}", "claims", json!({"cell_id": 2})), ["2"]);
        assert_eq!(expand("plain", "c", json!("2")), ["plain"]);
    }

    #[test]
    fn a_list_expands_to_its_distinct_items() {
        let access = json!({"access": [{"name": "a"}, {"name": "b"}, {"name": "a"}, {}]});
        assert_eq!(expand("/${claims.access.name}", "claims", access), ["/a", "/b"]);
    }

    #[test]
    fn missing_blank_and_unsafe_texts_are_omitted() {
        for value in [json!(""), json!(" "), json!("a\r\nb"), json!("\0"), json!(1.5), json!(null)]
        {
            assert!(expand("x${v}", "v", value.clone()).is_empty(), "{value}");
        }
        assert!(expand("${other}", "v", json!("a")).is_empty());
        assert!(expand("${v.field}", "v", json!("a")).is_empty());
    }

    #[test]
    fn an_oversized_list_is_truncated() {
        let many: Vec<_> = (0..100_000).map(|n| n.to_string()).collect();
        assert_eq!(expand("${v}${v}", "v", json!(many)).len(), MAX_TEXTS);
    }

    #[test]
    fn malformed_templates_are_rejected() {
        for text in ["${", "${}", "${a", "${a b}", "${a..b}", "${.a}", "${${a}}"] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
    }
}
