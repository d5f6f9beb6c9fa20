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

/// Whether a `Content-Type` is that of an image for many platforms.
#[must_use]
pub fn is_index(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    [OCI_INDEX, DOCKER_LIST].iter().any(|index| essence.eq_ignore_ascii_case(index))
}

/// Whether these bytes are a JSON object, as every manifest is, of a known type or not.
#[must_use]
pub fn is_object(bytes: &[u8]) -> bool {
    type Object = std::collections::BTreeMap<String, serde::de::IgnoredAny>;
    serde_json::from_slice::<Object>(bytes).is_ok()
}

/// What a manifest says of itself in `mediaType`. `None`: nothing, or nothing a header can hold.
#[must_use]
pub fn of_manifest(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        #[serde(rename = "mediaType")]
        media_type: String,
    }
    let said = serde_json::from_slice::<Manifest>(bytes).ok()?.media_type;
    let printable = said.contains('/') && said.bytes().all(|byte| byte.is_ascii_graphic());
    (printable && said.len() <= 255).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_may_say_what_it_is() {
        let text = format!(r#"{{"schemaVersion": 2, "mediaType": "{OCI_INDEX}", "x": []}}"#);
        assert_eq!(of_manifest(text.as_bytes()).as_deref(), Some(OCI_INDEX));
        for silent in ["", "[]", "{}", r#"{"mediaType": 1}"#, r#"{"mediaType": "a/b\r\nx: y"}"#] {
            assert_eq!(of_manifest(silent.as_bytes()), None, "{silent}");
        }
    }
}
