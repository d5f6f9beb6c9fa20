//! What every service of a cluster needs around its own work: [`reload`] watches configuration
//! files, [`log`] sets up logging, [`signals`] handles SIGINT and SIGTERM, and [`metrics_page`]
//! serves metrics to Prometheus, those of the process included.

pub mod log;
pub mod metrics_page;
mod process;
pub mod reload;
pub mod signals;
