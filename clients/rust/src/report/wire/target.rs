//! The targets of a pool in the JSON of a report.

use serde::{Deserialize, Serialize};

use super::super::target::ConnectionTarget;

/// The usual port of a server.
const PORT: u64 = 5432;

/// A target as it is written.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Target {
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    port: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
}

impl Target {
    /// The target, when there can be one. The figures of a pool are worth more than its targets, so
    /// that one that cannot be is only left out.
    pub(super) fn checked(self) -> Option<ConnectionTarget> {
        let port = u16::try_from(self.port.unwrap_or(PORT)).ok()?;
        let (database, role) = (self.database.as_deref(), self.role.as_deref());
        ConnectionTarget::new(&self.host?, port, database, role)
    }
}

impl From<&ConnectionTarget> for Target {
    fn from(target: &ConnectionTarget) -> Self {
        let ConnectionTarget { host, port, database, role } = target.clone();
        Self { host: Some(host), port: Some(port.into()), database, role }
    }
}
