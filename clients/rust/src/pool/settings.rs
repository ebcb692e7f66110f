//! The settings of a pool: those of `SQLAlchemy`'s `QueuePool`, with their usual values.

use std::time::Duration;

#[cfg(feature = "settings")]
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::pool_figures::MaxOverflow;

/// The settings of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "settings",
    derive(Deserialize, Serialize),
    serde(default, deny_unknown_fields)
)]
pub struct PoolSettings {
    /// Connections the pool keeps; 0 is unlimited.
    pub size: u32,
    /// The number of connections that it may open while all are taken: a number, or `unlimited`. These are closed
    /// when they come back.
    #[cfg_attr(feature = "settings", serde(with = "max_overflow"))]
    pub max_overflow: MaxOverflow,
    /// A connection older than this is replaced when it is next taken; null is never.
    #[cfg_attr(feature = "settings", serde(with = "humantime_serde"))]
    pub recycle: Option<Duration>,
    /// The time that a caller waits for a connection: for a free one, and for the server's answer.
    #[cfg_attr(feature = "settings", serde(with = "humantime_serde"))]
    pub timeout: Duration,
    /// Has a connection answer the server's shortest question before it is given out.
    pub pre_ping: bool,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            size: 5,
            max_overflow: MaxOverflow::Limited(15),
            recycle: Some(Duration::from_hours(1)),
            timeout: Duration::from_secs(30),
            pre_ping: true,
        }
    }
}

impl PoolSettings {
    /// The most connections that may be open at once.
    pub(super) fn slots(&self) -> usize {
        let slots = match self.limit() {
            MaxOverflow::Limited(more) => u64::from(self.size).saturating_add(more),
            MaxOverflow::Unlimited => u64::MAX,
        };
        usize::try_from(slots).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
    }

    /// The most connections above its size: any number when it has no size.
    pub(super) fn limit(&self) -> MaxOverflow {
        if self.size == 0 { MaxOverflow::Unlimited } else { self.max_overflow }
    }

    /// The most connections that may rest at once.
    pub(super) fn resting(&self) -> usize {
        if self.size == 0 { usize::MAX } else { self.size as usize }
    }

    /// The number of open connections above the size.
    pub(super) fn overflow(&self, open: u64) -> u64 {
        if self.size == 0 { 0 } else { open.saturating_sub(u64::from(self.size)) }
    }
}

/// A number or the word `unlimited`; `SQLAlchemy`'s -1 is understood.
#[cfg(feature = "settings")]
mod max_overflow {
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serializer};

    use super::MaxOverflow;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Word(String),
    }

    pub(super) fn serialize<S: Serializer>(
        value: &MaxOverflow,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            MaxOverflow::Limited(limit) => serializer.serialize_u64(*limit),
            MaxOverflow::Unlimited => serializer.serialize_str("unlimited"),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<MaxOverflow, D::Error> {
        let expected = &"a number of connections, or `unlimited`";
        match Written::deserialize(deserializer)? {
            Written::Number(-1) => Ok(MaxOverflow::Unlimited),
            Written::Number(number) => u64::try_from(number)
                .map(MaxOverflow::Limited)
                .map_err(|_| D::Error::invalid_value(Unexpected::Signed(number), expected)),
            Written::Word(word) if word == "unlimited" => Ok(MaxOverflow::Unlimited),
            Written::Word(word) => word
                .parse()
                .map(MaxOverflow::Limited)
                .map_err(|_| D::Error::invalid_value(Unexpected::Str(&word), expected)),
        }
    }
}

#[cfg(all(test, feature = "settings"))]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<PoolSettings, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_defaults_are_what_an_application_usually_has() {
        let settings = read("{}").unwrap();
        assert_eq!(settings, PoolSettings::default());
        assert_eq!((settings.slots(), settings.resting()), (20, 5));
    }

    #[test]
    fn an_unlimited_overflow_can_be_written_three_ways() {
        for json in [r#"{"max_overflow":"unlimited"}"#, r#"{"max_overflow":-1}"#, r#"{"size":0}"#] {
            assert_eq!(read(json).unwrap().slots(), Semaphore::MAX_PERMITS, "{json}");
        }
        let written = serde_json::to_string(&read(r#"{"max_overflow":-1}"#).unwrap()).unwrap();
        assert_eq!(read(&written).unwrap().max_overflow, MaxOverflow::Unlimited);
    }

    #[test]
    fn what_is_not_a_limit_is_refused() {
        for json in [r#"{"max_overflow":-2}"#, r#"{"max_overflow":"many"}"#, r#"{"sise":5}"#] {
            assert!(read(json).is_err(), "{json}");
        }
        assert_eq!(read(r#"{"recycle":null}"#).unwrap().recycle, None);
        assert_eq!(read(r#"{"recycle":"5m"}"#).unwrap().recycle, Some(Duration::from_mins(5)));
    }
}
