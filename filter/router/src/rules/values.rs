//! Checks of values that no request can have, which would make a condition that never holds.

use crate::decision::is_owned_header;

type ValueCheck = Result<(), &'static str>;

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token)
}

pub(super) fn header_name(name: &str) -> ValueCheck {
    if name.starts_with(':') {
        return Err("pseudo-headers cannot be matched as headers: use `path`, `host` or `method`");
    }
    if !is_token(name) {
        return Err("not a valid header name (RFC 9110, 5.6.2)");
    }
    if is_owned_header(name) {
        Err("this header is set by the edge and removed from requests")
    } else {
        Ok(())
    }
}

pub(super) fn parameter_name(name: &str) -> ValueCheck {
    if name.is_empty() { Err("the parameter name must not be empty") } else { Ok(()) }
}

pub(super) fn methods(methods: &[String]) -> ValueCheck {
    let upper = |method: &String| is_token(method) && *method == method.to_ascii_uppercase();
    match methods {
        [] => Err("at least one method is required"),
        methods if methods.iter().all(upper) => Ok(()),
        _ => Err("methods must be in upper case, such as `GET`"),
    }
}

/// The templates of `validate.exist`.
pub(super) fn exist(texts: &[String]) -> ValueCheck {
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err("at least one template is required, such as `${name}`, and none may be empty");
    }
    Ok(())
}

/// The first segments of paths.
pub(super) fn reserved_routes(routes: &[String]) -> ValueCheck {
    if routes.iter().any(|route| route.is_empty() || route.contains('/')) {
        return Err("each must be one path segment: not empty and without `/`");
    }
    Ok(())
}
