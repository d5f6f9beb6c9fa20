//! Pagination of lists (OCI distribution spec, "Listing Tags"; `Link` header of RFC 8288).

use std::fmt;

use form_urlencoded::Serializer;

use crate::query;

/// The longest accepted `last` or cursor; a tag has at most 128 characters.
const MAX_VALUE: usize = 1024;

/// The requested part of a list. `Display` writes the query; [`Page::parse`] parses it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Page {
    /// `n`: the most entries to return.
    pub n: Option<u32>,
    /// `last`: only entries after this one.
    pub last: Option<String>,
    /// `next_page`: Quay's opaque cursor.
    pub cursor: Option<String>,
}

/// The reason why a query is not a valid page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// `n` is not a number.
    #[error("the parameter n must be a number that is not negative")]
    Number,
    /// `last` or `next_page` is longer than any valid value.
    #[error("the parameter {0} is too long")]
    TooLong(&'static str),
}

impl Page {
    /// Parses a raw query. Other parameters are ignored; of repeated ones the first counts.
    ///
    /// # Errors
    /// `n` is not a number, or a value is too long.
    pub fn parse(query: &str) -> Result<Self, PageError> {
        let text = |name: &'static str| match query::values(query, name).next() {
            Some(value) if value.len() > MAX_VALUE => Err(PageError::TooLong(name)),
            Some(value) if value.is_empty() => Ok(None),
            value => Ok(value.map(std::borrow::Cow::into_owned)),
        };
        let n = query::values(query, "n").next().map(|n| n.parse().map_err(|_| PageError::Number));
        Ok(Self { n: n.transpose()?, last: text("last")?, cursor: text("next_page")? })
    }

    /// Returns the page of a `Link` header's target with `rel=next`. Only the query of the target is
    /// used, so a server cannot send the client to another host or path.
    #[must_use]
    pub fn next_of(link: &str) -> Option<Self> {
        let (_, query) = split_links(link).find_map(next_target)?.split_once('?')?;
        Self::parse(query).ok().filter(|page| *page != Self::default())
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.n.map(|n| ("n", n.to_string())));
        query.extend_pairs(self.last.iter().map(|last| ("last", last)));
        query.extend_pairs(self.cursor.iter().map(|cursor| ("next_page", cursor)));
        f.write_str(&query.finish())
    }
}

fn next_target(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = |parameter: &str| {
        let parameter = parameter.trim().to_ascii_lowercase();
        matches!(parameter.as_str(), "rel=next" | "rel=\"next\"")
    };
    parameters.split(';').any(is_next).then_some(target)
}

/// Splits at commas outside of `<…>`, as a URL may contain one.
fn split_links(header: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    header.split(move |c: char| {
        inside = if inside { c != '>' } else { c == '<' };
        c == ',' && !inside
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(n: u32, last: &str) -> Page {
        Page { n: Some(n), last: Some(last.into()), cursor: None }
    }

    #[test]
    fn a_query_is_parsed_as_specified() {
        assert_eq!(Page::parse("").unwrap(), Page::default());
        assert_eq!(Page::parse("ns=docker.io&n=2&last=v1%2E0&n=9").unwrap(), page(2, "v1.0"));
        for query in ["n=-1", "n=many", "n=", "n=99999999999"] {
            assert_eq!(Page::parse(query), Err(PageError::Number), "{query}");
        }
        let long = format!("last={}", "a".repeat(2000));
        assert_eq!(Page::parse(&long), Err(PageError::TooLong("last")));
    }

    #[test]
    fn the_next_page_is_found_among_links_of_any_form() {
        for link in [
            "</v2/a/tags/list?n=2&last=b>; rel=\"next\"",
            "<https://elsewhere/?last=b&n=2>;rel=next",
            "<x?a,b>; rel=prev, <?n=2&last=b>; title=x; REL=Next",
        ] {
            assert_eq!(Page::next_of(link), Some(page(2, "b")), "{link}");
        }
        for link in ["", "</v2/a?n=2>", "</v2/a>; rel=next", "<?x=y>; rel=next", "<?n=2; rel=next"]
        {
            assert_eq!(Page::next_of(link), None, "{link}");
        }
    }

    proptest! {
        #[test]
        fn a_formatted_page_parses_back(n in any::<Option<u32>>(), last in prop::option::of(".{1,40}")) {
            let page = Page { n, last, cursor: None };
            prop_assert_eq!(Page::parse(&page.to_string()), Ok(page));
        }

        #[test]
        fn no_link_causes_a_panic(link in ".{0,100}") {
            let _ = Page::next_of(&link);
        }
    }
}
