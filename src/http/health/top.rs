//! The statements that matter most.

use serde::Serialize;

use super::rounded;
use crate::reading::Statement;
use crate::state::DatabaseState;

/// One of them. Its text has no literals; its number is a text, for it is larger than JSON's.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct TopStatement<'a> {
    server: &'a str,
    pub(in crate::http) datname: &'a str,
    queryid: String,
    pub(in crate::http) sql: &'a str,
    pub(in crate::http) calls: u64,
    pub(in crate::http) seconds: f64,
    pub(in crate::http) mean_seconds: f64,
    pub(in crate::http) rows: u64,
    /// The number of seconds for which that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    over_seconds: Option<f64>,
}

impl<'a> TopStatement<'a> {
    /// Those of each database, the most time first.
    pub(super) fn all(databases: &'a [DatabaseState]) -> Vec<Self> {
        let tops = databases.iter().filter_map(|database| Some((database, database.top.as_ref()?)));
        tops.flat_map(|(database, top)| {
            let over = top.seconds.map(|seconds| rounded(seconds, 10.0));
            top.statements.iter().map(move |statement| Self::one(&database.name, statement, over))
        })
        .collect()
    }

    fn one(server: &'a str, statement: &'a Statement, over_seconds: Option<f64>) -> Self {
        Self {
            server,
            datname: &statement.database,
            queryid: statement.query_id.to_string(),
            sql: &statement.text.shown,
            calls: statement.stats.calls,
            seconds: rounded(statement.stats.seconds, 1e6),
            mean_seconds: rounded(statement.stats.mean(), 1e6),
            rows: statement.stats.rows,
            over_seconds,
        }
    }
}
