//! The page that Prometheus scrapes: a service's own metrics, `PREFIX_build_info` and `process_*`.

use std::sync::Arc;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::process;
use accept::Format;

mod accept;
mod text;

/// A registry of metrics, rendered in the format that the scraper accepts.
#[derive(Debug, Clone)]
pub struct MetricsPage {
    registry: Arc<Registry>,
}

impl MetricsPage {
    /// Makes a page of the metrics that `register` adds. Their names, and that of the build info,
    /// begin with `prefix`; `version` is the version of the service.
    pub fn new(prefix: &str, version: &'static str, register: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        process::register(&mut registry);
        let service = registry.sub_registry_with_prefix(prefix);
        let build = Info::new([
            ("version", version),
            ("os", std::env::consts::OS),
            ("arch", std::env::consts::ARCH),
        ]);
        service.register("build", "Version and platform of the running program", build);
        register(service);
        Self { registry: Arc::new(registry) }
    }

    /// Responds to a scrape. The format depends on the request's `Accept` header, as in Prometheus'
    /// own client library: `OpenMetrics` for those who list it, the text format 0.0.4 for all others.
    #[must_use]
    pub fn respond(&self, headers: &HeaderMap) -> Response {
        let format = accept::negotiate(headers);
        match self.render(format) {
            Ok(page) => {
                let head = [(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store")];
                (head, page).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "cannot encode the metrics");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    fn render(&self, format: Format) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(match format {
            Format::OpenMetrics => page,
            Format::Text => text::from_open_metrics(&page),
        })
    }
}

#[cfg(test)]
mod tests;
