//! Tests against real servers.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod app_health;
mod cluster;
mod layers;
mod pgbouncer;
mod pool;
mod process;
mod recovery;
mod settings;
mod support;
