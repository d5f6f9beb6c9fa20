//! A registry client that shows every status, header and byte.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use oci::{Challenge, Digest};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};

/// A user name and a password.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user's name; nothing looks at it.
    pub username: String,
    /// A personal access token.
    pub password: String,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// A header as text; empty where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of the first error, where the body is a registry's error.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.pointer("/errors/0/code")?.as_str().map(str::to_owned)
    }

    /// Reads a response to its end.
    ///
    /// # Errors
    /// It breaks off.
    pub async fn of(response: Response) -> Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, body: response.bytes().await? })
    }
}

/// A client of one image, or of one image's place in a group.
#[derive(Debug, Clone)]
pub struct Puller {
    client: Client,
    root: String,
    repository: String,
    login: Option<Login>,
}

impl Puller {
    /// For `image` in `group`, at the server with this root URL.
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

    /// Asks for a manifest by tag or digest.
    ///
    /// # Errors
    /// No answer, or one that breaks off.
    pub async fn manifest(&self, reference: &str) -> Result<Answer> {
        self.ask(Method::GET, &format!("manifests/{reference}"), &[]).await
    }

    /// Asks for a blob.
    ///
    /// # Errors
    /// No answer, or one that breaks off.
    pub async fn blob(&self, digest: &Digest) -> Result<Answer> {
        self.ask(Method::GET, &format!("blobs/{digest}"), &[]).await
    }

    /// Asks for anything below the image.
    ///
    /// # Errors
    /// No answer, or one that breaks off.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        Answer::of(self.open(method, path, headers).await?).await
    }

    /// Asks, and leaves the body to be read.
    ///
    /// # Errors
    /// No answer.
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

    /// Walks the way of a docker client: challenge, token; gives the token's answer.
    ///
    /// # Errors
    /// The server does not challenge as the token protocol says.
    pub async fn ask_for_token(&self) -> Result<Answer> {
        let ping = self.client.get(format!("{}/v2/", self.root)).send().await?;
        ensure!(ping.status().as_u16() == 401, "no challenge but {}", ping.status());
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
        Answer::of(request.send().await?).await
    }
}
