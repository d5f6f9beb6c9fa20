//! Raw bytes over TLS, for requests that no HTTP library sends.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{Edge, TIMEOUT, WEB};
use crate::client::HttpResponse;

impl Edge {
    /// Opens a connection with this ALPN protocol.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn connect(&self, protocol: &[u8]) -> Result<TlsStream<TcpStream>> {
        let roots = self.authority.roots()?;
        let mut config =
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(connector.connect(ServerName::try_from(WEB)?, stream).await?)
    }

    /// The certificate that the edge shows to a new connection, as DER.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn certificate(&self) -> Result<Vec<u8>> {
        let stream = self.connect(b"h2").await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        Ok(shown.context("the edge showed no certificate")?.to_vec())
    }

    /// Sends bytes over HTTP/1.1 and reads until the edge closes the connection, which they must
    /// cause.
    ///
    /// # Errors
    /// The response is not HTTP.
    pub async fn send(&self, request: &[u8]) -> Result<HttpResponse> {
        let mut stream = self.connect(b"http/1.1").await?;
        stream.write_all(request).await?;
        let mut response = Vec::new();
        // A close without TLS's close_notify also ends the response.
        let _ = timeout(TIMEOUT, stream.read_to_end(&mut response)).await?;
        parse(&String::from_utf8_lossy(&response))
    }
}

fn parse(text: &str) -> Result<HttpResponse> {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.append(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
    }
    Ok(HttpResponse { status: status.parse()?, headers, body: body.to_owned().into() })
}
