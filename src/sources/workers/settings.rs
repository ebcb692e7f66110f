//! The settings of the workers' socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use poolwatch_client::report;

/// The settings of the workers' socket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Makes a socket at all.
    pub enabled: bool,
    /// The path of the socket; its folder is made if absent. When it is not set, the first of
    /// [`usual_sockets`](report::usual_sockets) that can be made.
    pub socket: Option<PathBuf>,
    /// The group that may report, besides poolwatch's own user.
    pub group: Option<String>,
    /// The permissions of the socket, in octal digits.
    #[serde(with = "octal")]
    pub mode: u32,
    /// The time for which the figures of a silent worker are shown, if three of its periods are not
    /// longer.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// The most workers that may report at a time; the rest are refused.
    pub max_workers: usize,
    /// The most pools at a time. For one more, one gives way that no worker has any more; where each
    /// has one, it is refused.
    pub max_pools: usize,
    /// The most endpoints of a pool that have figures of their own, each as a label of metrics; the rest
    /// are summed as `other`. With 0 there are none.
    pub max_endpoints: usize,
    /// The most series that all pools together may have, their endpoints included. Endpoints beyond it
    /// are summed as `other`, and pools that do not fit are refused.
    pub max_series: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: None,
            group: None,
            mode: 0o660,
            ttl: Duration::from_secs(3),
            max_workers: 2000,
            max_pools: 100,
            max_endpoints: 50,
            max_series: 15_000,
        }
    }
}

impl Settings {
    /// The path of the socket, where it was set or found.
    pub(super) fn path(&self) -> &Path {
        self.socket.as_deref().unwrap_or(Path::new(report::SOCKET))
    }

    /// The same for a socket at this path.
    pub(super) fn at(&self, path: PathBuf) -> Self {
        Self { socket: Some(path), ..self.clone() }
    }
}

/// Permissions as they are usually written, `0660`, whether the file's reader takes that for a number or
/// a text.
mod octal {
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u32),
        Text(String),
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{mode:04o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let digits = match Written::deserialize(deserializer)? {
            // YAML turns 0o660 into 432, which as digits are other permissions, and none that a
            // socket can have: its owner may write.
            Written::Number(number) if number <= 0o777 => {
                return Err(D::Error::invalid_value(
                    Unexpected::Unsigned(number.into()),
                    &"permissions in quotes, such as \"0660\"",
                ));
            }
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        match u32::from_str_radix(digits.trim_start_matches("0o"), 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => Err(D::Error::invalid_value(
                Unexpected::Str(&digits),
                &"permissions such as \"0660\"",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_read_as_they_are_usually_written() {
        for json in [r#"{"mode":"0640"}"#, r#"{"mode":640}"#, r#"{"mode":"0o640"}"#] {
            let settings: Settings = serde_json::from_str(json).unwrap();
            assert_eq!(settings.mode, 0o640, "{json}");
        }
        // What YAML makes of 0o660, 0o640 and 0o600.
        for json in [r#"{"mode":432}"#, r#"{"mode":416}"#, r#"{"mode":384}"#] {
            let error = serde_json::from_str::<Settings>(json).unwrap_err().to_string();
            assert!(error.contains("in quotes, such as \"0660\""), "{error}");
        }
        for json in [r#"{"mode":"rw"}"#, r#"{"mode":888}"#, r#"{"mode":"1777"}"#, r#"{"path":""}"#]
        {
            assert!(serde_json::from_str::<Settings>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        let json = serde_json::to_string(&Settings::default()).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), Settings::default());
    }
}
