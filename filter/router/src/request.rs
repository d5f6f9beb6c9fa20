//! A borrowed view of one request's headers, pseudo-headers included; all values are bytes.

use std::borrow::Cow;

/// Header names in lower case with their values, in order, repeated names kept; the form in which
/// a proxy-wasm host hands them over.
pub type Headers = Vec<(String, Vec<u8>)>;

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
    /// Takes `:method`, `:authority` (or `host`) and `:path` out of the headers; one that is
    /// missing is empty.
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
            // The whole `:path` must be ASCII (see `refusal`), so nothing is lost here.
            query: std::str::from_utf8(query).unwrap_or_default(),
        }
    }

    /// `GET`, `HEAD`, …
    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        self.method
    }

    /// Host and, if given, port.
    #[must_use]
    pub fn authority(&self) -> &'a [u8] {
        self.authority
    }

    /// The path without its query, as it came.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.path
    }

    /// The query without its `?`, empty if there is none.
    #[must_use]
    pub fn query(&self) -> &'a str {
        self.query
    }

    /// The decoded values of query parameter `name`, in order.
    pub fn parameters<'n>(&self, name: &'n str) -> impl Iterator<Item = Cow<'n, str>>
    where
        'a: 'n,
    {
        oci::query::values(self.query, name)
    }

    /// The values of header `name` (lower case), in order.
    pub fn header<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]>
    where
        'a: 'n,
    {
        values(self.headers, name)
    }

    /// Names and values of all cookies, in order.
    pub fn cookies(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.header("cookie").flat_map(|line| line.split(|&b| b == b';')).filter_map(|pair| {
            let equals = pair.iter().position(|&b| b == b'=')?;
            let (name, value) = pair.split_at_checked(equals)?;
            Some((name.trim_ascii(), value.strip_prefix(b"=")?.trim_ascii()))
        })
    }

    /// A copy of the headers for which `keep` holds, to read them once the request is gone.
    pub(crate) fn copy(&self, keep: impl Fn(&str) -> bool) -> Headers {
        self.headers.iter().filter(|(name, _)| keep(name)).cloned().collect()
    }
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
    fn the_query_is_what_follows_the_first_question_mark() {
        let headers = headers(&[(":path", b"/jwt/auth?scope=a+b&x=?&scope=c")]);
        let request = Request::new(&headers);
        assert_eq!(request.path(), b"/jwt/auth");
        assert_eq!(request.parameters("scope").collect::<Vec<_>>(), ["a b", "c"]);
        assert_eq!(request.parameters("x").collect::<Vec<_>>(), ["?"]);
    }

    #[test]
    fn http_1_names_the_authority_host() {
        let headers = headers(&[("host", b"gitlab.example:8080")]);
        assert_eq!(Request::new(&headers).authority(), b"gitlab.example:8080");
    }

    #[test]
    fn cookies_are_read_from_every_line_as_bytes() {
        let headers = headers(&[("cookie", b"a=1; b=\xff; broken"), ("cookie", b"c=x=y")]);
        let cookies: Vec<_> = Request::new(&headers).cookies().collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", b"\xff"), (b"c", b"x=y")];
        assert_eq!(cookies, expected);
    }

    #[test]
    fn a_request_without_pseudo_headers_is_empty_not_an_error() {
        let request = Request::new(&[]);
        assert!(request.method().is_empty() && request.path().is_empty());
    }
}
