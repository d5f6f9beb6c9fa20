//! `WWW-Authenticate` challenges (RFC 9110 §11.6.1; CNCF distribution token specification).
//!
//! The parser is lenient, as some registries send unquoted values that are not tokens.

use std::fmt;

/// The authentication scheme that a server demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// The client gets a token from `realm` and sends it as Bearer.
    Bearer {
        /// The token endpoint's URL.
        realm: String,
        /// The name of the service that the token is for.
        service: Option<String>,
        /// The access that the rejected request needs.
        scope: Option<String>,
    },
    /// The client sends user name and password with each request.
    Basic,
}

impl Challenge {
    /// Parses a `WWW-Authenticate` header and returns its first Bearer challenge with a realm, else
    /// Basic if that is offered, else `None`.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let challenges = split_challenges(header);
        challenges.iter().find_map(bearer).or_else(|| {
            let basic = challenges.iter().any(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
            basic.then_some(Self::Basic)
        })
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Bearer { realm, service, scope } = self else {
            return f.write_str("Basic");
        };
        write!(f, "Bearer realm={}", Quoted(realm))?;
        for (name, value) in [("service", service), ("scope", scope)] {
            if let Some(value) = value {
                write!(f, ",{name}={}", Quoted(value))?;
            }
        }
        Ok(())
    }
}

/// Writes a quoted-string (RFC 9110 §5.6.4). Control characters are dropped, as they are invalid in a
/// header.
struct Quoted<'v>(&'v str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

type Parameters = Vec<(String, String)>;

fn bearer((scheme, parameters): &(String, Parameters)) -> Option<Challenge> {
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let get = |name: &str| {
        let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
}

/// Splits a header into schemes with their parameters. A comma separates both parameters and
/// challenges; a word that is not followed by `=` starts a challenge.
fn split_challenges(header: &str) -> Vec<(String, Parameters)> {
    let mut challenges: Vec<(String, Parameters)> = Vec::new();
    for part in split_unquoted(header, ',') {
        let part = part.trim();
        let before_equals = part.split('=').next().unwrap_or_default().trim_end();
        let (scheme, parameter) = match before_equals.split_once(char::is_whitespace) {
            Some((scheme, _)) => (Some(scheme), part.strip_prefix(scheme).unwrap_or_default()),
            None if !part.contains('=') => (Some(part), ""),
            None => (None, part),
        };
        if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty()) {
            challenges.push((scheme.to_owned(), Vec::new()));
        }
        let parameter = parameter.trim().split_once('=');
        if let (Some((_, parameters)), Some((key, value))) = (challenges.last_mut(), parameter) {
            parameters.push((key.trim().to_owned(), unquote(value.trim())));
        }
    }
    challenges
}

fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == separator && !quoted
    })
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut escaped = false;
    inner
        .chars()
        .filter(|c| {
            escaped = *c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer_of(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.into(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn docker_hubs_challenge_is_parsed() {
        let header = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull,push""#;
        let expected = bearer_of(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:library/alpine:pull,push"),
        );
        assert_eq!(Challenge::parse(header), Some(expected));
    }

    #[test]
    fn bearer_takes_precedence_over_basic_in_any_order() {
        let header = r#"Basic realm="a", Bearer realm="https://t", Negotiate"#;
        assert_eq!(Challenge::parse(header), Some(bearer_of("https://t", None, None)));
        assert_eq!(Challenge::parse(r#"basic realm="x, y""#), Some(Challenge::Basic));
    }

    #[test]
    fn spaces_upper_case_and_missing_quotes_are_accepted() {
        let header = "bearer  Realm = https://t , SERVICE=s";
        assert_eq!(Challenge::parse(header), Some(bearer_of("https://t", Some("s"), None)));
    }

    #[test]
    fn a_header_without_a_usable_challenge_is_none() {
        for header in ["", "Negotiate", "Bearer service=x", ",,,", "=", "\""] {
            assert_eq!(Challenge::parse(header), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_formatted_challenge_parses_back(realm in "[ -~]{1,30}", scope in "[ -~]{0,30}") {
            let challenge = bearer_of(&realm, None, Some(&scope));
            prop_assert_eq!(Challenge::parse(&challenge.to_string()), Some(challenge));
        }

        #[test]
        fn no_header_causes_a_panic(header in ".{0,100}") {
            let _ = Challenge::parse(&header);
        }
    }
}
