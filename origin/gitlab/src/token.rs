//! Routable tokens of version 01, `<prefix><payload>.01.<length><checksum>`. The payload is unpadded
//! base64url of 16 random bytes, routing lines such as `c:2`, and the length of those lines in one
//! byte.
//!
//! Routing is a hint for the edge and proves nothing: the Cell looks up the whole token.
//! Source: the GitLab handbook's "Routable tokens" and `Authn::TokenField::Generator::RoutableToken`.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base36;

/// The one supported version. Another version may encode a different Cell in the same bytes.
const VERSION: &str = "01";
const PAYLOAD_LENGTH: RangeInclusive<usize> = 27..=320;
const PREFIX_LENGTH: RangeInclusive<usize> = 0..=20;
const RANDOM_LENGTH: usize = 16;
const LENGTH_DIGITS: usize = 2;
const CHECKSUM_DIGITS: usize = 7;

/// The routing fields of a token. Ids are numbers here and base36 in the token; a missing field is
/// `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Routing {
    /// `c`: the Cell that issued the token.
    pub cell: Option<u64>,
    /// `g`: the group a token belongs to.
    pub group: Option<u64>,
    /// `o`: the organization.
    pub organization: Option<u64>,
    /// `p`: the project.
    pub project: Option<u64>,
    /// `t`: a runner's type: 1 instance, 2 group, 3 project.
    pub runner_type: Option<u64>,
    /// `u`: the user.
    pub user: Option<u64>,
}

impl Routing {
    /// Reads the last `length` (two base36 digits) characters of `payload`; the characters before
    /// them are the prefix. GitLab's rulesets capture this form, which has no checksum.
    ///
    /// # Errors
    /// [`TokenError`] when the length is out of bounds or the payload is malformed.
    pub fn from_payload(payload: &str, length: &str) -> Result<Self, TokenError> {
        let length = base36::decode(length)
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| PAYLOAD_LENGTH.contains(length))
            .ok_or(TokenError::Length)?;
        let (prefix, payload) = split_tail(payload, length).ok_or(TokenError::Length)?;
        if !is_prefix(prefix) {
            return Err(TokenError::Shape);
        }
        let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Payload)?;
        routing_lines(&bytes).and_then(Self::parse).ok_or(TokenError::Payload)
    }

    /// Returns the fields by key, in the order of the format.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("c", self.cell),
            ("g", self.group),
            ("o", self.organization),
            ("p", self.project),
            ("t", self.runner_type),
            ("u", self.user),
        ]
    }

    /// Skips unknown keys, which newer generators may add, and rejects repeated ones.
    fn parse(text: &str) -> Option<Self> {
        let mut routing = Self::default();
        for line in text.split('\n') {
            let (key, value) = line.split_once(':')?;
            let value = base36::decode(value)?;
            if let Some(field) = routing.field(key)
                && field.replace(value).is_some()
            {
                return None;
            }
        }
        Some(routing)
    }

    fn field(&mut self, key: &str) -> Option<&mut Option<u64>> {
        Some(match key {
            "c" => &mut self.cell,
            "g" => &mut self.group,
            "o" => &mut self.organization,
            "p" => &mut self.project,
            "t" => &mut self.runner_type,
            "u" => &mut self.user,
            _ => return None,
        })
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.fields().into_iter().filter_map(|(key, value)| {
            value.map(|value| format!("{key}:{}", base36::encode(value)))
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// Why a text is not a routable token of version 01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A part is missing, or a character is outside `0-9A-Za-z_-`.
    #[error("not of the form <prefix><payload>.<version>.<length><checksum>")]
    Shape,
    /// The version is not 01.
    #[error("not version 01")]
    Version,
    /// The length field is not base36, not within 27..=320, or longer than the token.
    #[error("the payload length is out of bounds")]
    Length,
    /// The CRC32 does not match the text before it.
    #[error("the checksum does not match")]
    Checksum,
    /// The payload is not base64url, or its routing lines are malformed.
    #[error("the payload is malformed")]
    Payload,
    /// Minting only: the routing has neither a Cell nor an organization.
    #[error("the routing has neither a Cell nor an organization")]
    Unroutable,
}

/// A minted token. It is a secret, so `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct RoutableToken(String);

impl RoutableToken {
    /// Mints a token. `random` must come from a cryptographically secure source.
    ///
    /// # Errors
    /// [`TokenError::Shape`] if the prefix has over 20 characters or one outside `0-9A-Za-z_-`,
    /// [`TokenError::Unroutable`] if `routing` has neither a Cell nor an organization.
    pub fn mint(
        prefix: &str,
        random: [u8; RANDOM_LENGTH],
        routing: &Routing,
    ) -> Result<Self, TokenError> {
        if !is_prefix(prefix) {
            return Err(TokenError::Shape);
        }
        if routing.cell.or(routing.organization).is_none() {
            return Err(TokenError::Unroutable);
        }
        let lines = routing.to_string();
        let length = u8::try_from(lines.len()).map_err(|_| TokenError::Length)?;
        let bytes = [&random[..], lines.as_bytes(), &[length]].concat();
        let payload = URL_SAFE_NO_PAD.encode(bytes);
        let length = base36::encode(u64::try_from(payload.len()).unwrap_or(u64::MAX));
        let signed = format!("{prefix}{payload}.{VERSION}.{length:0>LENGTH_DIGITS$}");
        let checksum = checksum(&signed);
        Ok(Self(signed + &checksum))
    }

    /// Returns the text of the token, for its owner only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RoutableToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoutableToken(…)")
    }
}

/// Reads the routing of a token after verifying its version, bounds and checksum. The longest
/// possible token bounds the work, whatever the length of `token`.
///
/// # Errors
/// [`TokenError`] names the first part that is invalid.
pub fn decode(token: &str) -> Result<Routing, TokenError> {
    let (signed, crc) = split_tail(token, CHECKSUM_DIGITS).ok_or(TokenError::Shape)?;
    let (head, length) = split_tail(signed, LENGTH_DIGITS).ok_or(TokenError::Shape)?;
    let (body, version) =
        head.strip_suffix('.').and_then(|head| head.rsplit_once('.')).ok_or(TokenError::Shape)?;
    if version != VERSION {
        return Err(TokenError::Version);
    }
    if body.len() > PREFIX_LENGTH.end() + PAYLOAD_LENGTH.end() {
        return Err(TokenError::Length);
    }
    if checksum(signed) != crc {
        return Err(TokenError::Checksum);
    }
    Routing::from_payload(body, length)
}

/// Returns the CRC32 (IEEE) of everything before the checksum, including the prefix.
fn checksum(signed: &str) -> String {
    let crc = base36::encode(u64::from(crc32fast::hash(signed.as_bytes())));
    format!("{crc:0>CHECKSUM_DIGITS$}")
}

fn is_prefix(text: &str) -> bool {
    PREFIX_LENGTH.contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn split_tail(text: &str, length: usize) -> Option<(&str, &str)> {
    text.split_at_checked(text.len().checked_sub(length)?)
}

fn routing_lines(bytes: &[u8]) -> Option<&str> {
    let (&length, bytes) = bytes.split_last()?;
    let start = bytes.len().checked_sub(usize::from(length))?;
    if start < RANDOM_LENGTH {
        return None;
    }
    std::str::from_utf8(bytes.get(start..)?).ok()
}

#[cfg(test)]
mod tests;
