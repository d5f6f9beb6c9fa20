//! Personal access tokens: routable tokens, so that the edge can tell their Cell.

use router::token::{self, RoutableToken, Routing, TokenError};

use crate::config::Secret;
use crate::db::groups::UserId;

/// GitLab's prefix of personal access tokens.
const PREFIX: &str = "glpat-";

/// The organization every group of a Cell belongs to, until organizations are modelled.
const DEFAULT_ORGANIZATION: u64 = 1;

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
    token::decode(token).ok()?.cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_token_tells_its_cell_and_is_never_the_same() {
        let (first, second) = (mint(36, UserId(7)).unwrap(), mint(36, UserId(7)).unwrap());
        assert!(first.expose().starts_with("glpat-"));
        assert_eq!(cell_of(first.expose()), Some(36));
        assert_ne!(first, second);
        assert_eq!(cell_of("glpat-AAAAAAAAAAAAAAAAAAAA"), None);
    }
}
