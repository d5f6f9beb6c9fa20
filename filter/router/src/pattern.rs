//! Regular expressions of a ruleset: compiled once, anchored at both ends, on bytes.

use regex::bytes::{Regex, RegexBuilder};

use crate::variables::Variables;

/// Bytes of one compiled expression; keeps a hostile or careless ruleset from eating a worker.
const SIZE_LIMIT: usize = 1 << 20;

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
        // Alone first, so that an unbalanced parenthesis cannot close the anchoring group.
        let build =
            |text: &str| RegexBuilder::new(text).unicode(false).size_limit(SIZE_LIMIT).build();
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
    fn a_huge_expression_is_refused() {
        assert!(Pattern::compile("(?:a{1000}){1000}").is_err());
    }
}
