//! The signing key's public half as a registry wants it: GitLab's registry and CNCF distribution 2
//! read `rootcertbundle`, and look only at the certificate's key. Distribution 3 wants a JWK Set, which
//! the origin serves.

use anyhow::Result;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber, date_time_ymd};

use super::key::SigningKey;

/// A self-signed certificate (RFC 5280) in PEM, its subject the JWTs' issuer.
///
/// # Errors
/// The name cannot stand in a certificate, or signing fails.
pub fn of(key: &SigningKey, issuer: &str) -> Result<String> {
    let pair = KeyPair::try_from(key.pkcs8.as_slice())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, issuer);
    params.serial_number = Some(SerialNumber::from(1));
    // It stands for the key and goes when the key goes.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(params.self_signed(&pair)?.pem())
}
