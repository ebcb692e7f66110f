//! Collectors that need more than statements: the reader of each names its source.

use super::{Collector, Pace, Reader, Scope, Table, counter, gauge, histogram};
use crate::latency::BOUNDS;

/// The wait events of active sessions, sampled again and again.
pub const WAIT_EVENTS: Collector = Collector {
    name: "wait_events",
    pace: Pace::Activity,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::WaitEvents,
    tables: &[Table {
        prefix: "pg_wait_sampled",
        labels: &["wait_event_type", "wait_event"],
        columns: &[counter(
            "seconds_total",
            "Time that active sessions spent waiting, or running as CPU, as sampled: its rate is \
             the average of active sessions; pg_stat_activity.wait_event.",
        )],
        ..Table::EMPTY
    }],
};

/// The size of each database on disk.
pub const DATABASE_SIZE: Collector = Collector {
    name: "database_size",
    pace: Pace::Sizes,
    scope: Scope::Server,
    enabled: true,
    part_of: Some("database"),
    reader: Reader::DatabaseSizes,
    tables: &[Table {
        prefix: "pg_database",
        labels: &["datname"],
        columns: &[gauge(
            "size_bytes",
            "Size on disk in bytes, measured again where something was written since, and each \
             hour; pg_database_size().",
        )],
        ..Table::EMPTY
    }],
};

/// The server's processes, when they can be seen.
pub const SERVER_CPU: Collector = Collector {
    name: "server_cpu",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::ServerCpu,
    tables: &[Table {
        prefix: "pg_server_cpu",
        columns: &[
            counter(
                "seconds_total",
                "CPU time of all the server's processes, those that ended included; /proc/PID/stat.",
            ),
            gauge(
                "cores",
                "Cores that the server may use; cpu.max of its cgroup (cpu.cfs_quota_us in \
                 version 1), or /proc/stat.",
            ),
        ],
        ..Table::EMPTY
    }],
};

/// The durations of statements, estimated from what the server keeps of each.
pub const STATEMENT_DURATIONS: Collector = Collector {
    name: "statement_durations",
    pace: Pace::Statements,
    scope: Scope::Server,
    enabled: true,
    part_of: Some(Collector::STATEMENTS),
    reader: Reader::Statements,
    tables: &[
        Table {
            prefix: "db_statement_duration",
            extension: Some("pg_stat_statements"),
            labels: &["datname"],
            columns: &[histogram(
                "estimated_seconds",
                "Durations of queries in the server, estimated from each statement's calls, mean, \
             deviation and extremes. It does not contain statements that failed or were cancelled, what \
             parsing, planning, binding and the network took, transaction control, schema \
             changes, pings, statements within functions, poolwatch's own role. Those forgotten \
             for pg_stat_statements.max make it a lower bound; pg_stat_statements.",
                BOUNDS,
            )
            .since(104)],
            ..Table::EMPTY
        },
        Table {
            prefix: "db_statement_duration",
            extension: Some("pg_stat_statements"),
            labels: &["datname", "threshold", "bound"],
            columns: &[counter(
                "within_total",
                "The number of those queries that took at most `threshold` seconds: at least \
             (bound=\"lower\") and at most (bound=\"upper\") so many, whatever their distribution \
             was. Where the server's log is read and has all statements from `threshold` on, both are by \
             it; pg_stat_statements.",
            )
            .since(104)],
            ..Table::EMPTY
        },
        Table {
            prefix: "db_statement_duration",
            extension: Some("pg_stat_statements"),
            labels: &["datname", "queryid"],
            columns: &[histogram(
                "by_statement_estimated_seconds",
                "The same of single statements: of those that took most time recently, as many as \
             collectors.statement_durations.limit says, by default none; pg_stat_statements.",
                BOUNDS,
            )
            .since(104)],
            ..Table::EMPTY
        },
    ],
};

/// The collectors of each database, in every database but the one that is connected to.
pub const OTHER_DATABASES: Collector = Collector {
    name: "other_databases",
    pace: Pace::Tables,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::OtherDatabases,
    tables: &[],
};
