//! Recognises credentials in text, so that logs can omit them.
//!
//! Sources: GitLab's token prefixes (docs.gitlab.com/security/tokens, "Token prefixes"), the shape
//! of its routable tokens, GitHub's and Docker Hub's prefixes, and the JWT's `{"` in base64.

/// Prefixes and names of credentials, matched in any letter case.
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

/// The shortest payload of a routable token, which any prefix may precede.
const PAYLOAD: usize = 27;
/// The length of the version, length and checksum that follow it, as `.01.0w1234567`.
const TRAILER: usize = 13;

/// Returns whether a path, a host name or a similar text contains what looks like a credential.
/// Envoy's access log filters by the same list.
#[must_use]
pub fn looks_like_credential(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(at, byte)| {
        // Every request's path is scanned: only a few bytes can start a mark.
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

/// Returns `text` for a log, or `(hidden)` if it contains what looks like a credential.
#[must_use]
pub fn redacted(text: &str) -> &str {
    if looks_like_credential(text.as_bytes()) { "(hidden)" } else { text }
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
    fn a_credential_is_recognised_anywhere_in_the_text() {
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
            assert!(looks_like_credential(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_text_with_a_credential_is_redacted() {
        assert_eq!(redacted("/v2/acme/x"), "/v2/acme/x");
        assert_eq!(redacted("/v2/glpat-abc/x"), "(hidden)");
    }

    #[test]
    fn every_mark_is_recognised_in_any_letter_case() {
        for mark in MARKS {
            let upper = mark.to_ascii_uppercase();
            for mark in [mark, upper.as_slice()] {
                assert!(
                    looks_like_credential(mark)
                        && looks_like_credential(&[b"/x/", mark, b"y"].concat())
                );
            }
        }
    }

    #[test]
    fn ordinary_paths_and_hosts_are_not_credentials() {
        for text in [
            "",
            "/v2/acme/dependency_proxy/containers/alpine/manifests/latest",
            "/v2/keyjar/token/manifests/3.01.1417",
            "/v2/acme/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852",
            "/api/v4/personal_access_tokens",
            "gitlab.example:8443",
        ] {
            assert!(!looks_like_credential(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_routable_token_is_recognised_by_its_shape() {
        let payload = "a".repeat(PAYLOAD);
        assert!(looks_like_credential(format!("{payload}.01.0w1234567").as_bytes()));
        for text in [
            format!("{payload}.02.0w1234567"),
            format!("{payload}.01.0W1234567"),
            format!("{payload}.01.0w123456"),
            format!("{}.01.0w1234567", "a".repeat(PAYLOAD - 1)),
        ] {
            assert!(!looks_like_credential(text.as_bytes()), "{text}");
        }
    }
}
