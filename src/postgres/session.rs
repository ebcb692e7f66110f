//! Sets up each session that poolwatch has on a server: a role or a database may have set
//! anything else.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

/// A database without an encoding may hold any bytes, and the server refuses to send as UTF-8 what
/// is none; then it is to send what it has.
const ANY_BYTES: &str = "SELECT set_config('client_encoding', 'SQL_ASCII', false) \
                         WHERE current_setting('server_encoding') = 'SQL_ASCII'";

/// The settings that every session relies on. It acts as the role that logged in: the owner
/// of a database may set another for its sessions, whose code would then pass for poolwatch's own.
/// Names are looked up in `pg_catalog` alone, so that nothing that a user made can stand in for a
/// function or an operator of the server's.
const RELIED_ON: &[(u32, &str)] = &[
    (13, "role = none"),
    (13, "search_path = pg_catalog, pg_temp"),
    (13, "application_name = poolwatch"),
    (13, "default_transaction_isolation = 'read committed'"),
    (13, "default_transaction_deferrable = off"),
    (13, "standard_conforming_strings = on"),
    (13, "transform_null_equals = off"),
    (13, "quote_all_identifiers = off"),
    (13, "row_security = on"),
    (13, "exit_on_error = off"),
    (13, "client_min_messages = warning"),
    (13, "DateStyle = 'ISO, MDY'"),
    (13, "IntervalStyle = postgres"),
    (13, "TimeZone = 'UTC'"),
    (13, "bytea_output = hex"),
    (13, "extra_float_digits = 1"),
    (13, "idle_in_transaction_session_timeout = 60000"),
    (14, "idle_session_timeout = 0"),
    (15, "stats_fetch_consistency = cache"),
    (17, "transaction_timeout = 0"),
];

/// The purpose of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Reading, within these limits for one statement and for one lock.
    Watch { statement_timeout: Duration, lock_timeout: Duration },
    /// Writing, for as long as it takes.
    Build,
}

impl Purpose {
    /// The same, with no statement longer than this.
    pub(super) fn at_most(self, limit: Duration) -> Self {
        match self {
            Self::Watch { statement_timeout, lock_timeout } => {
                // A zero is no timeout at all.
                let bounded = Some(statement_timeout).filter(|timeout| !timeout.is_zero());
                let statement_timeout = bounded.map_or(limit, |timeout| timeout.min(limit));
                Self::Watch { statement_timeout, lock_timeout }
            }
            Self::Build => Self::Build,
        }
    }

    /// Every statement that watches is asked again and again with much the same figures: to plan
    /// it anew costs as much as to run it.
    fn settings(self) -> String {
        match self {
            Self::Watch { statement_timeout, lock_timeout } => format!(
                "SET default_transaction_read_only = on; SET statement_timeout = {}; \
                 SET lock_timeout = {}; SET jit = off; SET plan_cache_mode = force_generic_plan; ",
                statement_timeout.as_millis(),
                lock_timeout.as_millis()
            ),
            Self::Build => "SET default_transaction_read_only = off; SET statement_timeout = 0; \
                            SET lock_timeout = 0; "
                .to_owned(),
        }
    }

    /// SET calls no function and needs no snapshot: none fails or waits because of what was set
    /// before.
    fn statements(self, major: u32) -> String {
        let settings = RELIED_ON.iter().filter(|(since, _)| *since <= major);
        let relied_on: Vec<_> = settings.map(|(_, setting)| format!("SET {setting}; ")).collect();
        relied_on.concat() + &self.settings()
    }

    /// Sets what is relied on in a session that is poolwatch's alone.
    pub(crate) async fn set(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let major = connection.server_version_num().unwrap_or(0) / 10_000;
        let statements = AssertSqlSafe(self.statements(major));
        connection.execute(sqlx::raw_sql(statements)).await?;
        // Asked after them, for it is the first that looks up names and takes a snapshot.
        connection.execute(sqlx::raw_sql(ANY_BYTES)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_may_be_given_less_time_but_not_more() {
        let limit = Duration::from_secs(4);
        let limited = |seconds| {
            let statement_timeout = Duration::from_secs(seconds);
            let purpose = Purpose::Watch { statement_timeout, lock_timeout: limit };
            purpose.at_most(limit).settings()
        };
        assert!(limited(1).contains("statement_timeout = 1000;"));
        assert!(limited(30).contains("statement_timeout = 4000;"));
        assert!(limited(0).contains("statement_timeout = 4000;"));
    }

    #[test]
    fn the_role_and_the_search_path_are_set_before_anything_else() {
        let limit = Duration::from_secs(1);
        for purpose in
            [Purpose::Build, Purpose::Watch { statement_timeout: limit, lock_timeout: limit }]
        {
            let first = "SET role = none; SET search_path = pg_catalog, pg_temp; ";
            assert!(purpose.statements(13).starts_with(first));
            assert!(!purpose.statements(16).contains("transaction_timeout"));
            assert!(purpose.statements(18).contains("SET transaction_timeout = 0; "));
        }
    }
}
