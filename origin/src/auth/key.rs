//! The key that signs JWTs: P-256, in a PKCS#8 PEM file (RFC 5958, RFC 7468).

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use data_encoding::BASE32;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

/// A signing key and its id.
pub struct SigningKey {
    pub(super) pair: KeyPair,
    /// The `kid` of the JWTs: libtrust's fingerprint. Registries that use `rootcertbundle` compute it
    /// from the certificate; those that use a JWK Set look it up there.
    pub(super) id: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Loads the key; creates a missing one that only this user can read.
///
/// # Errors
/// The file cannot be read or written, or holds no P-256 key. The message names the file.
pub fn load_or_create(path: &Path) -> Result<SigningKey> {
    if !path.exists() {
        create(path).with_context(|| format!("cannot create the key {}", path.display()))?;
    }
    load(path).with_context(|| format!("cannot load the key {}", path.display()))
}

/// Writes the key to a temporary file and links it into place, so that origins that start together
/// end up with the same key.
fn create(path: &Path) -> Result<()> {
    let pem = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem();
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn load(path: &Path) -> Result<SigningKey> {
    parse(&fs::read(path)?)
}

fn parse(pem: &[u8]) -> Result<SigningKey> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem)
        .context("not a PKCS#8 PEM file (`BEGIN PRIVATE KEY`)")?;
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
        .context("not a P-256 key")?;
    let id = fingerprint(&pair.subject_public_key_info());
    Ok(SigningKey { pair, id })
}

/// Returns libtrust's fingerprint of a `SubjectPublicKeyInfo` in DER: the first 240 bits of its
/// SHA-256 in base32, in groups of four.
fn fingerprint(spki: &[u8]) -> String {
    let hash = Sha256::digest(spki);
    let text = BASE32.encode(hash.get(..30).unwrap_or_default());
    let groups: Vec<_> = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
    groups.join(":")
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, for tests only.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtSTUgu1vf7nPonax
dwzKBrgexwL586vLTdVnjB7knMahRANCAASmIvrGa3Ltof2Fl8UOAuKyWQo5A0c6
4+MsROA61UY1/SQpZSxGgOcj9D1CwUq+PIlFSelVsHt3/6+KzH3XTZzY
-----END PRIVATE KEY-----
";

    pub(in crate::auth) fn fixed() -> SigningKey {
        parse(PEM.as_bytes()).unwrap()
    }

    #[test]
    fn a_fingerprint_is_twelve_groups_of_four() {
        let text = fingerprint(b"");
        // printf '' | openssl dgst -sha256 -binary | head -c 30 | base32
        assert_eq!(text, "4OYM:IQUY:7QOB:JGX3:6TEJ:S35Z:EQT2:4QPE:MSNZ:GTFE:SWMR:W6CS");
    }

    #[test]
    fn the_key_id_is_the_fingerprint_of_the_public_key() {
        // openssl pkey -pubout -outform DER | openssl dgst -sha256 -binary | head -c 30 | base32
        let id = "65NC:DGWH:3LCV:DWVX:WZ4W:DIPZ:NAFQ:2Z7G:VJYE:VGPX:FMZG:XRKL";
        assert_eq!(fixed().id, id);
        let surrounded =
            format!("Bag Attributes\n-----BEGIN X-----\nAAAA\n-----END X-----\n{PEM}x");
        assert_eq!(parse(surrounded.as_bytes()).unwrap().id, id);
    }

    #[test]
    fn a_key_is_created_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let created = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap().id, created.id);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "nonsense").unwrap();
        let error = format!("{:#}", load_or_create(&path).unwrap_err());
        assert!(error.contains("key.pem") && error.contains("PKCS#8"), "{error}");
    }
}
