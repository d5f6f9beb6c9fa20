//! A borrowed view of one request's headers, including pseudo-headers. All values are bytes.

use std::borrow::Cow;

/// Header names in lower case and their values, in order and with repeated names, as a proxy-wasm
/// host provides them.
pub type Headers = Vec<(String, Vec<u8>)>;

/// The longest text that a rule's expression is matched against, in bytes: four times GitLab's
/// longest token. Matching an oversized header then costs no more than copying it.
pub(crate) const TEXT_LIMIT: usize = 16 * 1024;

/// The longest cookie header that is parsed, in bytes. Envoy by default accepts 60 KiB for all
/// headers together.
const COOKIES_LIMIT: usize = 64 * 1024;

/// One request as the rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    headers: &'a [(String, Vec<u8>)],
    method: &'a [u8],
    authority: &'a [u8],
    path: &'a [u8],
    query: &'a str,
}

impl<'a> Request<'a> {
    /// Reads `:method`, `:authority` (or `host`) and `:path` from the headers. A missing one is empty.
    #[must_use]
    pub fn new(headers: &'a [(String, Vec<u8>)]) -> Self {
        let find = |name| first(headers, name).unwrap_or_default();
        let target = find(":path");
        let end = target.iter().position(|&b| b == b'?');
        let (path, query) =
            end.and_then(|end| target.split_at_checked(end)).unwrap_or((target, b""));
        let query = query.strip_prefix(b"?").unwrap_or_default();
        Self {
            headers,
            method: find(":method"),
            authority: first(headers, ":authority").unwrap_or_else(|| find("host")),
            path,
            // A `:path` that is not ASCII is rejected (see `reject`), so no query is lost here.
            query: std::str::from_utf8(query).unwrap_or_default(),
        }
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        self.method
    }

    /// Returns the host and, if present, the port.
    #[must_use]
    pub fn authority(&self) -> &'a [u8] {
        self.authority
    }

    /// Returns the path without its query, as received.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.path
    }

    /// Returns the query without its `?`, or an empty text if there is none.
    #[must_use]
    pub fn query(&self) -> &'a str {
        self.query
    }

    /// Returns the decoded values of the query parameter `name`, in order.
    pub fn parameters<'n>(&self, name: &'n str) -> impl Iterator<Item = Cow<'n, str>>
    where
        'a: 'n,
    {
        oci::query::values(self.query, name)
    }

    /// Returns the values of the header `name` (in lower case), in order.
    pub fn header<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]>
    where
        'a: 'n,
    {
        values(self.headers, name)
    }

    /// Returns the names and values of all cookies, in order. A header over 64 KiB is ignored.
    pub fn cookies(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let lines = self.header("cookie").filter(|line| line.len() <= COOKIES_LIMIT);
        lines.flat_map(|line| line.split(|&b| b == b';')).filter_map(|pair| {
            let equals = pair.iter().position(|&b| b == b'=')?;
            let (name, value) = pair.split_at_checked(equals)?;
            Some((name.trim_ascii(), value.strip_prefix(b"=")?.trim_ascii()))
        })
    }

    /// Copies the headers that `keep` selects, for use after this view has expired. A value over its
    /// limit is cut to one byte more than the limit, which is enough to recognise it as too long.
    pub(crate) fn copy(&self, keep: impl Fn(&str) -> bool) -> Headers {
        let kept = self.headers.iter().filter(|(name, _)| keep(name));
        kept.map(|(name, value)| (name.clone(), bounded(name, value).to_vec())).collect()
    }
}

/// Cookies and paths may be longer than one text because their parts are matched one by one.
fn bounded<'v>(name: &str, value: &'v [u8]) -> &'v [u8] {
    let limit = match name {
        "cookie" => COOKIES_LIMIT,
        _ if name.starts_with(':') => return value,
        _ => TEXT_LIMIT,
    };
    value.get(..=limit).unwrap_or(value)
}

fn values<'a: 'n, 'n>(
    headers: &'a [(String, Vec<u8>)],
    name: &'n str,
) -> impl Iterator<Item = &'a [u8]> + 'n {
    headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_slice())
}

fn first<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &[u8])]) -> Headers {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
    }

    #[test]
    fn the_query_follows_the_first_question_mark() {
        let headers = headers(&[(":path", b"/jwt/auth?scope=a+b&x=?&scope=c")]);
        let request = Request::new(&headers);
        assert_eq!(request.path(), b"/jwt/auth");
        assert_eq!(request.parameters("scope").collect::<Vec<_>>(), ["a b", "c"]);
        assert_eq!(request.parameters("x").collect::<Vec<_>>(), ["?"]);
    }

    #[test]
    fn the_host_header_of_http_1_is_the_authority() {
        let headers = headers(&[("host", b"gitlab.example:8080")]);
        assert_eq!(Request::new(&headers).authority(), b"gitlab.example:8080");
    }

    #[test]
    fn cookies_are_read_from_all_cookie_headers_as_bytes() {
        let headers = headers(&[("cookie", b"a=1; b=\xff; broken"), ("cookie", b"c=x=y")]);
        let cookies: Vec<_> = Request::new(&headers).cookies().collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", b"\xff"), (b"c", b"x=y")];
        assert_eq!(cookies, expected);
    }

    #[test]
    fn a_copy_cuts_a_value_just_beyond_its_limit() {
        let long = vec![b'a'; 1 << 20];
        let named = ["authorization", "cookie", ":path", "x-odd"].map(|name| (name, &*long));
        let headers = headers(&named);
        let copy = Request::new(&headers).copy(|name| name != "x-odd");
        let sizes: Vec<_> = copy.iter().map(|(name, value)| (name.as_str(), value.len())).collect();
        let expected =
            [("authorization", TEXT_LIMIT + 1), ("cookie", COOKIES_LIMIT + 1), (":path", 1 << 20)];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn an_oversized_cookie_header_is_ignored() {
        let cookies = |length| {
            let line = [b"a=1;", &*vec![b' '; length]].concat();
            Request::new(&headers(&[("cookie", &line)])).cookies().count()
        };
        assert_eq!(cookies(COOKIES_LIMIT - 4), 1);
        assert_eq!(cookies(COOKIES_LIMIT - 3), 0);
    }

    #[test]
    fn a_request_without_pseudo_headers_is_empty() {
        let request = Request::new(&[]);
        assert!(request.method().is_empty() && request.path().is_empty());
    }
}
