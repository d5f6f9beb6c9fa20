//! The key that signs JWTs: P-256, in a PKCS#8 PEM file (RFC 5958, RFC 7468).

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::BASE32;
use sha2::{Digest as _, Sha256};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A private key and its public point.
pub struct SigningKey {
    pub(super) pkcs8: Vec<u8>,
    /// The uncompressed point: 0x04, x, y (SEC 1 §2.3.3).
    pub(super) point: Vec<u8>,
    /// What JWTs name the key by: libtrust's fingerprint. Registries that read `rootcertbundle` work it
    /// out themselves, those that read a JWK Set find it there.
    pub(super) id: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Reads the key, or makes one that only this user can read.
///
/// # Errors
/// The file cannot be read or written, or is not such a key; the text names it.
pub fn load_or_make(path: &Path) -> Result<SigningKey> {
    if !path.exists() {
        make(path).with_context(|| format!("cannot make the key {}", path.display()))?;
    }
    load(path).with_context(|| format!("in the key {}", path.display()))
}

fn make(path: &Path) -> Result<()> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
    let text = format!("{BEGIN}\n{}\n{END}\n", wrapped(&STANDARD.encode(key.as_ref())));
    // Written aside and linked into place: two origins that start at once end with one key.
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&aside, path);
    fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn wrapped(base64: &str) -> String {
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    lines.join("\n")
}

fn load(path: &Path) -> Result<SigningKey> {
    let text = fs::read_to_string(path)?;
    let inner = text
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
        .context("it is not PKCS#8 PEM (`BEGIN PRIVATE KEY`)")?;
    let pkcs8 = STANDARD.decode(inner.0.split_whitespace().collect::<String>())?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
        .map_err(|error| anyhow::anyhow!("it is not a P-256 key: {error}"))?;
    let point = pair.public_key().as_ref().to_vec();
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
    let id = fingerprint(spki.as_ref());
    Ok(SigningKey { pkcs8, point, id })
}

/// Base32 of 240 bits of the SHA-256 of the public key (`SubjectPublicKeyInfo`, DER), in groups of
/// four.
fn fingerprint(spki: &[u8]) -> String {
    let hash = Sha256::digest(spki);
    let text = BASE32.encode(hash.get(..30).unwrap_or_default());
    let groups: Vec<_> = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
    groups.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_twelve_groups_of_four() {
        let text = fingerprint(b"");
        // printf '' | openssl dgst -sha256 -binary | head -c 30 | base32
        assert_eq!(text, "4OYM:IQUY:7QOB:JGX3:6TEJ:S35Z:EQT2:4QPE:MSNZ:GTFE:SWMR:W6CS");
    }
}
