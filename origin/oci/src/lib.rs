//! Types and parsers of the registry protocol, without I/O. The edge and the origin share them, so that
//! both read a digest, a reference or a scope in the same way.
//!
//! Sources: the OCI distribution specification and the OCI image specification; for challenges and
//! scopes, the CNCF distribution token specification; for HTTP headers, RFC 9110.

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
