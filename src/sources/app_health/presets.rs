//! The shapes of answer that people have, each a table of figures and the keys that hold them.

use serde::Deserialize;

use super::figure::Figure::{
    self, Capacity, CheckedIn, CheckedOut, Invalidated, MaxOverflow, OldestCheckout, Open,
    Overflow, Peak, Pending, Pid, Size, Timeouts, WaitSeconds, Waits,
};

/// A known shape of answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// `SQLAlchemy`'s `QueuePool`: `pool_size`, `max_overflow`, `checked_in`, `checked_out`…
    Sqlalchemy,
    /// Go's `sql.DBStats`, by its field names or in snake case.
    GoSql,
    /// `HikariCP`'s beans as JSON, plain or through Jolokia, or Spring's actuator.
    Hikaricp,
    /// node-postgres' `Pool`: `totalCount`, `idleCount`, `waitingCount`, `max`.
    NodePostgres,
}

/// A figure, the pointer to it from the object that has the pool's figures, and the unit of it in
/// ours.
pub(super) type PresetFigure = (Figure, &'static str, f64);

/// The places within an answer at which that object may be.
pub(super) const BASES: &[&str] = &[
    "",
    "/pool",
    "/pool_stats",
    "/pool_status",
    "/connection_pool",
    "/database/pool",
    "/database/pool_stats",
    "/database",
    "/checks/database",
    "/stats",
    "/details",
    "/data",
    "/value",
];

const SQLALCHEMY: &[PresetFigure] = &[
    (Size, "/pool_size", 1.0),
    (Size, "/size", 1.0),
    (MaxOverflow, "/max_overflow", 1.0),
    (Capacity, "/capacity", 1.0),
    (Capacity, "/total_capacity", 1.0),
    (CheckedIn, "/checked_in", 1.0),
    (CheckedIn, "/checkedin", 1.0),
    (CheckedIn, "/checked_in_connections", 1.0),
    (CheckedOut, "/checked_out", 1.0),
    (CheckedOut, "/checkedout", 1.0),
    (CheckedOut, "/checked_out_connections", 1.0),
    (Overflow, "/overflow", 1.0),
    (Overflow, "/overflow_connections", 1.0),
    (Pending, "/pending", 1.0),
    (Pending, "/waiting", 1.0),
    (Peak, "/peak", 1.0),
    (OldestCheckout, "/oldest_checkout_seconds", 1.0),
    (Timeouts, "/timeouts", 1.0),
    (Invalidated, "/invalidated", 1.0),
    (Pid, "/pid", 1.0),
    (Pid, "/worker_pid", 1.0),
];

const GO_SQL: &[PresetFigure] = &[
    (Capacity, "/MaxOpenConnections", 1.0),
    (Capacity, "/max_open_connections", 1.0),
    (CheckedOut, "/InUse", 1.0),
    (CheckedOut, "/in_use", 1.0),
    (CheckedIn, "/Idle", 1.0),
    (CheckedIn, "/idle", 1.0),
    (Open, "/OpenConnections", 1.0),
    (Open, "/open_connections", 1.0),
    (Waits, "/WaitCount", 1.0),
    (Waits, "/wait_count", 1.0),
    // Go writes a duration as nanoseconds; in snake case its unit is anybody's guess.
    (WaitSeconds, "/WaitDuration", 1e-9),
    (WaitSeconds, "/wait_duration_seconds", 1.0),
    (Pid, "/pid", 1.0),
];

const HIKARICP: &[PresetFigure] = &[
    (Capacity, "/maximumPoolSize", 1.0),
    (Capacity, "/MaximumPoolSize", 1.0),
    (Capacity, "/max/measurements/0/value", 1.0),
    (CheckedOut, "/activeConnections", 1.0),
    (CheckedOut, "/ActiveConnections", 1.0),
    (CheckedOut, "/active/measurements/0/value", 1.0),
    (CheckedIn, "/idleConnections", 1.0),
    (CheckedIn, "/IdleConnections", 1.0),
    (CheckedIn, "/idle/measurements/0/value", 1.0),
    (Open, "/totalConnections", 1.0),
    (Open, "/TotalConnections", 1.0),
    (Pending, "/threadsAwaitingConnection", 1.0),
    (Pending, "/ThreadsAwaitingConnection", 1.0),
    (Pending, "/pending/measurements/0/value", 1.0),
    (Timeouts, "/timeout/measurements/0/value", 1.0),
    (Pid, "/pid", 1.0),
];

const NODE_POSTGRES: &[PresetFigure] = &[
    (Capacity, "/max", 1.0),
    (Capacity, "/options/max", 1.0),
    (Open, "/totalCount", 1.0),
    (CheckedIn, "/idleCount", 1.0),
    (Pending, "/waitingCount", 1.0),
    (Pid, "/pid", 1.0),
];

impl Preset {
    /// Every preset.
    #[cfg(test)]
    pub(super) const ALL: [Self; 4] =
        [Self::Sqlalchemy, Self::GoSql, Self::Hikaricp, Self::NodePostgres];

    /// The place of each figure; of several places for one figure, the first that has it.
    pub(super) fn places(self) -> &'static [PresetFigure] {
        match self {
            Self::Sqlalchemy => SQLALCHEMY,
            Self::GoSql => GO_SQL,
            Self::Hikaricp => HIKARICP,
            Self::NodePostgres => NODE_POSTGRES,
        }
    }
}
