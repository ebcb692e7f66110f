//! The context in which rules judge.

use crate::reading::{Finding, Indexes, Statement};
use crate::state::{DatabaseState, PoolState, Thresholds};

/// The state of pools and servers at one moment.
#[derive(Debug)]
pub struct RuleContext<'a> {
    /// Every pool of an application.
    pub pools: Vec<&'a PoolState>,
    /// Every server that is watched.
    pub databases: &'a [DatabaseState],
    /// The findings of workers in the application's statements, the newest first.
    pub findings: Vec<&'a Finding>,
    /// The indexes and tables of each database.
    pub indexes: Vec<&'a Indexes>,
    /// Each server's machine and size.
    pub servers: Vec<ServerFigures>,
    /// The thresholds by which everything is judged.
    pub thresholds: &'a Thresholds,
}

/// A server's machine and size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerFigures {
    /// The server as the settings name it.
    pub name: String,
    /// Seconds that its processes have computed since they began.
    pub cpu_seconds: Option<f64>,
    /// Processors it may use.
    pub cores: Option<f64>,
    /// The size of its databases.
    pub bytes: Option<f64>,
}

impl<'a> RuleContext<'a> {
    /// The findings of one kind in a pool's statements, the newest first.
    pub(super) fn found(&self, pool: &str, kind: &str) -> impl Iterator<Item = &'a Finding> {
        let wanted = move |finding: &&Finding| finding.pool == pool && finding.kind == kind;
        self.findings.iter().copied().filter(wanted)
    }

    /// The statements that matter most on a server.
    pub(super) fn statements(&self, server: &str) -> impl Iterator<Item = &'a Statement> {
        let database = self.databases.iter().find(|database| database.name == server);
        let top = database.and_then(|database| database.top.as_ref());
        top.into_iter().flat_map(|top| &top.statements)
    }

    /// The name of a database's things: with several databases each says which it is in.
    pub(super) fn within(&self, server: &str, name: &str) -> String {
        if self.databases.len() > 1 { format!("{server}/{name}") } else { name.to_owned() }
    }
}
