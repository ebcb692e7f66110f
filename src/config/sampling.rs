//! The intervals of reading.

use std::time::Duration;

use serde::Deserialize;

use super::checks::check_interval;
use super::error::Unsound;
use crate::collectors::Pace;
use crate::yaml::Path;

/// The intervals of reading.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Pools.
    #[serde(with = "humantime_serde")]
    pub pools: Duration,
    /// Sessions, and whether the server answers.
    #[serde(with = "humantime_serde")]
    pub activity: Duration,
    /// Statements.
    #[serde(with = "humantime_serde")]
    pub statements: Duration,
    /// The server's statistics.
    #[serde(with = "humantime_serde")]
    pub server: Duration,
    /// Statistics of each table and index.
    #[serde(with = "humantime_serde")]
    pub tables: Duration,
    /// Sizes, which walk the disk: never more than once in five minutes.
    #[serde(with = "humantime_serde")]
    pub sizes: Duration,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            pools: Duration::from_secs(1),
            activity: Duration::from_secs(1),
            statements: Duration::from_secs(10),
            server: Duration::from_secs(15),
            tables: Duration::from_secs(60),
            sizes: Duration::from_secs(300),
        }
    }
}

impl Sampling {
    /// Refuses what is too often.
    pub(super) fn check(&self) -> Result<(), Unsound> {
        let Self { pools, activity, statements, server, tables, sizes } = *self;
        let (tenth, second) = (Duration::from_millis(100), Duration::from_secs(1));
        let named = [
            ("pools", pools, tenth),
            ("activity", activity, tenth),
            ("statements", statements, second),
            ("server", server, second),
            ("tables", tables, second),
            ("sizes", sizes, Duration::from_mins(5)),
        ];
        named.into_iter().try_for_each(|(name, interval, minimum)| {
            check_interval(Path::from_iter(["sampling", name]), interval, minimum)
        })
    }

    /// The interval of collectors of a pace.
    pub fn interval(&self, pace: Pace) -> Duration {
        match pace {
            Pace::Activity => self.activity,
            Pace::Server => self.server,
            Pace::Statements => self.statements,
            Pace::Tables => self.tables,
            Pace::Slow | Pace::Sizes => self.sizes,
        }
    }
}
