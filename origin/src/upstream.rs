//! Upstream registries: which one an image comes from, requests to it, and how they fail.
//!
//! `directory` finds the upstream of an image; `image`, with `manifest`, `blob` and `listing`, is what
//! the cache requests; `mirrors` tries the hosts of one upstream in turn; `registry` sends to one host,
//! if `health` allows it, with the credentials of `auth`, and only to addresses that `guard` allows.

mod auth;
mod blob;
mod breaker;
mod directory;
mod error;
mod guard;
mod headers;
mod health;
mod image;
mod listing;
mod manifest;
mod mirrors;
mod rate_limit;
mod registry;
mod request;
mod retry_after;
mod route;
mod slots;
mod transport;

pub use blob::BlobBody;
pub use directory::Upstreams;
pub use error::{FailureClass, ProtocolError, UpstreamError};
pub use image::Image;
pub use listing::TagPage;
pub use manifest::{FetchedManifest, ManifestHead};
pub use route::UnknownUpstream;
