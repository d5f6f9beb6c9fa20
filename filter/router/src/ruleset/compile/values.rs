//! Values no request and no rule can have, which would make a condition that never holds.

use crate::decision::is_owned_header;

type Checked = Result<(), &'static str>;

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token)
}

pub(super) fn header_name(name: &str) -> Checked {
    if name.starts_with(':') {
        return Err("a pseudo-header is no header: match `path`, `host` or `method`");
    }
    if !is_token(name) {
        return Err("not a header's name (RFC 9110, 5.6.2)");
    }
    if is_owned_header(name) { Err("only the edge sets this header") } else { Ok(()) }
}

pub(super) fn parameter_name(name: &str) -> Checked {
    if name.is_empty() { Err("a parameter needs a name") } else { Ok(()) }
}

pub(super) fn methods(methods: &[String]) -> Checked {
    let upper = |method: &String| is_token(method) && *method == method.to_ascii_uppercase();
    match methods {
        [] => Err("name a method"),
        methods if methods.iter().all(upper) => Ok(()),
        _ => Err("methods are written in upper case, such as `GET`"),
    }
}

/// What must exist, which is more than nothing.
pub(super) fn exist(texts: &[String]) -> Checked {
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err("name what must exist, such as `${name}`");
    }
    Ok(())
}

/// First segments of paths.
pub(super) fn reserved_routes(routes: &[String]) -> Checked {
    if routes.iter().any(|route| route.is_empty() || route.contains('/')) {
        return Err("each is one segment of a path: not empty and without `/`");
    }
    Ok(())
}
