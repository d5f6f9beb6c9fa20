//! Errors as gRPC's gateway writes them: `{"code":5,"message":"…","details":[]}`.

use axum::extract::rejection::BytesRejection;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::service::RequestError;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The gRPC codes that the service uses, with their values on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    InvalidArgument = 3,
    NotFound = 5,
    Unimplemented = 12,
    Internal = 13,
}

/// An error: an HTTP status, a gRPC code, and a message for people.
#[derive(Debug)]
pub(super) struct Status {
    http: StatusCode,
    code: Code,
    message: String,
}

#[derive(Serialize)]
struct Body<'a> {
    code: u8,
    message: &'a str,
    // Always empty: `google.protobuf.Any` details are for gRPC clients.
    details: [(); 0],
}

impl Status {
    pub(super) fn no_such_route() -> Self {
        let message = "no such route".to_owned();
        Self { http: StatusCode::NOT_FOUND, code: Code::Unimplemented, message }
    }

    pub(super) fn no_such_method() -> Self {
        let message = "method not allowed on this route".to_owned();
        Self { http: StatusCode::METHOD_NOT_ALLOWED, code: Code::Unimplemented, message }
    }

    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "cannot write the response");
        let message = "cannot write the response".to_owned();
        Self { http: StatusCode::INTERNAL_SERVER_ERROR, code: Code::Internal, message }
    }
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        let (http, code, message) = match error {
            RequestError::NotFound(message) => (StatusCode::NOT_FOUND, Code::NotFound, message),
            RequestError::Invalid(message) => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument, message)
            }
        };
        Self { http, code, message }
    }
}

impl From<BytesRejection> for Status {
    fn from(rejection: BytesRejection) -> Self {
        let message = rejection.body_text();
        Self { http: rejection.status(), code: Code::InvalidArgument, message }
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let body = Body { code: self.code as u8, message: &self.message, details: [] };
        let mut response = super::json(&body);
        *response.status_mut() = self.http;
        if self.code != Code::NotFound {
            response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        }
        response
    }
}
