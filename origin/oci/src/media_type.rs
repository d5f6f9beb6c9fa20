//! Media types of manifests and blobs (OCI image spec; Docker image manifest v2 schema 2).

/// A single image, OCI.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Many platforms, OCI.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A single image, Docker.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Many platforms, Docker.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Any bytes; what a blob is served as.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// What a pull-through cache asks an upstream for: every manifest there is, the rest last, so that
/// a registry which converts on request (to Docker schema 1, say) has no reason to.
pub const ACCEPT_MANIFESTS: &str = concat!(
    "application/vnd.oci.image.index.v1+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, ",
    "application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.v2+json, ",
    "*/*;q=0.1"
);
