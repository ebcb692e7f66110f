//! The texts of statements. The server keeps them in a file that it reads whole, so they are asked
//! for only when a statement is new.

use std::collections::HashMap;

use super::Error;
use super::families::Row;
use crate::metric::Family;
use crate::postgres::{Optional, ReducibleStatement, Reductions};
use crate::sources::{is_undecodable, text};
use crate::statement::Text;
use poolwatch_client::Checkout;

/// The family of the texts, without samples.
pub fn statement_texts() -> Family {
    Family::counter(
        "pg_stat_statements_query_id",
        "1 with the text of the statement, literals left out; pg_stat_statements.query.",
    )
}

/// Texts by `query_id`.
#[derive(Debug, Default)]
pub(super) struct StatementTexts {
    cache: HashMap<String, String>,
}

impl StatementTexts {
    /// The texts of the statements that these rows are of.
    pub(super) async fn family(
        &mut self,
        connection: &mut Checkout,
        schema: &str,
        rows: &[Row],
        length: u32,
        reductions: &mut Reductions,
    ) -> Result<Family, Error> {
        let query_ids = || rows.iter().filter(|row| row.key.is_some()).map(|row| &row.labels[2]);
        self.cache.retain(|query_id, _| query_ids().any(|shown| shown == query_id));
        let new = query_ids().filter(|query_id| !self.cache.contains_key(*query_id));
        let new: Vec<i64> = new.filter_map(|query_id| query_id.parse().ok()).collect();
        if !new.is_empty() {
            self.ask(connection, schema, &new, length, reductions).await?;
        }
        let mut family = statement_texts();
        for (query_id, text) in &self.cache {
            family.sample(&[("queryid", query_id), ("query", text)], 1.0);
        }
        Ok(family)
    }

    async fn ask(
        &mut self,
        connection: &mut Checkout,
        schema: &str,
        new: &[i64],
        length: u32,
        reductions: &mut Reductions,
    ) -> Result<(), Error> {
        let sql = format!(
            "SELECT queryid::text, min(query) FROM {schema}.pg_stat_statements(true)
              WHERE queryid = ANY ($1) GROUP BY 1"
        );
        let (optional, gives) = (Optional::These(&[]), "pg_stat_statements_query_id");
        let statement = ReducibleStatement { sql: &sql, optional, gives };
        let rows = match reductions.rows(connection, statement, |query| query.bind(new)).await {
            // Without their texts the figures of all statements still say something.
            Err(error) if is_undecodable(&error) => Vec::new(),
            rows => rows?.unwrap_or_default(),
        };
        for row in rows {
            let query_id = text(&row, 0)?.unwrap_or_default();
            let query = text(&row, 1)?.unwrap_or_default();
            self.cache.insert(query_id, Text::read(&query, length as usize).shown);
        }
        // A statement without a text is not asked for again and again.
        for query_id in new {
            self.cache.entry(query_id.to_string()).or_default();
        }
        Ok(())
    }
}
