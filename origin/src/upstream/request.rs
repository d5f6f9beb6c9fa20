//! One request: authorise, follow redirects by hand, answer a challenge once.

use oci::media_type::ACCEPT_MANIFESTS;
use oci::{Challenge, Endpoint, RepositoryName};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, RANGE, WWW_AUTHENTICATE};
use reqwest::{Method, Response};
use url::Url;

use super::{Upstream, UpstreamError, Wish};

/// Registries redirect blobs once, to a CDN; clients of ours would follow ten.
const MAX_REDIRECTS: usize = 5;

impl Upstream {
    pub(super) async fn send_to(
        &self,
        method: &Method,
        repository: &RepositoryName,
        endpoint: &Endpoint,
        wish: Wish<'_>,
    ) -> Result<Response, UpstreamError> {
        let credential = self.auth.remembered(repository).await?;
        let first = self.attempt(method, repository, endpoint, wish, credential).await?;
        if first.status() != 401 {
            return successful(first);
        }
        let challenge = challenge_of(&first).ok_or_else(|| UpstreamError::of(&first))?;
        match self.auth.answer(repository, challenge).await? {
            Some(credential) => {
                let retried = self.attempt(method, repository, endpoint, wish, Some(credential));
                successful(retried.await?)
            }
            None => Err(UpstreamError::of(&first)),
        }
    }

    async fn attempt(
        &self,
        method: &Method,
        repository: &RepositoryName,
        endpoint: &Endpoint,
        wish: Wish<'_>,
        credential: Option<HeaderValue>,
    ) -> Result<Response, UpstreamError> {
        let mut url = self
            .base
            .join(&format!("/v2/{repository}/{endpoint}"))
            .map_err(|_| UpstreamError::Protocol("a name that fits no URL"))?;
        url.set_query(Some(wish.query).filter(|query| !query.is_empty()));
        for _ in 0..=MAX_REDIRECTS {
            let response = self.visit(method, &url, endpoint, wish, credential.as_ref()).await?;
            match next_stop(&response) {
                Some(location) => url = self.guard.redirect(&url, &location)?,
                None => return Ok(response),
            }
        }
        Err(UpstreamError::Protocol("redirects without an end"))
    }

    async fn visit(
        &self,
        method: &Method,
        url: &Url,
        endpoint: &Endpoint,
        wish: Wish<'_>,
        credential: Option<&HeaderValue>,
    ) -> Result<Response, UpstreamError> {
        let mut request = self.client.request(method.clone(), url.clone());
        let all = matches!(endpoint, Endpoint::Manifest(_)).then_some(ACCEPT_MANIFESTS);
        if let Some(accept) = wish.accept.or(all) {
            request = request.header(ACCEPT, accept);
        }
        if wish.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", wish.from));
        }
        // What authorises us at the registry is nobody else's, a CDN's the least.
        if let Some(credential) = credential.filter(|_| url.origin() == self.base.origin()) {
            request = request.header(AUTHORIZATION, credential.clone());
        }
        Ok(request.send().await?)
    }
}

fn successful(response: Response) -> Result<Response, UpstreamError> {
    if response.status().is_success() { Ok(response) } else { Err(UpstreamError::of(&response)) }
}

fn next_stop(response: &Response) -> Option<String> {
    let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    moved.then(|| super::text(response.headers(), LOCATION.as_str())).flatten()
}

fn challenge_of(response: &Response) -> Option<Challenge> {
    let headers = response.headers().get_all(WWW_AUTHENTICATE);
    let all: Vec<_> = headers.iter().filter_map(|value| value.to_str().ok()).collect();
    Challenge::parse(&all.join(", "))
}
