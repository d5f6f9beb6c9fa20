//! Regular expressions of a ruleset: compiled once, anchored at both ends, on bytes.

use regex::bytes::{Regex, RegexBuilder};

use crate::variables::Variables;

/// Bytes of one compiled expression, and of what its matching may keep; with the number of
/// expressions in a ruleset this keeps a hostile or careless one from eating a worker.
const SIZE_LIMIT: usize = 1 << 17;

/// Groups within groups: parsing is recursive.
const NEST_LIMIT: u32 = 32;

/// Bytes of an expression as written.
const LENGTH_LIMIT: usize = 4 * 1024;

/// Bytes of the longest text that is looked at: four times the longest token of GitLab's, so that a
/// header made to be large costs no more than its copy.
pub(crate) const TEXT_LIMIT: usize = 16 * 1024;

/// An expression that must match the whole text; its named captures become variables.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    names: Vec<String>,
}

impl Pattern {
    /// No unicode tables: they double the filter's size and HTTP is bytes.
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
        // Alone first, so that an unbalanced parenthesis cannot close the anchoring group.
        build(text)?;
        let regex = build(&format!("^(?:{text})$"))?;
        let names = regex.capture_names().flatten().map(str::to_owned).collect();
        Ok(Self { regex, names })
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether all of `text` matches; if so, captures that are UTF-8 are added to `variables`.
    /// A text beyond 16 KiB matches nothing.
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
    fn the_whole_text_must_match_whichever_alternative_comes_first() {
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
    fn bytes_that_are_no_utf8_match_but_give_no_variable() {
        let pattern = Pattern::compile("(?<a>.*)=(?<b>.*)").unwrap();
        let mut variables = Variables::default();
        assert!(pattern.matches(b"\xff\xfe=ok", &mut variables));
        assert_eq!(variables.texts(&"a".parse().unwrap()), Vec::<String>::new());
        assert_eq!(variables.texts(&"b".parse().unwrap()), ["ok"]);
    }

    #[test]
    fn a_text_beyond_the_limit_matches_nothing() {
        assert!(matches("a*", &vec![b'a'; TEXT_LIMIT]));
        assert!(!matches("a*", &vec![b'a'; TEXT_LIMIT + 1]));
    }

    #[test]
    fn anchors_as_gitlab_writes_them_change_nothing() {
        assert!(matches("^/jwt/auth$", b"/jwt/auth"));
        assert!(!matches("^/jwt/auth$", b"/jwt/auth\n"));
        assert!(!matches("^/jwt|auth$", b"/jwt/auth"));
    }

    #[test]
    fn a_huge_long_or_deep_expression_is_refused() {
        let long = "a".repeat(LENGTH_LIMIT + 1);
        let deep = format!("{}a{}", "(".repeat(1000), ")".repeat(1000));
        for text in ["(?:a{1000}){1000}", &long, &deep] {
            assert!(Pattern::compile(text).is_err(), "{}", text.len());
        }
    }

    #[test]
    fn what_needs_unicode_tables_or_backtracking_is_refused() {
        for text in [r"\p{Greek}", r"(?=a)b", r"(a)\1"] {
            assert!(Pattern::compile(text).is_err(), "{text}");
        }
    }
}
