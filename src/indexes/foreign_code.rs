//! Code in a database that planning a statement might run, and that is not the server's.
//!
//! Planning calls functions that are declared IMMUTABLE, and some that are STABLE, with the
//! privileges of whoever plans: those that the statement names, and those that its tables lead to,
//! by an index, a constraint, a policy or a view. A statement that may reach a function which
//! belongs neither to a superuser nor to the role that plans is therefore not planned. A function
//! of C, or of the server itself, only a superuser can make.

use std::collections::HashSet;

use sqlx::Executor;

use crate::postgres::{text, texts};
use crate::statement::names;
use poolwatch_client::Checkout;

/// The server cuts longer names off.
const LONGEST_NAME: usize = 63;
/// Functions of the server's own that run what a table or a view says.
const RUNS_MORE: &str = "_to_xml";

/// What of a database is others' code.
#[derive(Debug, Default)]
pub(super) struct ForeignCode {
    /// The names of functions, in lower case.
    functions: HashSet<String>,
    /// What leads to one without its name, such as an index; or an operator.
    hidden: Option<String>,
}

impl ForeignCode {
    /// Looks for it in the database that the connection is to.
    pub(super) async fn find(connection: &mut Checkout) -> Result<Self, sqlx::Error> {
        let row = connection.fetch_one(sqlx::query(SQL)).await?;
        let names: Vec<String> = texts(&row, 0)?;
        let functions = names.iter().map(|name| name.to_lowercase()).collect();
        Ok(Self { functions, hidden: text(&row, 1)? })
    }

    /// What planning this statement might run; nothing when it surely runs the server's code alone.
    pub(super) fn within(&self, sql: &str) -> Option<String> {
        if let Some(hidden) = &self.hidden {
            return Some(hidden.clone());
        }
        let Some(names) = names(sql) else { return Some("what its text hides".to_owned()) };
        names.into_iter().find(|name| name.contains(RUNS_MORE) || self.has(name))
    }

    fn has(&self, name: &str) -> bool {
        let cut = || self.functions.iter().any(|function| name.starts_with(function.as_str()));
        self.functions.contains(name) || (name.len() > LONGEST_NAME && cut())
    }
}

/// 12 and 13 are the languages `internal` and `c`. A trigger is run by no plan, nor is the default
/// of a column that is not generated.
const SQL: &str = "
WITH foreign_role AS MATERIALIZED (
    SELECT oid FROM pg_roles WHERE NOT rolsuper AND rolname <> current_user),
code AS MATERIALIZED (
    SELECT oid, proname FROM pg_proc
     WHERE prolang NOT IN (12, 13)
       AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
       AND proowner IN (SELECT oid FROM foreign_role))
SELECT ARRAY(SELECT DISTINCT proname::text FROM code),
       coalesce(
           (SELECT 'operator ' || oprname FROM pg_operator
             WHERE oprowner IN (SELECT oid FROM foreign_role) LIMIT 1),
           (SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend
             WHERE refclassid = 'pg_proc'::regclass AND refobjid IN (SELECT oid FROM code)
               AND classid NOT IN ('pg_trigger'::regclass, 'pg_event_trigger'::regclass)
               AND (classid <> 'pg_attrdef'::regclass OR EXISTS (
                   SELECT FROM pg_attrdef
                     JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
                    WHERE pg_attrdef.oid = objid AND attgenerated <> ''))
             LIMIT 1))";

#[cfg(test)]
mod tests {
    use super::*;

    fn code(functions: &[&str]) -> ForeignCode {
        let functions = functions.iter().map(|name| (*name).to_owned()).collect();
        ForeignCode { functions, hidden: None }
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
