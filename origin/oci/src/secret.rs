//! Whether a text holds a credential, so that no log shows it.
//!
//! Sources: GitLab's token prefixes (docs.gitlab.com/security/tokens, "Token prefixes"), the shape
//! of its routable tokens, GitHub's and Docker Hub's prefixes, and the JWT's `{"` in base64.

/// What stands before or names a credential, in any letter case.
const MARKS: [&[u8]; 20] = [
    b"glpat-",
    b"glcbt-",
    b"gldt-",
    b"glrt-",
    b"glrtr-",
    b"glptt-",
    b"glft-",
    b"glimt-",
    b"glagent-",
    b"glwt-",
    b"glsoat-",
    b"glffct-",
    b"gloas-",
    b"gr1348941",
    b"token=",
    b"token%3d",
    b"_gitlab_session",
    b"dckr_pat_",
    b"ghp_",
    b"github_pat_",
];

/// The least of a routable token's payload, which may stand behind any prefix.
const PAYLOAD: usize = 27;
/// Version, length and checksum behind it, as `.01.0w1234567`.
const TRAILER: usize = 13;

/// Whether a path, a host or the like holds what looks like a credential. The access log of Envoy
/// has the same list.
#[must_use]
pub fn looks_like(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(at, byte)| {
        // Every request's path comes by here: few bytes begin anything.
        let rest = || text.get(at..).unwrap_or_default();
        match byte.to_ascii_lowercase() {
            b'g' | b't' | b'_' | b'd' => MARKS.iter().any(|mark| begins(rest(), mark)),
            b'e' => rest().starts_with(b"eyJ"),
            b'.' => at
                .checked_sub(PAYLOAD)
                .is_some_and(|start| text.get(start..at + TRAILER).is_some_and(is_routable)),
            _ => false,
        }
    })
}

/// A path, a name or an error's text as a log may show it: not at all, where it holds what looks like
/// a credential.
#[must_use]
pub fn shown(text: &str) -> &str {
    if looks_like(text.as_bytes()) { "(hidden)" } else { text }
}

fn begins(text: &[u8], mark: &[u8]) -> bool {
    text.get(..mark.len()).is_some_and(|part| part.eq_ignore_ascii_case(mark))
}

fn is_routable(part: &[u8]) -> bool {
    let Some((payload, trailer)) = part.split_first_chunk::<PAYLOAD>() else { return false };
    let Some(checked) = trailer.strip_prefix(b".01.") else { return false };
    payload.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && checked.iter().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_credential_is_known_wherever_it_stands() {
        for text in [
            "/v2/glpat-abc/x",
            "/GLCBT-64_x",
            "gldt-x.gitlab.example",
            "/GlRtR-x",
            "/gr1348941x",
            "/x;private_Token=s",
            "/jwt/auth%3Fprivate_token%3Ds",
            "/jwt/auth%3ftoken%3ds",
            "/_gitlab_session_ab/x",
            "/dckr_pat_x",
            "/ghp_x",
            "/eyJhbGciOiJub25lIn0.e30.",
            "/ours-YWFhYWFhYWFhYWFhYWFhYWM6MgpvOnJ0CnU6MTYN.01.1417qu08l",
        ] {
            assert!(looks_like(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_text_that_holds_a_credential_is_not_shown() {
        assert_eq!(shown("/v2/acme/x"), "/v2/acme/x");
        assert_eq!(shown("/v2/glpat-abc/x"), "(hidden)");
    }

    #[test]
    fn every_mark_is_looked_for() {
        for mark in MARKS {
            let upper = mark.to_ascii_uppercase();
            for mark in [mark, upper.as_slice()] {
                assert!(looks_like(mark) && looks_like(&[b"/x/", mark, b"y"].concat()));
            }
        }
    }

    #[test]
    fn a_name_is_no_credential() {
        for text in [
            "",
            "/v2/acme/dependency_proxy/containers/alpine/manifests/latest",
            "/v2/keyjar/token/manifests/3.01.1417",
            "/v2/acme/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852",
            "/api/v4/personal_access_tokens",
            "gitlab.example:8443",
        ] {
            assert!(!looks_like(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_routable_token_is_known_by_its_shape_alone() {
        let payload = "a".repeat(PAYLOAD);
        assert!(looks_like(format!("{payload}.01.0w1234567").as_bytes()));
        for text in [
            format!("{payload}.02.0w1234567"),
            format!("{payload}.01.0W1234567"),
            format!("{payload}.01.0w123456"),
            format!("{}.01.0w1234567", "a".repeat(PAYLOAD - 1)),
        ] {
            assert!(!looks_like(text.as_bytes()), "{text}");
        }
    }
}
