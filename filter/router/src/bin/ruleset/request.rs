//! A request written as for curl.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
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
        let (host, path) = split(&self.url)?;
        let default = if self.head { "HEAD" } else { "GET" };
        let method = self.request.as_deref().unwrap_or(default);
        let basic = self.user.iter().map(|user| format!("Basic {}", STANDARD.encode(user)));
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

    /// The first line, as `GET gitlab.example/jwt/auth?service=…`; a token in the query is masked
    /// unless `show_secrets`.
    pub(crate) fn line(&self, headers: &Headers, show_secrets: bool) -> String {
        let text = |name: &str| {
            let value = headers.iter().find(|(key, _)| key == name).map(|(_, value)| value);
            value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        let path = text(":path");
        let path = if show_secrets { path } else { masked(&path) };
        format!("{} {}{path}", text(":method"), text(":authority"))
    }
}

/// Host and path with query; a fragment stays with the client.
fn split(url: &str) -> Result<(&str, &str)> {
    let url = url.split('#').next().unwrap_or_default();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let path = if path.is_empty() { "/" } else { path };
            if host.is_empty() || !path.starts_with('/') {
                bail!("the URL: write https://HOST/PATH");
            }
            Ok((host, path))
        }
        None if url.starts_with('/') => Ok((HOST, url)),
        None => bail!("the URL: write https://HOST/PATH, or /PATH"),
    }
}

fn named(header: &str) -> Result<(String, String)> {
    let (name, value) = header.split_once(':').context("a header is written 'NAME: VALUE'")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// The query without the values of parameters named like a credential.
fn masked(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name.contains("token") || name.contains("password") => {
            format!("{name}=(hidden)")
        }
        _ => pair.to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}
