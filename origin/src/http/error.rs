//! The ways a request can fail, and the status, OCI error code and headers of each.

use axum::body::Body;
use axum::response::Response;
use gitlab::redact::redacted;
use http::header::{
    ALLOW, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, StatusCode};
use oci::endpoint::EndpointError;
use oci::error::envelope;
use oci::page::PageError;
use oci::{Challenge, ErrorCode};
use tracing::{error, info};

use crate::access::AccessError;
use crate::auth::AuthError;
use crate::cache::{CacheError, Subject};
use crate::db::DbError;
use crate::upstream::{UnknownUpstream, UpstreamError};

/// Old clients recognise a registry by this header, also in error responses.
pub(crate) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API has no such path.
    #[error("no such path")]
    NoSuchPath,
    /// The path does not support the method.
    #[error("this path supports only {0}")]
    MethodNotAllowed(&'static str),
    /// The group's path or the image's name is malformed.
    #[error("`{0}` is not a valid name")]
    NameInvalid(String),
    /// The tag or digest is malformed.
    #[error(transparent)]
    Reference(#[from] EndpointError),
    /// The pagination parameters are malformed.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A token was requested for a service this Cell does not offer.
    #[error("unknown service `{0}`; use `dependency_proxy` or `container_registry`")]
    UnknownService(String),
    /// A token was requested for several services.
    #[error("a token is for one service; request one token per service")]
    SeveralServices,
    /// A token was requested for too many repositories.
    #[error("a token covers at most {0} repositories")]
    TooManyScopes(usize),
    /// The client could not be authenticated.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The pull was not authorised.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No upstream is configured for the image.
    #[error(transparent)]
    UpstreamUnknown(#[from] UnknownUpstream),
    /// The cache cannot serve the content.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What the client sees of an error.
struct ErrorReply {
    status: StatusCode,
    code: ErrorCode,
    message: String,
}

impl Error {
    /// Logs the error and turns it into a response; nothing else does either.
    #[must_use]
    pub fn into_response(self, challenge: &Challenge) -> Response {
        let ErrorReply { status, code, message } = self.reply();
        let error = self.redacted();
        if status.is_server_error() {
            error!(status = status.as_u16(), code = code.as_str(), error, "request failed");
        } else {
            info!(status = status.as_u16(), code = code.as_str(), error, "request refused");
        }
        let mut response = envelope_response(status, code, &message);
        self.add_headers(response.headers_mut(), challenge);
        response
    }

    /// Returns the text for the log. It contains names from the request, and clients put credentials
    /// into paths and queries.
    fn redacted(&self) -> String {
        let text = self.to_string();
        // A group path is folded to lower case, and with it the `eyJ` that a JWT starts with.
        let text = match self {
            Self::Access(_) => text.replace("eyj", "eyJ"),
            _ => text,
        };
        redacted(&text).to_owned()
    }

    fn reply(&self) -> ErrorReply {
        let (status, code) = self.status_and_code();
        let message = match self {
            Self::Cache(CacheError::Internal) => BROKEN.to_owned(),
            _ if self.is_internal() => UNAVAILABLE_MESSAGE.to_owned(),
            _ => self.to_string(),
        };
        ErrorReply { status, code, message }
    }

    /// Whether a part of this Cell failed. The log has the cause, and the client must not see it.
    fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::Db(_)
                | Self::Cache(CacheError::Db(_) | CacheError::Store(_))
                | Self::Access(AccessError::Lookup(_))
                | Self::Auth(AuthError::Db(_) | AuthError::Signing(_))
        )
    }

    fn status_and_code(&self) -> (StatusCode, ErrorCode) {
        match self {
            Self::NoSuchPath => (StatusCode::NOT_FOUND, ErrorCode::Unknown),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
            Self::NameInvalid(_) => (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid),
            Self::Reference(EndpointError::Reference(oci::reference::ReferenceError::Tag)) => {
                (StatusCode::BAD_REQUEST, ErrorCode::TagInvalid)
            }
            Self::Reference(_) => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
            Self::Page(PageError::Number) => {
                (StatusCode::BAD_REQUEST, ErrorCode::PaginationNumberInvalid)
            }
            Self::Page(_) | Self::SeveralServices | Self::TooManyScopes(_) => {
                (StatusCode::BAD_REQUEST, ErrorCode::Unsupported)
            }
            Self::UnknownService(_) => (StatusCode::NOT_FOUND, ErrorCode::Unsupported),
            Self::Auth(error) => auth_status_and_code(error),
            Self::Access(AccessError::Lookup(_)) => UNAVAILABLE,
            Self::Access(AccessError::NotVisible(_) | AccessError::Disabled(_))
            | Self::UpstreamUnknown(_) => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown),
            Self::Cache(error) => cache_status_and_code(error),
            Self::Db(_) => UNAVAILABLE,
        }
    }

    fn add_headers(&self, headers: &mut HeaderMap, challenge: &Challenge) {
        let mut add = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        match self {
            Self::Auth(AuthError::Unauthenticated) => {
                add(WWW_AUTHENTICATE, &challenge.to_string());
            }
            // A Bearer challenge would send the client back to the token endpoint, in a loop.
            Self::Auth(AuthError::WrongCredential) => {
                add(WWW_AUTHENTICATE, "Basic realm=\"GitLab\"");
            }
            Self::MethodNotAllowed(allowed) => add(ALLOW, allowed),
            Self::Cache(CacheError::RangeNotSatisfiable(length)) => {
                add(CONTENT_RANGE, &format!("bytes */{length}"));
            }
            Self::Cache(CacheError::Upstream(_, error)) if error.retry_after().is_some() => {
                add(RETRY_AFTER, &error.retry_after().unwrap_or_default().to_string());
            }
            _ if self.status_and_code() == UNAVAILABLE => add(RETRY_AFTER, "5"),
            _ => {}
        }
    }
}

/// A failure that should pass.
const UNAVAILABLE: (StatusCode, ErrorCode) =
    (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable);

/// What the client sees when a part of this Cell fails.
const UNAVAILABLE_MESSAGE: &str = "the dependency proxy is unavailable; try again later";

/// What the client sees of a bug.
const BROKEN: &str = "internal error; the log entry with the request id has details";

/// The status and code of a bug.
const INTERNAL: (StatusCode, ErrorCode) = (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown);

/// The response to a request whose handler panicked.
pub(crate) fn broken() -> Response {
    let (status, code) = INTERNAL;
    envelope_response(status, code, BROKEN)
}

fn envelope_response(status: StatusCode, code: ErrorCode, message: &str) -> Response {
    let mut response = Response::new(Body::from(envelope(code, message)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

fn auth_status_and_code(error: &AuthError) -> (StatusCode, ErrorCode) {
    match error {
        AuthError::Unauthenticated | AuthError::WrongCredential => {
            (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
        }
        AuthError::ForeignCredential => (StatusCode::FORBIDDEN, ErrorCode::Denied),
        AuthError::MalformedHeader(_) => (StatusCode::BAD_REQUEST, ErrorCode::Unauthorized),
        AuthError::Db(_) | AuthError::Signing(_) => UNAVAILABLE,
    }
}

fn cache_status_and_code(error: &CacheError) -> (StatusCode, ErrorCode) {
    match error {
        CacheError::RangeNotSatisfiable(_) => {
            (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid)
        }
        CacheError::Upstream(subject, error) => upstream_status_and_code(*subject, error),
        CacheError::Db(_) | CacheError::Store(_) => UNAVAILABLE,
        CacheError::Internal => INTERNAL,
    }
}

/// A 401 of the upstream becomes a 403: the client would drop its login to this Cell otherwise.
fn upstream_status_and_code(subject: Subject, error: &UpstreamError) -> (StatusCode, ErrorCode) {
    let absent = match subject {
        Subject::Manifest => ErrorCode::ManifestUnknown,
        Subject::Blob => ErrorCode::BlobUnknown,
        Subject::Image => ErrorCode::NameUnknown,
    };
    match error {
        UpstreamError::Status { status: 404, .. } => (StatusCode::NOT_FOUND, absent),
        UpstreamError::Status { status: 401 | 403, .. } => {
            (StatusCode::FORBIDDEN, ErrorCode::Denied)
        }
        UpstreamError::Token { status: 401 | 403 } => (StatusCode::FORBIDDEN, ErrorCode::Denied),
        UpstreamError::Status { status: 429, .. } | UpstreamError::RateLimited { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests)
        }
        UpstreamError::Protocol(_) | UpstreamError::Vetoed(_) => {
            (StatusCode::BAD_GATEWAY, ErrorCode::Unavailable)
        }
        _ => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests;
