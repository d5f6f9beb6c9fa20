//! A request written as for curl.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use gitlab::redact::redacted;
use router::Headers;

/// Who is asked where the URL has no host.
const HOST: &str = "gitlab.example";

#[derive(Args)]
pub(crate) struct RequestOptions {
    /// The method; GET unless given.
    #[arg(short = 'X', long, value_name = "METHOD")]
    request: Option<String>,
    /// A header, as 'PRIVATE-TOKEN: glpat-…'; repeatable.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Basic credentials, as docker login sends them.
    #[arg(short, long, value_name = "USER:PASSWORD")]
    user: Option<String>,
    /// Cookies, as 'NAME=VALUE; NAME=VALUE'.
    #[arg(short = 'b', long, value_name = "COOKIES")]
    cookie: Option<String>,
    /// Ask by HEAD.
    #[arg(short = 'I', long)]
    head: bool,
    /// The URL, or its path and query alone.
    #[arg(value_name = "URL")]
    url: String,
}

impl RequestOptions {
    /// The headers a filter would be handed, pseudo-headers first.
    pub(crate) fn headers(&self) -> Result<Headers> {
        let Url { user, host, path } = split(&self.url)?;
        let default = if self.head { "HEAD" } else { "GET" };
        let method = self.request.as_deref().unwrap_or(default);
        let user = self.user.clone().or(user);
        let basic = user.iter().map(|user| format!("Basic {}", STANDARD.encode(user)));
        let basic = basic.map(|value| ("authorization".to_owned(), value));
        let cookie = self.cookie.iter().map(|value| ("cookie".to_owned(), value.clone()));
        let given = self.headers.iter().map(|header| named(header)).collect::<Result<Vec<_>>>()?;
        let (hosts, others): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|(name, _)| name == "host");
        let host = hosts.into_iter().next_back().map_or_else(|| host.to_owned(), |(_, host)| host);
        let pseudo = [(":method", method), (":authority", &host), (":path", path)];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let all = pseudo.into_iter().chain(basic).chain(cookie).chain(others);
        Ok(all.map(|(name, value)| (name, value.into_bytes())).collect())
    }

    /// The first line, as `GET gitlab.example/jwt/auth?service=…`; a token in the host, the path or
    /// the query is masked unless `show_secrets`.
    pub(crate) fn line(&self, headers: &Headers, show_secrets: bool) -> String {
        let text = |name: &str| {
            let value = headers.iter().find(|(key, _)| key == name).map(|(_, value)| value);
            value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        let (method, host, path) = (text(":method"), text(":authority"), text(":path"));
        if show_secrets {
            return format!("{method} {host}{path}");
        }
        format!("{method} {}{}", redacted(&host), masked(&path))
    }
}

/// A URL's parts; a fragment stays with the client.
struct Url<'a> {
    /// `USER:PASSWORD`, decoded, where the URL has it.
    user: Option<String>,
    host: &'a str,
    /// With the query.
    path: &'a str,
}

fn split(url: &str) -> Result<Url<'_>> {
    let url = url.split('#').next().unwrap_or_default();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let (user, host) = match authority.rsplit_once('@') {
                Some((user, host)) => (Some(decoded(user)), host),
                None => (None, authority),
            };
            let path = if path.is_empty() { "/" } else { path };
            if host.is_empty() || !path.starts_with('/') {
                bail!("the URL: write https://HOST/PATH");
            }
            Ok(Url { user, host, path })
        }
        None if url.starts_with('/') => Ok(Url { user: None, host: HOST, path: url }),
        None => bail!("the URL: write https://HOST/PATH, or /PATH"),
    }
}

/// Userinfo as it is sent: percent-decoded, and with a colon even where there is no password.
fn decoded(user: &str) -> String {
    let pair = format!("user={}", user.replace('+', "%2B").replace('&', "%26"));
    let text = oci::query::values(&pair, "user").next().unwrap_or_default().into_owned();
    if text.contains(':') { text } else { text + ":" }
}

fn named(header: &str) -> Result<(String, String)> {
    let (name, value) = header.split_once(':').context("a header is written 'NAME: VALUE'")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// The path, and the query without the values of what looks or is named like a credential.
fn masked(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return redacted(target).to_owned() };
    let path = redacted(path);
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name.contains("token") || name.contains("password") => {
            format!("{name}=(hidden)")
        }
        Some((name, value)) => format!("{}={}", redacted(name), redacted(value)),
        None => redacted(pair).to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}
