//! Names for which a statement is not planned: those that lead to another server or into another
//! session, and those of functions that run what a text says.
//!
//! A foreign table may be asked about in a session of its own, whose privileges are unknown to
//! poolwatch.

use std::collections::HashSet;

use sqlx::Executor as _;

use crate::postgres::texts;
use crate::statement::names;
use poolwatch_client::Checkout;

/// The server cuts longer names off.
const LONGEST_NAME: usize = 63;
/// Functions of the server's own that run what a table, a view or a type says.
const RUNS_MORE: [&str; 2] = ["_to_xml", "pg_input_"];
/// Schemas of one session each, in which every role may create functions.
const TEMPORARY: [&str; 2] = ["pg_temp", "pg_toast_temp"];

/// The names that lead out of a database, in lower case.
#[derive(Debug, Default)]
pub(super) struct Unplannable {
    /// Foreign tables, and the tables and views that lead to one.
    remote: HashSet<String>,
}

impl Unplannable {
    /// Looks for them in the database that the connection is to.
    pub(super) async fn find(connection: &mut Checkout) -> Result<Self, sqlx::Error> {
        let row = connection.fetch_one(sqlx::query(SQL)).await?;
        let names: Vec<String> = texts(&row, 0)?;
        Ok(Self { remote: names.iter().map(|name| name.to_lowercase()).collect() })
    }

    /// The first such name in a statement, or a text that may hide one.
    pub(super) fn within(&self, sql: &str) -> Option<String> {
        let Some(names) = names(sql) else { return Some("what its text hides".to_owned()) };
        names.into_iter().find(|name| is_never_planned(name) || self.leads_out(name))
    }

    fn leads_out(&self, name: &str) -> bool {
        let cut = || self.remote.iter().any(|one| name.starts_with(one.as_str()));
        self.remote.contains(name) || (name.len() > LONGEST_NAME && cut())
    }
}

fn is_never_planned(name: &str) -> bool {
    RUNS_MORE.iter().any(|part| name.contains(part))
        || TEMPORARY.iter().any(|schema| name.starts_with(schema))
}

const SQL: &str = "
WITH RECURSIVE remote AS (
    SELECT ftrelid AS oid FROM pg_foreign_table
    UNION
    SELECT leads.oid FROM remote, LATERAL (
        SELECT inhparent FROM pg_inherits WHERE inhrelid = remote.oid
        UNION ALL
        SELECT ev_class FROM pg_rewrite JOIN pg_depend ON objid = pg_rewrite.oid
         WHERE classid = 'pg_rewrite'::regclass
           AND refclassid = 'pg_class'::regclass AND refobjid = remote.oid
        UNION ALL
        SELECT polrelid FROM pg_policy JOIN pg_depend ON objid = pg_policy.oid
         WHERE classid = 'pg_policy'::regclass
           AND refclassid = 'pg_class'::regclass AND refobjid = remote.oid
    ) AS leads (oid))
SELECT ARRAY(SELECT relname::text FROM pg_class WHERE oid IN (SELECT oid FROM remote))";

#[cfg(test)]
mod tests {
    use super::*;

    fn unplannable(names: &[&str]) -> Unplannable {
        Unplannable { remote: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn a_name_is_recognised_however_it_is_written() {
        let names = unplannable(&["far", "f\"ar"]);
        for sql in [
            "SELECT a FROM far",
            "SELECT a FROM public.FAR ( a ) WHERE b = $1",
            r#"SELECT a FROM "far""#,
            r#"SELECT a FROM "f""ar""#,
            r#"SELECT a FROM U&"\0066ar""#,
            "SELECT schema_to_xml(current_schema(), a, b, c)",
            "SELECT pg_input_is_valid(a, b) FROM t",
            "SELECT pg_temp_3.another()",
            "SELECT 'open",
        ] {
            assert!(names.within(sql).is_some(), "{sql}");
        }
        for sql in ["SELECT lower(a) FROM t", "SELECT 'far' FROM t -- far"] {
            assert_eq!(names.within(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_name_that_the_server_cuts_off_is_recognised_too() {
        let name = "f".repeat(63);
        let sql = format!("SELECT a FROM {name}ffff");
        assert!(unplannable(&[&name]).within(&sql).is_some());
    }
}
