//! Valid images, made of chosen bytes.

use std::fs;
use std::path::Path;

use oci::Digest;
use oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

/// A manifest and its media type.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The `Content-Type`.
    pub media_type: String,
    /// The exact bytes.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// The digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The digest of the image configuration; `None` for an index.
    #[must_use]
    pub fn configuration(&self) -> Option<Digest> {
        let manifest: Value = serde_json::from_slice(&self.bytes).ok()?;
        manifest.pointer("/config/digest")?.as_str()?.parse().ok()
    }
}

/// An image: the manifest its tag points at, and everything below.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest that the tag points at.
    pub top: Manifest,
    /// The manifests that an index lists.
    pub children: Vec<Manifest>,
    /// The configurations and layers.
    pub blobs: Vec<Vec<u8>>,
}

impl Image {
    /// Builds an image for one platform with these layers.
    #[must_use]
    pub fn single(layers: &[Vec<u8>]) -> Self {
        let (top, blobs) = platform("amd64", layers);
        Self { top, children: Vec::new(), blobs }
    }

    /// Builds an index of two platforms, amd64 and arm64, which share these layers.
    #[must_use]
    pub fn multi(layers: &[Vec<u8>]) -> Self {
        let built =
            ["amd64", "arm64"].map(|architecture| (architecture, platform(architecture, layers)));
        let listed = built.iter().map(|(architecture, (manifest, _))| {
            json!({
                "mediaType": OCI_MANIFEST, "digest": manifest.digest(), "size": manifest.bytes.len(),
                "platform": {"architecture": architecture, "os": "linux"},
            })
        });
        let listed: Vec<_> = listed.collect();
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed});
        let (children, blobs): (Vec<_>, Vec<_>) = built.into_iter().map(|(_, built)| built).unzip();
        Self { top: manifest(OCI_INDEX, &index), children, blobs: blobs.concat() }
    }

    /// Writes the image in skopeo's `dir:` layout: files named by the hex digits of their digests.
    ///
    /// # Errors
    /// The folder cannot be created or written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("version"), "Directory Transport Version: 1.1\n")?;
        fs::write(folder.join("manifest.json"), &self.top.bytes)?;
        for child in &self.children {
            let name = format!("{}.manifest.json", child.digest().hex());
            fs::write(folder.join(name), &child.bytes)?;
        }
        self.blobs.iter().try_for_each(|blob| fs::write(folder.join(Digest::of(blob).hex()), blob))
    }

    /// All manifests, children first.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.children.iter().chain([&self.top])
    }
}

/// Builds a layer that clients can unpack: a tar of one file.
///
/// # Errors
/// The name is too long for a tar.
pub fn layer(name: &str, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut layer = tar::Builder::new(Vec::new());
    layer.append_data(&mut header, name, content)?;
    layer.into_inner()
}

/// Returns pseudorandom bytes, which depend only on the seed.
#[must_use]
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(next());
    }
    bytes.truncate(length);
    bytes
}

fn platform(architecture: &str, layers: &[Vec<u8>]) -> (Manifest, Vec<Vec<u8>>) {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string().into_bytes();
    let layer_type = "application/vnd.oci.image.layer.v1.tar";
    let described: Vec<_> = layers.iter().map(|layer| descriptor(layer_type, layer)).collect();
    let body = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": described,
    });
    let mut blobs = vec![config];
    blobs.extend_from_slice(layers);
    (manifest(OCI_MANIFEST, &body), blobs)
}

/// Pretty-printed, so that a cache which reformats JSON changes the digest and fails a test.
fn manifest(media_type: &str, body: &Value) -> Manifest {
    Manifest { media_type: media_type.to_owned(), bytes: format!("{body:#}\n").into_bytes() }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()})
}
