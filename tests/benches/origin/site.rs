//! A place an image can be had from: a URL, and what must be sent along.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, Response};

/// What docker sends; nothing here turns on it.
const ACCEPT: &str =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";

/// An image at a server.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    port: u16,
    /// The image's path, from `/v2/` on.
    image: String,
    token: Option<String>,
}

impl Site {
    /// An image that anybody may pull.
    pub(crate) fn open(name: &'static str, port: u16, image: &str) -> Self {
        Self { name, port, image: image.to_owned(), token: None }
    }

    /// An image that takes a token.
    pub(crate) fn guarded(name: &'static str, port: u16, image: &str, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::open(name, port, image) }
    }

    /// The same image by way of another port.
    pub(crate) fn behind(&self, name: &'static str, port: u16) -> Self {
        Self { name, port, ..self.clone() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn path(&self, end: &str) -> String {
        format!("/v2/{}/{end}", self.image)
    }

    pub(crate) fn url(&self, end: &str) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path(end))
    }

    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let token = self.token.as_ref().map(|token| ("Authorization", format!("Bearer {token}")));
        [("Accept", ACCEPT.to_owned())].into_iter().chain(token).collect()
    }

    /// One answer, its body left to be read.
    pub(crate) async fn ask(&self, method: Method, end: &str) -> Result<Response> {
        let mut request = Client::builder().no_proxy().build()?.request(method, self.url(end));
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let answer = request.timeout(Duration::from_secs(60)).send().await;
        let answer = answer.with_context(|| format!("{}: {end}", self.name))?;
        ensure!(answer.status().is_success(), "{}: {end}: {}", self.name, answer.status());
        Ok(answer)
    }

    /// Fetches something twice, so that the next time finds it cached.
    pub(crate) async fn warm(&self, end: &str) -> Result<()> {
        for _ in 0..2 {
            let mut answer = self.ask(Method::GET, end).await?;
            while answer.chunk().await?.is_some() {}
            // A cache stores what it sent after its last byte was sent.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }
}
