//! Variables of one rule at one request, and the `${name.field}` templates that read them.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// Texts one reference may yield; a hostile claim list is cut here, above any allowed fan-out.
const MAX_TEXTS: usize = 128;

/// What matches captured and transforms produced; of a name set twice, the later value counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(Vec<(String, Value)>);

impl Variables {
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.0.push((name.to_owned(), value));
    }

    /// The texts a reference names: none if it does not exist, several if it is a list. Blank texts
    /// and texts with control characters, which could break out of a header, do not exist.
    pub(crate) fn texts(&self, reference: &Reference) -> Vec<String> {
        let mut texts = Vec::new();
        let value = self.0.iter().rev().find(|(name, _)| *name == reference.name);
        if let Some((_, value)) = value {
            collect(value, &reference.fields, &mut texts);
        }
        texts
    }
}

/// Descends by field; a list stands for each of its items, so `access.name` reads every `name`.
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
    if is_presentable(&text) && !texts.contains(&text) {
        texts.push(text);
    }
}

fn is_presentable(text: &str) -> bool {
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

/// A template or reference that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no template: write ${{name}} or ${{name.field}}")]
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

/// Text with variables, as `cell-${decoded.c}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

impl Template {
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(reference) => Some(reference),
            Piece::Literal(_) => None,
        })
    }

    /// Every text it stands for: one for each item of a list, none if a variable does not exist.
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

    /// Its shape: what it stands for if each variable were `name`.
    pub(crate) fn shape(&self, name: &str) -> String {
        let texts = self.0.iter().map(|piece| match piece {
            Piece::Literal(literal) => literal,
            Piece::Variable(_) => name,
        });
        texts.collect()
    }

    /// Its one text; `None` if a variable does not exist or is a list of several.
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
    fn text_numbers_and_fields_are_read() {
        assert_eq!(expand("cell-${c}", "c", json!("2")), ["cell-2"]);
        assert_eq!(expand("${claims.cell_id}", "claims", json!({"cell_id": 2})), ["2"]);
        assert_eq!(expand("plain", "c", json!("2")), ["plain"]);
    }

    #[test]
    fn a_list_stands_for_each_of_its_distinct_items() {
        let access = json!({"access": [{"name": "a"}, {"name": "b"}, {"name": "a"}, {}]});
        assert_eq!(expand("/${claims.access.name}", "claims", access), ["/a", "/b"]);
    }

    #[test]
    fn what_is_missing_blank_or_could_break_a_header_does_not_exist() {
        for value in [json!(""), json!(" "), json!("a\r\nb"), json!("\0"), json!(1.5), json!(null)]
        {
            assert!(expand("x${v}", "v", value.clone()).is_empty(), "{value}");
        }
        assert!(expand("${other}", "v", json!("a")).is_empty());
        assert!(expand("${v.field}", "v", json!("a")).is_empty());
    }

    #[test]
    fn a_hostile_list_is_cut() {
        let many: Vec<_> = (0..100_000).map(|n| n.to_string()).collect();
        assert_eq!(expand("${v}${v}", "v", json!(many)).len(), MAX_TEXTS);
    }

    #[test]
    fn broken_templates_are_refused() {
        for text in ["${", "${}", "${a", "${a b}", "${a..b}", "${.a}", "${${a}}"] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
    }
}
