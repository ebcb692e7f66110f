//! Checks that no single type can make: settings that do not fit each other or poolwatch.

use std::time::Duration;

use super::error::Unsound;
use super::{Config, PoolSource, address, example};
use crate::collectors::{ALL, Collector, Pace, Reader};
use crate::sources::collector;
use crate::state::{Role, Thresholds};
use crate::yaml::Path;

fn path<const N: usize>(keys: [&str; N]) -> Path {
    keys.into_iter().collect()
}

fn unsound(path: Path, reason: String) -> Result<(), Unsound> {
    Err(Unsound { path, reason })
}

impl Config {
    /// Finds the first setting that makes no sense.
    pub(super) fn check(&self) -> Result<(), Unsound> {
        self.check_role()?;
        self.check_thresholds()?;
        self.sampling.check()?;
        self.pools.iter().try_for_each(|(name, pool)| self.check_pool(name, pool))?;
        self.servers.keys().try_for_each(|name| check_name("servers", name))?;
        self.check_addresses()?;
        self.check_server(path(["indexes", "server"]), self.indexes.server.as_deref())?;
        self.check_server(path(["logs", "server"]), self.logs.server.as_deref())?;
        self.logs.check().or_else(|error| unsound(path(["logs"]), error.to_string()))?;
        self.collectors.iter().try_for_each(|(name, settings)| check_collector(name, settings))
    }

    fn check_role(&self) -> Result<(), Unsound> {
        match self.role {
            Role::Sidecar if !self.servers.is_empty() => {
                let reason = "servers: a sidecar opens no connection to a database; remove `servers`, or \
                              `role: sidecar` where this poolwatch is to read them";
                unsound(path(["servers"]), reason.to_owned())
            }
            Role::Watcher if self.servers.is_empty() => {
                let reason =
                    "role: a watcher needs a server; set DATABASE_URL, or servers in the settings";
                unsound(path(["role"]), reason.to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_addresses(&self) -> Result<(), Unsound> {
        let servers = self
            .servers
            .iter()
            .map(|(name, settings)| (path(["servers", name, "url"]), settings.url.reveal()));
        let pools = self.pools.iter().filter_map(|(name, pool)| match pool {
            PoolSource::Pgbouncer(settings) => {
                Some((path(["pools", name, "pgbouncer", "url"]), settings.url.as_str()))
            }
            PoolSource::AppHealth(settings) => {
                Some((path(["pools", name, "app_health", "url"]), settings.url.as_str()))
            }
            PoolSource::Workers(_) | PoolSource::Activity(_) => None,
        });
        servers.chain(pools).try_for_each(|(path, address)| check_address(path, address))
    }

    fn check_server(&self, path: Path, server: Option<&str>) -> Result<(), Unsound> {
        match server {
            Some(server) if !self.servers.contains_key(server) => {
                let servers = self.servers.keys().map(String::as_str);
                Err(Unsound::unknown(path, server, servers))
            }
            _ => Ok(()),
        }
    }

    fn check_thresholds(&self) -> Result<(), Unsound> {
        check_shares(&self.thresholds, &["thresholds"])?;
        self.thresholds.pools.keys().try_for_each(|pool| {
            check_shares(&self.thresholds.of_pool(pool), &["thresholds", "pools", pool])
        })
    }

    fn check_pool(&self, name: &str, pool: &PoolSource) -> Result<(), Unsound> {
        check_name("pools", name)?;
        match pool {
            PoolSource::Activity(activity) => {
                let path = path(["pools", name, "activity", "server"]);
                self.check_server(path, Some(&activity.server))
            }
            PoolSource::Workers(_) | PoolSource::AppHealth(_) | PoolSource::Pgbouncer(_) => Ok(()),
        }
    }
}

fn check_shares(thresholds: &Thresholds, section: &[&str]) -> Result<(), Unsound> {
    let Thresholds { warning, critical, .. } = *thresholds;
    if warning > 0.0 && warning <= critical && critical <= 1.0 {
        return Ok(());
    }
    let key = if critical > 1.0 { "critical" } else { "warning" };
    let name = section.join(".");
    let reason = format!(
        "{name}.warning ({warning}) and {name}.critical ({critical}) must be above 0, at most 1, and \
         warning not above critical; for example: `warning: 0.75`, `critical: 0.90`"
    );
    unsound(section.iter().copied().chain([key]).collect(), reason)
}

fn check_address(path: Path, address: &str) -> Result<(), Unsound> {
    let reason = if address.is_empty() {
        let example = example::file_line(&path).unwrap_or_default();
        format!("{path} is missing; for example: `{example}`")
    } else if let Some(fault) = address::fault(address) {
        format!("{path} {fault}")
    } else {
        return Ok(());
    };
    unsound(path, reason)
}

/// Refuses an interval that is below a minimum.
pub(super) fn check_interval(
    path: Path,
    interval: Duration,
    minimum: Duration,
) -> Result<(), Unsound> {
    if interval >= minimum {
        return Ok(());
    }
    let reason = format!(
        "{path} is {}, which is below the least of {minimum}; for example: `{}: {minimum}`",
        humantime::format_duration(interval),
        path.last().unwrap_or_default(),
        minimum = humantime::format_duration(minimum)
    );
    unsound(path, reason)
}

fn check_collector(name: &str, settings: &collector::Settings) -> Result<(), Unsound> {
    let at = path(["collectors", name]);
    let Some(collector) = Collector::named(name) else {
        return Err(Unsound::unknown(at, name, ALL.iter().map(|collector| collector.name)));
    };
    if settings.is_of_statements() && name != Collector::STATEMENTS {
        let reason = format!(
            "{at}: include_query, query_length, exclude_databases and exclude_users are for \
             collectors.{} alone",
            Collector::STATEMENTS
        );
        return unsound(at, reason);
    }
    let has_limit = collector.reader == Reader::Statements
        || collector.tables.iter().any(|table| table.bound.is_some());
    if settings.limit.is_some() && !has_limit {
        let at = at.join("limit");
        let reason = format!("{at}: this collector has nothing to limit");
        return unsound(at, reason);
    }
    let minimum = match collector.pace {
        Pace::Sizes => Duration::from_mins(5),
        Pace::Activity => Duration::from_millis(100),
        _ => Duration::from_secs(1),
    };
    settings
        .interval
        .map_or(Ok(()), |interval| check_interval(at.join("interval"), interval, minimum))
}

/// A name becomes a label on every series and a part of others.
fn check_name(section: &str, name: &str) -> Result<(), Unsound> {
    let reason = if name.contains("://") {
        format!("{section}: a name there is an address; a space must follow its colon")
    } else if name.is_empty() || name.len() > 63 || name.contains(char::is_control) {
        format!("{section}: the name {name:?} must have 1 to 63 bytes and no control characters")
    } else {
        return Ok(());
    };
    unsound(path([section, name]), reason)
}
