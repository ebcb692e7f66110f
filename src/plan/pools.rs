//! The pools that are read by themselves, and those that are inferred from a server's sessions.

use std::time::Duration;

use super::SourceSpec;
use crate::config::{Config, PoolSource};
use crate::sources::{Source, activity};
use crate::yaml::Path;

/// The pool that is inferred when the settings name none.
const INFERRED: &str = "app";

/// The source that reads a pool, when it has one of its own.
pub(super) fn source(interval: Duration, name: &str, pool: &PoolSource) -> Option<SourceSpec> {
    let source = format!("pool/{name}");
    let section = Path::from_iter(["pools", name]);
    let pool_name = name.to_owned();
    match pool.clone() {
        PoolSource::AppHealth(settings) => {
            let compared = settings.clone();
            let open = move || Ok(Source::AppHealth(settings.open(&pool_name)?.into()));
            let spec = SourceSpec::new(source, section, interval, compared, open);
            Some(spec.in_group("app_health"))
        }
        PoolSource::Pgbouncer(settings) => {
            let compared = settings.clone();
            let open = move || Ok(Source::Pgbouncer(settings.open(&pool_name)?.into()));
            let spec = SourceSpec::new(source, section, interval, compared, open);
            Some(spec.in_group("pgbouncer").with_label(Some(("pgbouncer", name.to_owned()))))
        }
        PoolSource::Workers(_) | PoolSource::Activity(_) => None,
    }
}

/// The pools inferred from a server's sessions: those the settings name, or, when they name none
/// at all, one of all sessions.
pub(super) fn inferred(config: &Config, server: &str) -> Vec<(String, activity::Settings)> {
    let first = config.servers.keys().next().is_some_and(|first| first == server);
    if config.pools.is_empty() && first {
        let settings =
            activity::Settings { server: server.to_owned(), ..activity::Settings::default() };
        return vec![(INFERRED.to_owned(), settings)];
    }
    let named = config.pools.iter().filter_map(|(name, pool)| match pool {
        PoolSource::Activity(settings) => Some((name.clone(), settings.clone())),
        _ => None,
    });
    named.filter(|(_, settings)| settings.server == server).collect()
}
