//! The registry protocol's vocabulary, pure and shared by edge and origin: what a digest, a
//! reference, a scope or an error *is* stands here once, so two parsers cannot disagree.
//!
//! Sources: the OCI distribution and image specifications, and the CNCF distribution token
//! specification for challenges and scopes.

pub mod accept;
pub mod challenge;
pub mod digest;
pub mod endpoint;
pub mod error;
pub mod media_type;
pub mod name;
pub mod page;
pub mod query;
pub mod range;
pub mod reference;
pub mod scope;

pub use accept::Accept;
pub use challenge::Challenge;
pub use digest::{Algorithm, Digest, Hasher};
pub use endpoint::Endpoint;
pub use error::ErrorCode;
pub use name::RepositoryName;
pub use page::Page;
pub use range::{ByteRange, ContentRange};
pub use reference::{Reference, Tag};
pub use scope::Scope;
