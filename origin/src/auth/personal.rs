//! Personal access tokens: routable tokens, so that the edge can tell their Cell.

use router::token::{self, RoutableToken, Routing, TokenError};
use serde::Deserialize;

use super::DEFAULT_ORGANIZATION;
use crate::config::Secret;
use crate::db::groups::UserId;

/// GitLab's prefix of personal access tokens.
const PREFIX: &str = "glpat-";

/// GitLab's prefix of CI job tokens, which are JWTs; an instance may put its own before it.
const JOB_PREFIX: &str = "glcbt-";

/// Makes a token nobody has guessed: 128 random bits, and the Cell in plain sight.
///
/// # Errors
/// The ids do not fit the format.
pub fn mint(cell: u64, user: UserId) -> Result<Secret, TokenError> {
    let routing = Routing {
        cell: Some(cell),
        organization: Some(DEFAULT_ORGANIZATION),
        user: u64::try_from(user.0).ok(),
        ..Routing::default()
    };
    let token = RoutableToken::mint(PREFIX, rand::random(), &routing)?;
    Ok(Secret::new(token.as_str().to_owned()))
}

/// The Cell a token says it is of; a hint that proves nothing.
#[must_use]
pub fn cell_of(token: &str) -> Option<u64> {
    match token::decode(token) {
        Ok(routing) => routing.cell,
        Err(_) => cell_of_job(token),
    }
}

fn cell_of_job(token: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Routed {
        c: String,
    }
    let (_, jwt) = token.split_once(JOB_PREFIX)?;
    let claims = jsonwebtoken::dangerous::insecure_decode::<Routed>(jwt).ok()?.claims;
    u64::from_str_radix(&claims.c, 36).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_minted_token_tells_its_cell_and_is_never_the_same() {
        let (first, second) = (mint(36, UserId(7)).unwrap(), mint(36, UserId(7)).unwrap());
        assert!(first.expose().starts_with("glpat-"));
        assert_eq!(cell_of(first.expose()), Some(36));
        assert_ne!(first, second);
        assert_eq!(cell_of("glpat-AAAAAAAAAAAAAAAAAAAA"), None);
    }

    #[test]
    fn a_job_token_tells_its_cell_too() {
        let job = |claims: &str| {
            let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
            let header = part(r#"{"typ":"JWT","alg":"RS256"}"#);
            cell_of(&format!("glcbt-{header}.{}.{}", part(claims), part("signature")))
        };
        assert_eq!(job(r#"{"c":"10","o":"1"}"#), Some(36));
        for odd in [r#"{"o":"1"}"#, r#"{"c":2}"#, r#"{"c":"!"}"#, "[]", "{"] {
            assert_eq!(job(odd), None, "{odd}");
        }
        assert_eq!(cell_of("glcbt-x"), None);
    }
}
