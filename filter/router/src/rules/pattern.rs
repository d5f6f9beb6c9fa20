//! Regular expressions of a ruleset. They are compiled once, anchored at both ends, and match bytes.

use regex::bytes::{Regex, RegexBuilder};

use super::variables::Variables;
use crate::request::TEXT_LIMIT;

/// The size of one compiled expression, and of its lazy DFA, in bytes. Together with the limit on the
/// number of expressions it bounds the memory that a ruleset can take.
const SIZE_LIMIT: usize = 1 << 17;

/// The depth of nested groups, bounded because parsing is recursive.
const NEST_LIMIT: u32 = 32;

/// The length of an expression, in bytes.
const LENGTH_LIMIT: usize = 4 * 1024;

/// An expression that must match the whole text. Its named captures become variables.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    names: Vec<String>,
}

impl Pattern {
    /// Compiles an expression without Unicode tables: they would double the size of the filter, and
    /// HTTP carries bytes.
    pub(crate) fn compile(text: &str) -> Result<Self, regex::Error> {
        if text.len() > LENGTH_LIMIT {
            return Err(regex::Error::CompiledTooBig(LENGTH_LIMIT));
        }
        let build = |text: &str| {
            RegexBuilder::new(text)
                .unicode(false)
                .size_limit(SIZE_LIMIT)
                .dfa_size_limit(SIZE_LIMIT)
                .nest_limit(NEST_LIMIT)
                .build()
        };
        // First on its own, so that an unbalanced parenthesis cannot close the anchoring group.
        build(text)?;
        let regex = build(&format!("^(?:{text})$"))?;
        let names = regex.capture_names().flatten().map(str::to_owned).collect();
        Ok(Self { regex, names })
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns whether all of `text` matches and, if so, adds the captures that are UTF-8 to
    /// `variables`. A text over 16 KiB never matches.
    pub(crate) fn matches(&self, text: &[u8], variables: &mut Variables) -> bool {
        if text.len() > TEXT_LIMIT {
            return false;
        }
        if self.names.is_empty() {
            return self.regex.is_match(text);
        }
        let Some(captures) = self.regex.captures(text) else { return false };
        for name in &self.names {
            let text =
                captures.name(name).and_then(|found| std::str::from_utf8(found.as_bytes()).ok());
            if let Some(text) = text {
                variables.set(name, text.into());
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &[u8]) -> bool {
        Pattern::compile(pattern).unwrap().matches(text, &mut Variables::default())
    }

    #[test]
    fn the_whole_text_must_match_in_any_alternative() {
        assert!(matches("a|ab", b"ab"));
        assert!(!matches("/api", b"/apis"));
        assert!(!matches("/api", b"x/api"));
        assert!(!matches("/api", b"/api\n"));
    }

    #[test]
    fn an_expression_cannot_break_out_of_its_anchors() {
        assert!(Pattern::compile("a)|(?:b").is_err());
    }

    #[test]
    fn bytes_that_are_not_utf8_match_but_set_no_variable() {
        let pattern = Pattern::compile("(?<a>.*)=(?<b>.*)").unwrap();
        let mut variables = Variables::default();
        assert!(pattern.matches(b"\xff\xfe=ok", &mut variables));
        assert_eq!(variables.texts(&"a".parse().unwrap()), Vec::<String>::new());
        assert_eq!(variables.texts(&"b".parse().unwrap()), ["ok"]);
    }

    #[test]
    fn a_text_over_the_limit_never_matches() {
        assert!(matches("a*", &vec![b'a'; TEXT_LIMIT]));
        assert!(!matches("a*", &vec![b'a'; TEXT_LIMIT + 1]));
    }

    #[test]
    fn explicit_anchors_have_no_effect() {
        assert!(matches("^/jwt/auth$", b"/jwt/auth"));
        assert!(!matches("^/jwt/auth$", b"/jwt/auth\n"));
        assert!(!matches("^/jwt|auth$", b"/jwt/auth"));
    }

    #[test]
    fn an_expression_over_a_limit_is_rejected() {
        let long = "a".repeat(LENGTH_LIMIT + 1);
        let deep = format!("{}a{}", "(".repeat(1000), ")".repeat(1000));
        for text in ["(?:a{1000}){1000}", &long, &deep] {
            assert!(Pattern::compile(text).is_err(), "{}", text.len());
        }
    }

    #[test]
    fn unicode_classes_and_backtracking_are_rejected() {
        for text in [r"\p{Greek}", r"(?=a)b", r"(a)\1"] {
            assert!(Pattern::compile(text).is_err(), "{text}");
        }
    }
}
