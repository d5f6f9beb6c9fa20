//! Query strings. Edge and origin use this one parser: if they read `scope` differently, a client could
//! be routed by one scope and authorised for another.

use std::borrow::Cow;

/// Returns the decoded `name=value` pairs of a raw query in order, repeated names included.
///
/// `+` and `%20` are spaces (WHATWG URL, `application/x-www-form-urlencoded`); invalid UTF-8 becomes
/// U+FFFD, which no valid name contains.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// Returns the values of `name` in order. For speed, only pairs that can have this name are decoded.
pub fn values<'q>(query: &'q str, name: &'q str) -> impl Iterator<Item = Cow<'q, str>> {
    let may_be = move |pair: &&str| {
        let raw = pair.split('=').next().unwrap_or_default();
        raw == name || raw.contains(['%', '+'])
    };
    query
        .split('&')
        .filter(may_be)
        .flat_map(pairs)
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plus_and_percent_are_decoded_once() {
        let found: Vec<_> = values("scope=a+b&scope=c%20d&x=%2520", "scope").collect();
        assert_eq!(found, ["a b", "c d"]);
        assert_eq!(values("x=%2520", "x").next().unwrap(), "%20");
    }

    #[test]
    fn a_percent_encoded_name_is_recognised() {
        let found: Vec<_> = values("scop%65=a&scope=b&scop=c&scope&=d&+=e", "scope").collect();
        assert_eq!(found, ["a", "b", ""]);
    }

    #[test]
    fn malformed_escapes_are_kept_and_invalid_utf8_is_replaced() {
        assert_eq!(values("x=%zz", "x").next().unwrap(), "%zz");
        assert_eq!(values("x=%ff", "x").next().unwrap(), "\u{fffd}");
    }
}
