//! The configured upstreams, replaced as a whole when the configuration changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use oci::RepositoryName;

use super::auth::Tokens;
use super::image::Image;
use super::mirrors::Upstream;
use super::route::{self, Route, UnknownUpstream, UpstreamNames};
use crate::config::{self, Config};
use crate::metrics::Metrics;

/// The configured upstreams. Tokens and metrics outlive a change of the configuration.
#[derive(Debug)]
pub struct Upstreams {
    tokens: Tokens,
    metrics: Arc<Metrics>,
    current: ArcSwap<Directory>,
}

#[derive(Debug)]
struct Directory {
    /// The names of `default`, then those of `others`, in their order.
    names: Vec<UpstreamNames>,
    default: Arc<Upstream>,
    others: Vec<Arc<Upstream>>,
}

impl Upstreams {
    /// Reads the password files and sets up HTTP clients; nothing connects yet.
    ///
    /// # Errors
    /// A password file cannot be read, or the TLS library cannot be set up.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let tokens = Tokens::new(Arc::clone(&metrics));
        let build = |upstream| Ok(Arc::new(Upstream::new(upstream, &tokens, &metrics)?));
        let current = ArcSwap::from_pointee(Directory::new(config, build)?);
        Ok(Self { tokens, metrics, current })
    }

    /// Switches to the upstreams of another configuration. An unchanged upstream keeps its
    /// connections and state; requests in flight finish at the upstream they started with.
    ///
    /// # Errors
    /// As [`Upstreams::new`]; the upstreams stay as they were.
    pub fn replace(&self, config: &Config) -> anyhow::Result<()> {
        let previous = self.current.load();
        let directory = Directory::new(config, |upstream| match previous.unchanged(&upstream) {
            Some(same) => Ok(same),
            None => Ok(Arc::new(Upstream::new(upstream, &self.tokens, &self.metrics)?)),
        })?;
        self.current.store(Arc::new(directory));
        Ok(())
    }

    /// Returns the image that a client names by path and by the query parameter `ns`.
    ///
    /// # Errors
    /// No configured upstream has it.
    pub fn image(
        &self,
        image: &RepositoryName,
        namespace: Option<&str>,
    ) -> Result<Image, UnknownUpstream> {
        let directory = self.current.load();
        let Route { upstream, repository, name } =
            route::route(&directory.names, image, namespace)?;
        let upstream = Arc::clone(directory.upstream(upstream));
        Ok(Image { upstream, repository, name, namespace: namespace.map(str::to_owned) })
    }
}

impl Directory {
    fn new(
        config: &Config,
        mut build: impl FnMut(config::Upstream) -> anyhow::Result<Arc<Upstream>>,
    ) -> anyhow::Result<Self> {
        let default = config.upstream.with_passwords()?;
        let others = config.upstreams.iter().map(config::Upstream::with_passwords);
        let others: Vec<_> = others.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            names: std::iter::once(&default).chain(&others).map(UpstreamNames::from).collect(),
            default: build(default)?,
            others: others.into_iter().map(build).collect::<anyhow::Result<_>>()?,
        })
    }

    /// Returns the upstream at this position of `names`.
    fn upstream(&self, index: usize) -> &Arc<Upstream> {
        let other = index.checked_sub(1).and_then(|index| self.others.get(index));
        other.unwrap_or(&self.default)
    }

    fn unchanged(&self, config: &config::Upstream) -> Option<Arc<Upstream>> {
        let all = std::iter::once(&self.default).chain(&self.others);
        all.into_iter().find(|upstream| upstream.is_configured_by(config)).cloned()
    }
}
