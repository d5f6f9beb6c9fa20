//! A Cell's dependency proxy: a pull-through cache of container registries.
//!
//! A request passes `http` (parse), `auth` (authenticate), `access` (authorise) and `cache`, which
//! uses `db`, `store` and `upstream`. `http::error` turns every failure into a response.

pub mod access;
pub mod admin;
mod app;
pub mod auth;
mod backoff;
pub mod body;
pub mod cache;
pub mod config;
pub mod db;
pub mod http;
pub mod inject;
pub mod maintenance;
pub mod metrics;
pub mod reload;
mod serve;
pub mod store;
pub mod upstream;

pub use app::App;
pub use serve::serve;
