//! The certificate of the signing key. GitLab's container registry and CNCF distribution 2 read it as
//! `rootcertbundle` and use only its key. Distribution 3 reads the JWK Set that the origin serves.

use anyhow::Result;
use rcgen::{CertificateParams, DistinguishedName, DnType, SerialNumber, date_time_ymd};

use super::key::SigningKey;

/// Returns a self-signed certificate (RFC 5280) in PEM whose subject is the issuer of the JWTs.
///
/// # Errors
/// The issuer is not valid in a certificate, or signing fails.
pub fn self_signed(key: &SigningKey, issuer: &str) -> Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, issuer);
    params.serial_number = Some(SerialNumber::from(1));
    // The certificate is as long-lived as its key.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(params.self_signed(&key.pair)?.pem())
}
