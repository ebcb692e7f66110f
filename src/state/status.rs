//! The status of a pool, and the health of the service as a whole.

use serde::Serialize;
use strum::VariantArray;

/// The status of a pool, in rising order of trouble.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    strum::IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Status {
    /// Below the warning threshold.
    Healthy,
    /// From the warning to the critical threshold, both inclusive.
    Warning,
    /// Above the critical threshold.
    Critical,
}

impl Status {
    /// Every status, for metrics that show each.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The status in lower case.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The health of the service as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Health {
    /// Every pool is healthy and every database answers.
    Healthy,
    /// Some pool is at warning.
    Degraded,
    /// Some pool is critical or a database does not answer.
    Unhealthy,
}

impl Health {
    /// The health in lower case.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
