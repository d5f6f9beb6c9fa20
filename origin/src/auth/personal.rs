//! Personal access tokens. They are routable, so that the edge can read their Cell.

use gitlab::{RoutableToken, Routing, TokenError, job_token, token};

use super::identity::DEFAULT_ORGANIZATION;
use crate::access::UserId;
use crate::config::SecretString;

/// GitLab's prefix of personal access tokens.
const PREFIX: &str = "glpat-";

/// Mints a token of 128 random bits that carries the Cell in clear text.
///
/// # Errors
/// The ids do not fit the format.
pub fn mint(cell: u64, user: UserId) -> Result<SecretString, TokenError> {
    let routing = Routing {
        cell: Some(cell),
        organization: Some(DEFAULT_ORGANIZATION),
        user: u64::try_from(user.0).ok(),
        ..Routing::default()
    };
    let token = RoutableToken::mint(PREFIX, rand::random(), &routing)?;
    Ok(SecretString::from(token.as_str().to_owned()))
}

/// Returns the Cell that a personal access token or a CI job token names. It is a hint: nothing of
/// the token is verified.
#[must_use]
pub fn cell_of(token: &str) -> Option<u64> {
    match token::decode(token) {
        Ok(routing) => routing.cell,
        Err(_) => job_token::decode(token)?.cell,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::config::ExposeSecret as _;

    #[test]
    fn a_minted_token_names_its_cell_and_is_unique() {
        let (first, second) = (mint(36, UserId(7)).unwrap(), mint(36, UserId(7)).unwrap());
        assert!(first.expose_secret().starts_with("glpat-"));
        assert_eq!(cell_of(first.expose_secret()), Some(36));
        assert_ne!(first.expose_secret(), second.expose_secret());
        assert_eq!(cell_of("glpat-AAAAAAAAAAAAAAAAAAAA"), None);
    }

    #[test]
    fn a_job_token_names_its_cell() {
        let job = |claims: &str| {
            let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
            let header = part(r#"{"typ":"JWT","alg":"RS256"}"#);
            cell_of(&format!("glcbt-{header}.{}.{}", part(claims), part("signature")))
        };
        assert_eq!(job(r#"{"c":"10","o":"1"}"#), Some(36));
        for odd in [
            r#"{"o":"1"}"#,
            r#"{"c":2}"#,
            r#"{"c":"!"}"#,
            r#"{"c":"A"}"#,
            r#"{"c":"+2"}"#,
            "[]",
            "{",
        ] {
            assert_eq!(job(odd), None, "{odd}");
        }
        assert_eq!(cell_of("glcbt-x"), None);
    }
}
