//! The report that a worker sends of its pools once a second: one datagram of JSON, version 1.
//! [`SharedPool`] writes it, `clients/python` does too, and poolwatch's socket for workers reads it.
//!
//! [`SharedPool`]: crate::SharedPool

mod bounds;
mod holders;
mod target;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use self::holders::{ENDPOINTS, Endpoint, EndpointTotals, HOLDS, Hold, OTHER};
pub use self::target::{ConnectionTarget, TARGETS};
use crate::pool_figures::{Cumulative, Figures, Timings, Totals};

/// The socket that workers report to unless told otherwise, if poolwatch may write there.
pub const SOCKET: &str = "/run/poolwatch/poolwatch.sock";

/// The socket of a poolwatch that an ordinary user started, below `XDG_RUNTIME_DIR`.
const USER_SOCKET: &str = "poolwatch/poolwatch.sock";

/// The longest datagram that is read, in bytes.
pub const LIMIT: usize = 64 * 1024;

/// The most pools that one worker may report.
pub const POOLS: usize = 16;

/// The most findings of one report that are kept.
pub const FINDINGS: usize = 20;

/// The most processes of a server that one pool reports: with more it reports none.
pub const PIDS: usize = 200;

/// The longest name of a pool or an instance in characters: a longer one is refused, for two that
/// were cut might become one.
pub const NAME: usize = 100;

/// The longest statement kept, in characters; the rest is cut.
pub const STATEMENT: usize = 1000;

/// The socket named by `POOLWATCH_SOCKET`, else the first of [`usual_sockets`] that is there, else
/// [`SOCKET`].
pub fn socket() -> PathBuf {
    let named = std::env::var_os("POOLWATCH_SOCKET").filter(|path| !path.is_empty());
    let usual = || usual_sockets().into_iter().find(|path| path.exists());
    named.map(PathBuf::from).or_else(usual).unwrap_or_else(|| SOCKET.into())
}

/// The places where poolwatch makes its socket unless told otherwise, the best first: [`SOCKET`], and
/// `poolwatch/poolwatch.sock` below `XDG_RUNTIME_DIR` where that is set.
pub fn usual_sockets() -> Vec<PathBuf> {
    let of_user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let of_user = of_user.filter(|folder| folder.is_absolute());
    let of_user = of_user.map(|folder| folder.join(USER_SOCKET));
    [SOCKET.into()].into_iter().chain(of_user).collect()
}

/// The report of one worker at one time. Counters are cumulative since its instance began.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// One life of one process, at random: a pid alone comes again.
    pub instance: String,
    /// The process, as it knows itself; another namespace knows it by another number.
    pub pid: Option<u32>,
    /// Rises with each report of the instance.
    pub seq: u64,
    /// The time between reports, from 0.1 s to a minute.
    pub period: Duration,
    /// The application's name for itself.
    pub app: Option<String>,
    /// True in the final report of the instance.
    pub is_final: bool,
    /// Its pools, each name once.
    pub pools: Vec<PoolReport>,
    /// Its findings in its own statements since the last report.
    pub findings: Vec<Finding>,
}

/// One pool of one worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolReport {
    /// The pool's name, shared by all its workers.
    pub name: String,
    /// The pool now.
    pub figures: Figures,
    /// Its counters since the instance began.
    pub totals: Totals,
    /// Its histograms since the instance began.
    pub timings: Timings,
    /// The endpoints that take its connections, each name once; empty where none is known.
    pub endpoints: Vec<Endpoint>,
    /// The longest of its current holds, the longest first.
    pub holds: Vec<Hold>,
    /// The servers that its connections go to, each once; empty where that is not known.
    pub targets: Vec<ConnectionTarget>,
    /// The processes of the server at the other end of its connections, at most [`PIDS`]; `None`
    /// where that is not known.
    pub backend_pids: Option<Vec<i32>>,
}

/// A pattern that a worker found in the application's statements, literals stripped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The pool it ran on.
    pub pool: String,
    /// `n_plus_one` or `unpaginated`.
    pub kind: String,
    /// The statement, shortened.
    pub sql: String,
    /// The number of times it ran in one checkout.
    pub count: u64,
    /// The number of rows it returned in that checkout.
    pub rows: u64,
    /// The application's own source line.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// The reason why a report was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// It is no JSON, a needed field is missing, or a field is not what it should be.
    #[error("malformed: not the JSON of a report")]
    Malformed,
    /// Its version is not 1: the client is newer than poolwatch.
    #[error("version: bring poolwatch and its client to the same version")]
    Version,
    /// Its histograms have other bounds, and cannot be added.
    #[error("bounds: bring poolwatch and its client to the same version")]
    Bounds,
    /// It is longer than [`LIMIT`].
    #[error("too_large: longer than {LIMIT} bytes")]
    TooLarge,
    /// As many workers as allowed report already.
    #[error("too_many_workers: raise workers.max_workers")]
    TooManyWorkers,
    /// As many pools as allowed have workers already, or the worker reports more than [`POOLS`].
    #[error(
        "too_many_pools: raise workers.max_pools and workers.max_series, or give pools the same name in all workers"
    )]
    TooManyPools,
    /// A newer report of the same instance was here before it.
    #[error("stale: came after a newer one")]
    Stale,
    /// More reports came than were read.
    #[error("overflow: more reports came than could be read")]
    Overflow,
}

impl Reason {
    /// Every reason, so that each is shown before it first happens.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Version,
        Self::Bounds,
        Self::TooLarge,
        Self::TooManyWorkers,
        Self::TooManyPools,
        Self::Stale,
        Self::Overflow,
    ];

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Bounds => "bounds",
            Self::TooLarge => "too_large",
            Self::TooManyWorkers => "too_many_workers",
            Self::TooManyPools => "too_many_pools",
            Self::Stale => "stale",
            Self::Overflow => "overflow",
        }
    }
}

impl Report {
    /// Reads a datagram. Unknown fields are ignored, for the client may be newer; an optional
    /// figure that is missing is unknown.
    pub fn parse(datagram: &[u8]) -> Result<Self, Reason> {
        if datagram.len() > LIMIT {
            return Err(Reason::TooLarge);
        }
        match serde_json::from_slice::<wire::Report>(datagram) {
            Ok(report) => report.checked(),
            Err(_) => Err(wire::reason(datagram)),
        }
    }

    /// Writes a datagram.
    #[expect(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn serialize(&self) -> Vec<u8> {
        serde_json::to_vec(&wire::Report::from(self))
            .expect("figures and names have a form in JSON")
    }
}

impl PoolReport {
    /// Adds another pool that the process calls by the same name, as if they were one.
    fn join(&mut self, other: &Self) {
        self.figures = Figures::sum([&self.figures, &other.figures]);
        self.totals.merge(&other.totals);
        self.timings.merge(&other.timings);
        self.join_holders(&other.endpoints, &other.holds);
        self.join_targets(&other.targets);
        let pids = self.backend_pids.take().zip(other.backend_pids.as_ref());
        self.backend_pids = pids.map(|(own, others)| [&own[..], others].concat());
    }
}

#[cfg(test)]
mod tests;
