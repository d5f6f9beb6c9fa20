//! A certificate authority, and the certificates it issues.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority: its certificate and its key.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub struct Identity {
    certificate: String,
    key: KeyPair,
}

impl Authority {
    /// Creates an authority.
    ///
    /// # Errors
    /// The key cannot be generated.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(vec![])?;
        // A different name from the certificates', which would otherwise count as self-signed.
        params.distinguished_name.push(DnType::CommonName, "the test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The certificate to trust, as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for these names.
    ///
    /// # Errors
    /// A name is invalid.
    pub fn certify(&self, names: &[&str]) -> Result<Identity> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { certificate, key })
    }

    /// A root store with this authority.
    ///
    /// # Errors
    /// The authority's certificate cannot be parsed.
    pub fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes())?)?;
        Ok(roots)
    }

    /// A server configuration with this identity, which accepts only clients certified by this
    /// authority.
    ///
    /// # Errors
    /// The identity cannot be parsed.
    pub fn server(&self, identity: &Identity) -> Result<ServerConfig> {
        let clients = WebPkiClientVerifier::builder(Arc::new(self.roots()?)).build()?;
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.serialize_pem().as_bytes())?;
        let config = ServerConfig::builder().with_client_cert_verifier(clients);
        Ok(config.with_single_cert(vec![certificate], key)?)
    }
}

impl Identity {
    /// Installs the identity in a folder as Kubernetes does: the files are behind a symbolic link,
    /// which is replaced, so that certificate and key change together.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn install(&self, folder: &Path, generation: u32) -> Result<()> {
        let version = folder.join(format!("..{generation}"));
        fs::create_dir_all(&version).with_context(|| version.display().to_string())?;
        fs::write(version.join("tls.crt"), &self.certificate)?;
        fs::write(version.join("tls.key"), self.key.serialize_pem())?;
        replace_link(&format!("..{generation}"), &folder.join("..data"))?;
        for file in ["tls.crt", "tls.key"] {
            replace_link(&format!("..data/{file}"), &folder.join(file))?;
        }
        Ok(())
    }
}

fn replace_link(to: &str, link: &Path) -> Result<()> {
    let aside = link.with_file_name("aside");
    std::os::unix::fs::symlink(to, &aside)?;
    Ok(fs::rename(&aside, link)?)
}
