//! Pools, each with where its figures come from.

use serde::Deserialize;

use crate::sources::{activity, app_health, pgbouncer};

/// The origin of one pool's figures: exactly one of these.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolSource {
    /// Reported by the workers themselves.
    Workers(Nothing),
    /// The application's health endpoint.
    AppHealth(app_health::Settings),
    /// `PgBouncer`'s console.
    Pgbouncer(pgbouncer::Settings),
    /// Inferred from the server's sessions.
    Activity(activity::Settings),
}

/// A section without settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}
