//! The sources of readings, one file each.
//!
//! To add one, write `NAME.rs` in this order: what it is, `Settings`, the struct, `open`, `read`, a
//! pure `parse`, tests. Then give [`Source`] a variant; the compiler names the rest. A source
//! reports and never judges.

pub mod activity;
pub mod app_health;
pub mod client_sessions;
pub mod collector;
pub mod conditions;
pub mod database_sizes;
pub mod indexes;
pub mod lock_queues;
pub mod other_databases;
pub mod own_connections;
pub mod pgbouncer;
pub mod probe;
pub mod server_cpu;
pub mod server_log;
pub mod statements;
pub mod wait_events;
pub mod workers;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use crate::reading::Reading;

pub(crate) use crate::postgres::{explain, is_undecodable, text};

/// The reason why a reading failed: the text says what to do, the chain what happened.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Something that can be read again and again.
#[derive(Debug)]
pub enum Source {
    /// The probe of a server.
    Probe(probe::Probe),
    /// A server's sessions, and the pools inferred from them.
    Activity(activity::Activity),
    /// The conditions of a server that rules judge.
    Conditions(conditions::ConditionReader),
    /// The sessions of a server's clients.
    ClientSessions(client_sessions::ClientSessionReader),
    /// The queues for locks.
    LockQueues(lock_queues::LockQueues),
    /// One group of a server's statistics.
    Collector(collector::CollectorReader),
    /// The sizes of a server's databases.
    DatabaseSizes(database_sizes::DatabaseSizes),
    /// A server's other databases.
    OtherDatabases(other_databases::OtherDatabases),
    /// The durations of a server's statements.
    Statements(Box<statements::Statements>),
    /// The wait events of a server's sessions.
    WaitEvents(wait_events::WaitEvents),
    /// The CPU time of a server's processes.
    ServerCpu(server_cpu::ServerCpu),
    /// A server's log.
    ServerLog(Box<server_log::ServerLog>),
    /// A database's indexes, against those that are expected.
    Indexes(Box<indexes::IndexReader>),
    /// An application's health endpoint.
    AppHealth(Box<app_health::AppHealth>),
    /// `PgBouncer`'s console.
    Pgbouncer(Box<pgbouncer::Pgbouncer>),
    /// The workers' reports.
    Workers(Box<workers::Workers>),
    /// poolwatch's own connections.
    OwnConnections(own_connections::OwnConnections),
}

/// A reading that broke off by a fault of the driver or of poolwatch itself.
#[derive(Debug, thiserror::Error)]
#[error(
    "the reading broke off by a fault in poolwatch or its driver; what the server sent may be damaged"
)]
pub struct Panicked;

impl Source {
    /// As [`read`](Self::read); a panic on the way costs this reading and no more. The connection
    /// that it was on is closed.
    pub async fn read_caught(&mut self) -> Result<Reading, Failure> {
        let read = AssertUnwindSafe(self.read()).catch_unwind();
        read.await.unwrap_or_else(|_| Err(Panicked.into()))
    }

    /// The kind of thing that is read, the label `kind` of `poolwatch_source_info`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Probe(_) => "probe",
            Self::Activity(_) => "activity",
            Self::Collector(_)
            | Self::Conditions(_)
            | Self::ClientSessions(_)
            | Self::LockQueues(_)
            | Self::DatabaseSizes(_)
            | Self::OtherDatabases(_)
            | Self::Statements(_)
            | Self::WaitEvents(_)
            | Self::ServerCpu(_) => "collector",
            Self::ServerLog(_) => "server_log",
            Self::Indexes(_) => "indexes",
            Self::AppHealth(_) => "app_health",
            Self::Pgbouncer(_) => "pgbouncer",
            Self::Workers(_) => "workers",
            Self::OwnConnections(_) => "own_connections",
        }
    }

    /// Reads once. What is read is all there is: nothing is kept for the next time but counters.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        Ok(match self {
            Self::Probe(source) => source.read().await?,
            Self::Activity(source) => source.read().await?,
            Self::Conditions(source) => source.read().await?,
            Self::ClientSessions(source) => source.read().await?,
            Self::LockQueues(source) => source.read().await?,
            Self::Collector(source) => source.read().await?,
            Self::DatabaseSizes(source) => source.read().await?,
            Self::OtherDatabases(source) => source.read().await?,
            Self::Statements(source) => source.read().await?,
            Self::WaitEvents(source) => source.read().await?,
            Self::ServerCpu(source) => source.read().await?,
            Self::ServerLog(source) => source.read().await?,
            Self::Indexes(source) => source.read().await?,
            Self::AppHealth(source) => source.read().await?,
            Self::Pgbouncer(source) => source.read().await.unwrap_or_else(|error| Reading {
                families: vec![pgbouncer::Pgbouncer::down()],
                trouble: Some(error.into()),
                ..Reading::default()
            }),
            Self::Workers(source) => source.read().await?,
            Self::OwnConnections(source) => source.read(),
        })
    }
}

/// A source that is open, its name, and how often it is read.
#[derive(Debug)]
pub struct OpenSource {
    /// The label `source`, such as `primary/activity`.
    pub name: String,
    /// Sources of one group may share metric families, such as one collector on several servers.
    pub group: String,
    /// The name that tells its series from those of others in the group, if there are others.
    pub label: Option<(&'static str, String)>,
    /// The database it asks, by its name in the settings.
    pub database: Option<String>,
    /// The time between two reads.
    pub interval: Duration,
    /// The open source.
    pub source: Source,
}
