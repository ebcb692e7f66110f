//! The part that one poolwatch has among several.

use serde::{Deserialize, Serialize};

/// The part that one poolwatch has among several.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Deserialize,
    Serialize,
    strum::IntoStaticStr,
    clap::ValueEnum,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    /// Reads servers where some are named, and listens to workers.
    #[default]
    Standalone,
    /// Stands beside the workers of one pod or host and listens to them. It opens no connection to a
    /// database.
    Sidecar,
    /// Reads servers, once for all pods.
    Watcher,
}

impl Role {
    /// The value of the label `role`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
