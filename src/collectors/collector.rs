//! A collector: what is read together, how often, where, and by which code.

use super::{ALL, Table};

/// One group of figures that succeeds or fails together.
#[derive(Debug)]
pub struct Collector {
    /// Its name in the settings and in `poolwatch_source_up`.
    pub name: &'static str,
    /// The timer by which it is read, unless the settings say otherwise.
    pub pace: Pace,
    /// The scope of its figures: the server, or each database.
    pub scope: Scope,
    /// True when it is read, unless the settings say otherwise.
    pub enabled: bool,
    /// The collector that `postgres_exporter` has it in: switched off with that one.
    pub part_of: Option<&'static str>,
    /// The code that reads it.
    pub reader: Reader,
    /// The tables that it reads.
    pub tables: &'static [Table],
}

/// The code that reads a collector: the statements of its tables are enough, or it needs its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Its tables alone: `sources/collector`.
    Tables,
    /// `sources/database_sizes.rs`.
    DatabaseSizes,
    /// `sources/other_databases`.
    OtherDatabases,
    /// `sources/server_cpu.rs`.
    ServerCpu,
    /// `sources/statements`.
    Statements,
    /// `sources/wait_events.rs`.
    WaitEvents,
}

/// The timer of the settings' `sampling` that reads a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// `sampling.activity`.
    Activity,
    /// `sampling.server`.
    Server,
    /// `sampling.statements`.
    Statements,
    /// `sampling.tables`.
    Tables,
    /// `sampling.sizes`, for what changes slowly.
    Slow,
    /// `sampling.sizes`, and never more often than it may be: what walks the disk.
    Sizes,
}

/// The scope within which a collector's views show the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every database: asked once.
    Server,
    /// In no other database: asked in each.
    Database,
}

impl Collector {
    /// The name of the collector that has settings of its own.
    pub const STATEMENTS: &str = "stat_statements";

    /// The collector of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|collector| collector.name == name)
    }
}
