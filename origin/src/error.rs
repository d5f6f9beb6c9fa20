//! Every way a request can fail, and the one place where that becomes status, code and headers.

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

use crate::cache::{CacheError, Subject};
use crate::db::DbError;
use crate::store::StoreError;
use crate::upstream::{UnknownUpstream, UpstreamError};

/// By this old clients know a registry, in refusals too (distribution's `Docker-Distribution-Api-Version`).
pub(crate) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");

/// What a client is told of a bug.
const BROKEN: &str = "the dependency proxy failed; the request id says where";

/// Why a request has no better answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such path.
    #[error("there is nothing at this path")]
    NoSuchPath,
    /// The path is good, the method is not.
    #[error("this path takes {0} only")]
    MethodNotAllowed(&'static str),
    /// The group's path or the image's name is malformed.
    #[error("`{0}` is not a valid name")]
    NameInvalid(String),
    /// The tag or digest is malformed.
    #[error(transparent)]
    Reference(#[from] EndpointError),
    /// The query asks for no part of a list.
    #[error(transparent)]
    Page(#[from] PageError),
    /// No credential, or a token that is expired, foreign or forged.
    #[error("authentication required")]
    Unauthenticated,
    /// The password is not a token of this Cell, or no longer.
    #[error("access denied: the password must be a valid access token")]
    WrongCredential,
    /// The password is a token of another Cell, which says nothing about access here.
    #[error("the token belongs to another cell and gives no access to the repository asked for")]
    ForeignCredential,
    /// An `Authorization` header that cannot be read.
    #[error("the Authorization header is malformed: {0}")]
    BadAuthorization(&'static str),
    /// A token was asked for a service that is not offered.
    #[error("no service `{0}` here; ask for `dependency_proxy` or `container_registry`")]
    UnknownService(String),
    /// A token was asked for two services at once.
    #[error("one token is for one service; ask for each separately")]
    SeveralServices,
    /// A token was asked for more repositories than one token may speak of.
    #[error("a token may speak of {0} repositories at most")]
    TooManyScopes(usize),
    /// No such group, or none this user may see.
    #[error("no group `{0}` that you have access to")]
    GroupUnknown(String),
    /// The group's owners switched its dependency proxy off.
    #[error("the dependency proxy of `{0}` is switched off")]
    Disabled(String),
    /// The image is of a registry that is not cached here.
    #[error(transparent)]
    UpstreamUnknown(#[from] UnknownUpstream),
    /// The range starts beyond the content's end.
    #[error("the range lies outside the blob's {0} bytes")]
    RangeNotSatisfiable(u64),
    /// The upstream brought nothing usable.
    #[error("{1}")]
    Upstream(Subject, UpstreamError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A local file failed.
    #[error("a local file failed: {0}")]
    File(#[from] std::io::Error),
    /// Signing failed.
    #[error("the token could not be signed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
    /// A bug in this program.
    #[error("{0}")]
    Internal(String),
}

impl From<CacheError> for Error {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::RangeNotSatisfiable(length) => Self::RangeNotSatisfiable(length),
            CacheError::Upstream(subject, error) => Self::Upstream(subject, error),
            CacheError::Db(error) => Self::Db(error),
            CacheError::Store(error) => Self::Store(error),
            internal @ CacheError::Internal => Self::Internal(internal.to_string()),
        }
    }
}

/// What the client sees of an error.
struct Answer {
    status: StatusCode,
    code: ErrorCode,
    /// Causes inside this Cell are logged, not told.
    message: String,
}

impl Error {
    /// Turns the error into a response, and logs it: the only place that does either.
    #[must_use]
    pub fn into_response(self, challenge: &Challenge) -> Response {
        let Answer { status, code, message } = self.answer();
        let error = self.logged();
        if status.is_server_error() {
            error!(status = status.as_u16(), code = code.as_str(), error, "request failed");
        } else {
            info!(status = status.as_u16(), code = code.as_str(), error, "request refused");
        }
        let mut response = Response::new(Body::from(envelope(code, &message)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        self.add_headers(headers, challenge);
        response
    }

    /// Names out of the request stand in it, and clients put credentials into paths and queries.
    fn logged(&self) -> String {
        redacted(&self.to_string()).to_owned()
    }

    fn answer(&self) -> Answer {
        let (status, code) = self.status_and_code();
        let message = match self {
            Self::Db(_) | Self::Store(_) | Self::File(_) | Self::Signing(_) => {
                "the dependency proxy cannot answer now; try again later".to_owned()
            }
            Self::Internal(_) => BROKEN.to_owned(),
            told => told.to_string(),
        };
        Answer { status, code, message }
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
            Self::Page(_) => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
            Self::Unauthenticated | Self::WrongCredential => {
                (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
            }
            Self::ForeignCredential => (StatusCode::FORBIDDEN, ErrorCode::Denied),
            Self::BadAuthorization(_) => (StatusCode::BAD_REQUEST, ErrorCode::Unauthorized),
            Self::UnknownService(_) => (StatusCode::NOT_FOUND, ErrorCode::Unsupported),
            Self::SeveralServices | Self::TooManyScopes(_) => {
                (StatusCode::BAD_REQUEST, ErrorCode::Unsupported)
            }
            Self::GroupUnknown(_) | Self::Disabled(_) | Self::UpstreamUnknown(_) => {
                (StatusCode::NOT_FOUND, ErrorCode::NameUnknown)
            }
            Self::RangeNotSatisfiable(_) => {
                (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid)
            }
            Self::Upstream(subject, error) => upstream_status_and_code(*subject, error),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown),
            Self::Db(_) | Self::Store(_) | Self::File(_) | Self::Signing(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable)
            }
        }
    }

    fn add_headers(&self, headers: &mut HeaderMap, challenge: &Challenge) {
        let mut add = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        match self {
            Self::Unauthenticated => add(WWW_AUTHENTICATE, &challenge.to_string()),
            // A token endpoint that answered Bearer would send clients in a circle.
            Self::WrongCredential => add(WWW_AUTHENTICATE, "Basic realm=\"GitLab\""),
            Self::MethodNotAllowed(allowed) => add(ALLOW, allowed),
            Self::RangeNotSatisfiable(length) => add(CONTENT_RANGE, &format!("bytes */{length}")),
            Self::Upstream(_, error) if error.retry_after().is_some() => {
                add(RETRY_AFTER, &error.retry_after().unwrap_or_default().to_string());
            }
            _ if self.status_and_code().0 == StatusCode::SERVICE_UNAVAILABLE => {
                add(RETRY_AFTER, "5");
            }
            _ => {}
        }
    }
}

/// The answer where a handler broke down: nobody knows with what.
pub(crate) fn broken() -> Response {
    let mut response = Response::new(Body::from(envelope(ErrorCode::Unknown, BROKEN)));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

/// A 401 of the upstream is not the client's to answer: it would drop its login for us.
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
        _ => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
    }
}

#[cfg(test)]
mod tests;
