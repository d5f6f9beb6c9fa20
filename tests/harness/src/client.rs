//! A registry client that exposes every status, header and byte.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use oci::{Challenge, Digest};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};

/// A user name and a password.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user's name; the origin ignores it.
    pub username: String,
    /// A personal access token.
    pub password: String,
}

/// A complete response.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl HttpResponse {
    /// A header as text; empty if it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of the first error, if the body is a registry error.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.pointer("/errors/0/code")?.as_str().map(str::to_owned)
    }

    /// Reads a response to its end.
    ///
    /// # Errors
    /// The body breaks off.
    pub async fn read(response: Response) -> Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, body: response.bytes().await? })
    }
}

/// A client of one image in one group's dependency proxy.
#[derive(Debug, Clone)]
pub struct Puller {
    client: Client,
    root: String,
    repository: String,
    login: Option<Login>,
}

impl Puller {
    /// Creates a client for `image` in `group`, at the server with this root URL.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn new(root: &str, group: &str, image: &str, login: Option<&Login>) -> Result<Self> {
        Ok(Self {
            client: Client::builder().no_proxy().build()?,
            root: root.to_owned(),
            repository: format!("{group}/dependency_proxy/containers/{image}"),
            login: login.cloned(),
        })
    }

    /// Requests a manifest by tag or digest.
    ///
    /// # Errors
    /// The request fails or the response breaks off.
    pub async fn manifest(&self, reference: &str) -> Result<HttpResponse> {
        self.request(Method::GET, &format!("manifests/{reference}"), &[]).await
    }

    /// Requests a blob.
    ///
    /// # Errors
    /// The request fails or the response breaks off.
    pub async fn blob(&self, digest: &Digest) -> Result<HttpResponse> {
        self.request(Method::GET, &format!("blobs/{digest}"), &[]).await
    }

    /// Requests a path below the image.
    ///
    /// # Errors
    /// The request fails or the response breaks off.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<HttpResponse> {
        HttpResponse::read(self.open(method, path, headers).await?).await
    }

    /// Sends a request and returns the response with its body unread.
    ///
    /// # Errors
    /// The request fails.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response> {
        let url = format!("{}/v2/{}/{path}", self.root, self.repository);
        let mut request = self.client.request(method, url);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.username, Some(&login.password));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(request.send().await?)
    }

    /// Follows the token protocol as a docker client does, and returns the token endpoint's
    /// response.
    ///
    /// # Errors
    /// The server sends no challenge as the token protocol requires.
    pub async fn request_token(&self) -> Result<HttpResponse> {
        let ping = self.client.get(format!("{}/v2/", self.root)).send().await?;
        ensure!(ping.status().as_u16() == 401, "{} and not a challenge", ping.status());
        let header = ping.headers().get("www-authenticate").context("no challenge")?;
        let challenge = Challenge::parse(header.to_str()?);
        let Some(Challenge::Bearer { realm, service, .. }) = challenge else {
            anyhow::bail!("the challenge is {header:?}");
        };
        let scope = format!("repository:{}:pull", self.repository);
        let query = [("service", service.as_deref().unwrap_or_default()), ("scope", &scope)];
        let realm = realm.parse::<reqwest::Url>()?;
        let mut url = realm;
        url.query_pairs_mut().extend_pairs(query);
        let mut request = self.client.get(url);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.username, Some(&login.password));
        }
        HttpResponse::read(request.send().await?).await
    }
}
