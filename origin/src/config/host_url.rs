//! Deserialises the URL of a host.

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};
use url::Url;

/// Deserialises an http or https URL that contains only a scheme, a host and a port.
pub(super) fn http_url<'de, D: Deserializer<'de>>(input: D) -> Result<Url, D::Error> {
    let url = Url::deserialize(input)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(D::Error::custom(format!("`{url}` is not an http or https URL")));
    }
    if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err(D::Error::custom("the URL may contain only a scheme, a host and a port"));
    }
    Ok(url)
}
