//! An image at a server: its URL and the headers of requests.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, Response};

/// The `Accept` header that docker sends; it does not affect the measurement.
const ACCEPT: &str =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";

/// An image at a server.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    port: u16,
    /// The path of the image, from `/v2/` on.
    image: String,
    token: Option<String>,
}

impl Site {
    /// An image that needs no token.
    pub(crate) fn open(name: &'static str, port: u16, image: &str) -> Self {
        Self { name, port, image: image.to_owned(), token: None }
    }

    /// An image that needs a token.
    pub(crate) fn guarded(name: &'static str, port: u16, image: &str, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::open(name, port, image) }
    }

    /// The same image through another port.
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

    /// Sends a request and returns the response with its body unread.
    pub(crate) async fn request(&self, method: Method, end: &str) -> Result<Response> {
        let mut request = Client::builder().no_proxy().build()?.request(method, self.url(end));
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let response = request.timeout(Duration::from_secs(60)).send().await;
        let response = response.with_context(|| format!("{}: {end}", self.name))?;
        ensure!(response.status().is_success(), "{}: {end}: {}", self.name, response.status());
        Ok(response)
    }

    /// Fetches a path twice, so that the next request finds it cached.
    pub(crate) async fn fill_cache(&self, end: &str) -> Result<()> {
        for _ in 0..2 {
            let mut response = self.request(Method::GET, end).await?;
            while response.chunk().await?.is_some() {}
            // A cache stores a response after it has sent the last byte.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }
}
