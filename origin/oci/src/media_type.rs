//! Media types of manifests and blobs (OCI image spec, "Media Types"; Docker image manifest v2
//! schema 2).

/// An OCI image manifest: one platform.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index: many platforms.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A Docker image manifest: one platform.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A Docker manifest list: many platforms.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The `Content-Type` of served blobs.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// The `Accept` header that a pull-through cache sends for manifests. It lists all known types, and any
/// other with a low weight, so that a registry does not convert the manifest (to Docker schema 1, say).
pub const ACCEPT_MANIFESTS: &str = concat!(
    "application/vnd.oci.image.index.v1+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, ",
    "application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.v2+json, ",
    "*/*;q=0.1"
);

/// Whether a `Content-Type` is that of an index or a manifest list.
#[must_use]
pub fn is_index(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    [OCI_INDEX, DOCKER_LIST].iter().any(|index| essence.eq_ignore_ascii_case(index))
}

/// Whether the bytes are a JSON object, as every manifest is, even of an unknown type.
#[must_use]
pub fn is_object(bytes: &[u8]) -> bool {
    type Object = std::collections::BTreeMap<String, serde::de::IgnoredAny>;
    serde_json::from_slice::<Object>(bytes).is_ok()
}

/// Returns a manifest's own `mediaType`. `None`: it is absent, or not a valid header value.
#[must_use]
pub fn of_manifest(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        #[serde(rename = "mediaType")]
        media_type: String,
    }
    let media_type = serde_json::from_slice::<Manifest>(bytes).ok()?.media_type;
    let valid = media_type.contains('/') && media_type.bytes().all(|byte| byte.is_ascii_graphic());
    (valid && media_type.len() <= 255).then_some(media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifests_media_type_is_returned_if_it_is_valid() {
        let text = format!(r#"{{"schemaVersion": 2, "mediaType": "{OCI_INDEX}", "x": []}}"#);
        assert_eq!(of_manifest(text.as_bytes()).as_deref(), Some(OCI_INDEX));
        for invalid in ["", "[]", "{}", r#"{"mediaType": 1}"#, r#"{"mediaType": "a/b\r\nx: y"}"#] {
            assert_eq!(of_manifest(invalid.as_bytes()), None, "{invalid}");
        }
    }
}
