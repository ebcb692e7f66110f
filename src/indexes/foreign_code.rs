//! Code in a database that planning a statement might run, and that is not the server's.
//!
//! Planning calls functions that are declared IMMUTABLE, and some that are STABLE, with the
//! privileges of whoever plans: those that the statement names, and those that its tables lead to,
//! by an index, a constraint, a policy or a view. A statement that may reach a function which
//! belongs neither to a superuser nor to the role that plans is therefore not planned. A function
//! of C, or of the server itself, only a superuser can make; any other looks up names when it runs,
//! and where others have functions or operators it may find theirs. A foreign table may be asked
//! about in a session of its own, whose privileges are unknown to poolwatch.
//!
//! All this is found before planning, and may have changed a moment later. A role that could become
//! a superuser therefore plans nothing at all where others can make functions.

use std::collections::HashSet;

use sqlx::Executor;

use crate::postgres::{text, texts};
use crate::statement::names;
use poolwatch_client::Checkout;

/// The server cuts longer names off.
const LONGEST_NAME: usize = 63;
/// Functions of the server's own that run what a table or a view says.
const RUNS_MORE: &str = "_to_xml";
/// Schemas of one session each, in which every role may create functions.
const TEMPORARY: [&str; 2] = ["pg_temp", "pg_toast_temp"];

/// The reason why this role plans no statement in this database, whatever the statement is.
pub(super) async fn obstacle(connection: &mut Checkout) -> Result<Option<String>, sqlx::Error> {
    let row = connection.fetch_one(sqlx::query(OBSTACLE)).await?;
    text(&row, 0)
}

/// The parts of a database that are others' code.
#[derive(Debug, Default)]
pub(super) struct ForeignCode {
    /// The names of functions, and of tables and views that lead to another server, in lower case.
    names: HashSet<String>,
    /// Objects that lead to one without its name, such as an index; or an operator.
    hidden: Option<String>,
}

impl ForeignCode {
    /// Looks for it in the database that the connection is to.
    pub(super) async fn find(connection: &mut Checkout) -> Result<Self, sqlx::Error> {
        let row = connection.fetch_one(sqlx::query(SQL)).await?;
        let names: Vec<String> = texts(&row, 0)?;
        let names = names.iter().map(|name| name.to_lowercase()).collect();
        Ok(Self { names, hidden: text(&row, 1)? })
    }

    /// Others' code that planning this statement might run; nothing when it surely runs the server's
    /// code alone.
    pub(super) fn within(&self, sql: &str) -> Option<String> {
        if let Some(hidden) = &self.hidden {
            return Some(hidden.clone());
        }
        let Some(names) = names(sql) else { return Some("what its text hides".to_owned()) };
        names.into_iter().find(|name| is_never_planned(name) || self.has(name))
    }

    fn has(&self, name: &str) -> bool {
        let cut = || self.names.iter().any(|one| name.starts_with(one.as_str()));
        self.names.contains(name) || (name.len() > LONGEST_NAME && cut())
    }
}

fn is_never_planned(name: &str) -> bool {
    name.contains(RUNS_MORE) || TEMPORARY.iter().any(|schema| name.starts_with(schema))
}

/// Another role than the one that logged in would let pass what belongs to that.
///
/// Whoever can become a superuser, or can make roles, or can reach the server's files and programs,
/// has more to lose than the roles that could make a function run. 16384 is the first number of
/// what is not there from the beginning.
const OBSTACLE: &str = "
SELECT CASE
    WHEN session_user <> current_user
    THEN 'the session acts as ' || current_user || ' and not as ' || session_user
    WHEN EXISTS (
        SELECT FROM pg_roles
         WHERE (rolsuper OR rolcreaterole OR rolname IN ('pg_execute_server_program',
                   'pg_read_server_files', 'pg_write_server_files'))
           AND pg_has_role(session_user, oid, 'MEMBER'))
    THEN (
        SELECT 'the role ' || rolname || ' can make functions here' FROM pg_roles
         WHERE NOT rolsuper AND rolname <> session_user AND oid >= 16384
           AND (has_database_privilege(oid, current_database(), 'CREATE')
                OR EXISTS (SELECT FROM pg_namespace
                            WHERE has_schema_privilege(pg_roles.oid, pg_namespace.oid, 'CREATE'))
                OR EXISTS (SELECT FROM pg_shdepend
                             JOIN pg_database ON pg_database.oid = dbid
                            WHERE datname = current_database() AND deptype = 'o'
                              AND refclassid = 'pg_authid'::regclass AND refobjid = pg_roles.oid))
         ORDER BY rolname LIMIT 1)
END";

/// 12 and 13 are the languages `internal` and `c`. A trigger is run by no plan, nor is the default
/// of a column that is not generated.
const SQL: &str = "
WITH RECURSIVE foreign_role AS MATERIALIZED (
    SELECT oid FROM pg_roles WHERE NOT rolsuper AND rolname <> session_user),
foreign_operator AS MATERIALIZED (
    SELECT oprname FROM pg_operator WHERE oprowner IN (SELECT oid FROM foreign_role)),
others AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM foreign_operator)
        OR EXISTS (SELECT FROM pg_proc WHERE proowner IN (SELECT oid FROM foreign_role))
        OR EXISTS (SELECT FROM pg_foreign_server WHERE srvowner IN (SELECT oid FROM foreign_role))
        AS make_code),
code AS MATERIALIZED (
    SELECT pg_proc.oid, proname FROM pg_proc, others
     WHERE prolang NOT IN (12, 13)
       AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
       AND (proowner IN (SELECT oid FROM foreign_role)
            OR (others.make_code AND pg_proc.oid >= 16384))),
remote AS (
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
SELECT ARRAY(SELECT proname::text FROM code
             UNION
             SELECT relname::text FROM pg_class WHERE oid IN (SELECT oid FROM remote)),
       coalesce(
           (SELECT 'operator ' || oprname FROM foreign_operator LIMIT 1),
           (SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend
             WHERE refclassid = 'pg_proc'::regclass AND refobjid IN (SELECT oid FROM code)
               AND classid NOT IN ('pg_trigger'::regclass, 'pg_event_trigger'::regclass)
               AND (classid <> 'pg_proc'::regclass OR objid NOT IN (SELECT oid FROM code))
               AND (classid <> 'pg_attrdef'::regclass OR EXISTS (
                   SELECT FROM pg_attrdef
                     JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
                    WHERE pg_attrdef.oid = objid AND attgenerated <> ''))
             LIMIT 1))";

#[cfg(test)]
mod tests {
    use super::*;

    fn code(functions: &[&str]) -> ForeignCode {
        let names = functions.iter().map(|name| (*name).to_owned()).collect();
        ForeignCode { names, hidden: None }
    }

    #[test]
    fn a_function_is_known_however_it_is_written() {
        let code = code(&["evil", "e\"vil"]);
        for sql in [
            "SELECT evil()",
            "SELECT a FROM t WHERE public.EVIL ( a ) = $1",
            r#"SELECT "evil"(1)"#,
            r#"SELECT "e""vil"(1)"#,
            "SELECT t.evil FROM t",
            r#"SELECT U&"\0065vil"(1)"#,
            "SELECT schema_to_xml(current_schema(), a, b, c)",
            "SELECT pg_temp_3.another()",
            "SELECT 'open",
        ] {
            assert!(code.within(sql).is_some(), "{sql}");
        }
        for sql in ["SELECT lower(a) FROM t", "SELECT 'evil' FROM t -- evil()"] {
            assert_eq!(code.within(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_name_that_the_server_cuts_off_is_known_too() {
        let name = "e".repeat(63);
        let sql = format!("SELECT {name}ffff()");
        assert!(code(&[&name]).within(&sql).is_some());
    }

    #[test]
    fn what_leads_to_code_without_its_name_leaves_nothing_to_plan() {
        let hidden = Some("index i".to_owned());
        let code = ForeignCode { hidden, ..ForeignCode::default() };
        assert_eq!(code.within("SELECT a FROM t").as_deref(), Some("index i"));
    }
}
