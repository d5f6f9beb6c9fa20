//! The credential in an `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::error::AuthError;
use crate::config::SecretString;

/// The credential in an `Authorization` header.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The password of Basic authentication, which is a token (RFC 7617). The user name is ignored.
    Basic(SecretString),
    /// A bearer token (RFC 6750).
    Bearer(SecretString),
}

impl Credential {
    /// Parses the header; `None` if there is none.
    ///
    /// # Errors
    /// [`AuthError::MalformedHeader`], also for several headers: another server in the path might
    /// read a different one.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, AuthError> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = all.next() else { return Ok(None) };
        if all.next().is_some() {
            return Err(AuthError::MalformedHeader("more than one"));
        }
        let text = header.to_str().map_err(|_| AuthError::MalformedHeader("not ASCII"))?;
        let (scheme, value) =
            text.trim().split_once(' ').ok_or(AuthError::MalformedHeader("no value"))?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Some(Self::Bearer(SecretString::from(value.trim().to_owned()))));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(AuthError::MalformedHeader("the scheme must be Basic or Bearer"));
        }
        basic(value.trim()).map(Some)
    }
}

fn basic(value: &str) -> Result<Credential, AuthError> {
    let decoded = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.ok_or(AuthError::MalformedHeader("Basic without base64 of UTF-8"))?;
    let (_, password) =
        pair.split_once(':').ok_or(AuthError::MalformedHeader("Basic without a colon"))?;
    Ok(Credential::Basic(SecretString::from(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ExposeSecret as _;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn ambiguous_and_malformed_headers_are_refused() {
        let two = headers(&["Bearer a", "Bearer b"]);
        for bad in [two, headers(&["Digest x"]), headers(&["Basic %%%"]), headers(&["Basic YQ=="])]
        {
            let parsed = Credential::from_headers(&bad);
            assert!(matches!(parsed, Err(AuthError::MalformedHeader(_))), "{bad:?}");
        }
        assert!(Credential::from_headers(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn a_password_may_contain_colons() {
        let value = format!("Basic {}", STANDARD.encode("me:a:b"));
        let parsed = Credential::from_headers(&headers(&[&value])).unwrap();
        let Some(Credential::Basic(password)) = parsed else { panic!("{parsed:?}") };
        assert_eq!(password.expose_secret(), "a:b");
    }

    #[test]
    fn debug_output_does_not_reveal_a_credential() {
        let value = format!("Basic {}", STANDARD.encode("me:hunter2"));
        let parsed = Credential::from_headers(&headers(&[&value])).unwrap();
        assert!(!format!("{parsed:?}").contains("hunter2"));
    }
}
