//! Tests against real servers.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod advice;
mod app_health;
mod application;
mod check;
mod cluster;
mod collectors;
mod deploy;
mod end_to_end;
mod estimator;
mod healthcheck;
mod http;
mod indexes;
mod layers;
mod metrics;
mod metrics_document;
mod monitoring;
mod own_log;
mod pgbouncer;
mod plans;
mod pool;
mod printing;
mod process;
mod recovery;
mod rules;
mod scraping;
mod server_log;
mod sessions;
mod settings;
mod shipped;
mod silence;
mod support;
mod swap_in;
mod systemd;
mod truth;
mod workers;
