//! A request given by the options of curl.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use gitlab::redact::redacted;
use percent_encoding::percent_decode_str;
use router::Headers;
use url::{Position, Url};

/// The host for URLs that have none.
const HOST: &str = "gitlab.example";

#[derive(Args)]
pub(crate) struct RequestOptions {
    /// The method [default: GET].
    #[arg(short = 'X', long, value_name = "METHOD")]
    request: Option<String>,
    /// A header, such as 'PRIVATE-TOKEN: glpat-…'; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The Basic credentials, as sent by docker login.
    #[arg(short, long, value_name = "USER:PASSWORD")]
    user: Option<String>,
    /// The cookies, as 'NAME=VALUE; NAME=VALUE'.
    #[arg(short = 'b', long, value_name = "COOKIES")]
    cookie: Option<String>,
    /// Use the method HEAD.
    #[arg(short = 'I', long)]
    head: bool,
    /// The URL, or only its path and query.
    #[arg(value_name = "URL")]
    url: String,
}

impl RequestOptions {
    /// Returns the headers as the filter receives them, pseudo-headers first.
    pub(crate) fn headers(&self) -> Result<Headers> {
        let Target { user, host, path } = Target::parse(&self.url)?;
        let default = if self.head { "HEAD" } else { "GET" };
        let method = self.request.as_deref().unwrap_or(default);
        let user = self.user.clone().or(user);
        let basic = user.iter().map(|user| format!("Basic {}", STANDARD.encode(user)));
        let basic = basic.map(|value| ("authorization".to_owned(), value));
        let cookie = self.cookie.iter().map(|value| ("cookie".to_owned(), value.clone()));
        let given = self.headers.iter().map(|header| named(header)).collect::<Result<Vec<_>>>()?;
        let (hosts, others): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|(name, _)| name == "host");
        let host = hosts.into_iter().next_back().map_or_else(|| host, |(_, host)| host);
        let pseudo = [(":method", method), (":authority", &host), (":path", &path)];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let all = pseudo.into_iter().chain(basic).chain(cookie).chain(others);
        Ok(all.map(|(name, value)| (name, value.into_bytes())).collect())
    }

    /// Returns the request as `GET gitlab.example/jwt/auth?service=…`. Tokens in the host, the path and
    /// the query are hidden unless `show_secrets` is set.
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

/// The parts of a URL that are sent; a fragment is not.
struct Target {
    /// The decoded `USER:PASSWORD` of the URL.
    user: Option<String>,
    host: String,
    /// The path with the query.
    path: String,
}

impl Target {
    /// Parses a URL, which is normalised as clients do, or a path, which is sent as given.
    fn parse(text: &str) -> Result<Self> {
        if text.starts_with('/') {
            let path = text.split('#').next().unwrap_or_default().to_owned();
            return Ok(Self { user: None, host: HOST.to_owned(), path });
        }
        // The parser's error is omitted: it says less than this one.
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.context("invalid URL: expected https://HOST/PATH or /PATH")?;
        let host = url.host_str().unwrap_or_default();
        ensure!(!host.is_empty(), "invalid URL: no host");
        Ok(Self {
            user: user_info(&url),
            host: url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
            path: url[Position::BeforePath..Position::AfterQuery].to_owned(),
        })
    }
}

/// Returns the decoded user info, with a colon even if there is no password, as Basic requires.
fn user_info(url: &Url) -> Option<String> {
    let decode = |text| percent_decode_str(text).decode_utf8_lossy();
    let (user, password) = (url.username(), url.password());
    let present = !user.is_empty() || password.is_some();
    present.then(|| format!("{}:{}", decode(user), decode(password.unwrap_or_default())))
}

fn named(header: &str) -> Result<(String, String)> {
    let (name, value) = header.split_once(':').context("expected a header as 'NAME: VALUE'")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// Hides the path if it looks like a credential, and the values of query parameters that look like
/// one or are named like one.
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
