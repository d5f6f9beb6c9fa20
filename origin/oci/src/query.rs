//! The one query-string parser: edge and origin must read `scope` alike, or one can be deceived.

use std::borrow::Cow;

/// The decoded `name=value` pairs of a raw query, in order, repeated names kept.
///
/// `+` and `%20` are spaces (WHATWG URL, `application/x-www-form-urlencoded`); bytes that are no
/// UTF-8 become U+FFFD, which no valid name holds.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// The values of `name`, in order. Only pairs that can have this name are decoded.
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
        let read: Vec<_> = values("scope=a+b&scope=c%20d&x=%2520", "scope").collect();
        assert_eq!(read, ["a b", "c d"]);
        assert_eq!(values("x=%2520", "x").next().unwrap(), "%20");
    }

    #[test]
    fn an_escaped_name_is_the_same_name() {
        let read: Vec<_> = values("scop%65=a&scope=b&scop=c&scope&=d&+=e", "scope").collect();
        assert_eq!(read, ["a", "b", ""]);
    }

    #[test]
    fn broken_escapes_are_kept_and_bad_utf8_is_replaced() {
        assert_eq!(values("x=%zz", "x").next().unwrap(), "%zz");
        assert_eq!(values("x=%ff", "x").next().unwrap(), "\u{fffd}");
    }
}
