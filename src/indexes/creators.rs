//! The roles that could make code which planning a statement would run.
//!
//! Planning calls functions that are declared IMMUTABLE, and some that are STABLE, with the
//! privileges of the role that plans: those that the statement names, and those that its tables
//! lead to, by an index, a constraint, a policy, a view, a type or statistics. What there is may
//! change between a look at it and the planning; who may change it does so only by a decision of a
//! role that is trusted anyway. Therefore nothing is planned in a database where anybody who is not
//! trusted may create something, or owns something.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _};
use tokio::time::{Instant, sleep};

use crate::collectors::Query;
use crate::postgres::{major_version, text};
use poolwatch_client::Checkout;

/// The membership by which a role may act as another, which 16 told apart from being a member.
const MAY_ACT_AS: &[Query] = &[Query { since: 16, sql: "SET" }, Query { since: 0, sql: "MEMBER" }];
/// True where a role with CREATEROLE may grant itself any role that is no superuser.
const MAY_ALTER: &[Query] = &[Query { since: 16, sql: "false" }, Query { since: 0, sql: "true" }];
/// The time for which transactions are waited for that began with more privileges, perhaps.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
const INTERVAL: Duration = Duration::from_millis(50);

/// The reason why this role plans no statement in this database, whatever the statement is.
pub(super) async fn obstacle(connection: &mut Checkout) -> Result<Option<String>, sqlx::Error> {
    let sql = with_trusted(connection, OBSTACLE);
    text(&connection.fetch_one(sqlx::query(AssertSqlSafe(sql))).await?, 0)
}

/// Waits until no transaction of a role that is not trusted is older than this call, and returns
/// the reason where one goes on: it may have made something while its role still was allowed to.
pub(super) async fn unfinished(connection: &mut Checkout) -> Result<Option<String>, sqlx::Error> {
    let start = Instant::now();
    let mut older = transactions(connection).await?;
    while !older.is_empty() && start.elapsed() < LONGEST_WAIT {
        sleep(INTERVAL).await;
        let now = transactions(connection).await?;
        older.retain(|transaction, _| now.contains_key(transaction));
    }
    let role = older.into_values().next();
    Ok(role.map(|role| format!("a transaction of the role {role} goes on")))
}

/// The transactions in this database of roles that are not trusted, and each one's role.
async fn transactions(connection: &mut Checkout) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let sql = with_trusted(connection, TRANSACTIONS);
    let rows = connection.fetch_all(sqlx::query(AssertSqlSafe(sql))).await?;
    let cell = |row, column| Ok::<_, sqlx::Error>(text(row, column)?.unwrap_or_default());
    rows.iter().map(|row| Ok((cell(row, 0)?, cell(row, 1)?))).collect()
}

fn with_trusted(connection: &Checkout, sql: &str) -> String {
    let version = major_version(connection);
    let of_version = |queries| Query::newest(queries, version).unwrap_or_default();
    let trusted = TRUSTED.replace("@may_act_as", of_version(MAY_ACT_AS));
    trusted.replace("@may_alter", of_version(MAY_ALTER)) + sql
}

/// Trusted are superusers and the role that plans, those that may act as one of them, and, where
/// that role is no superuser, those that may grant it to themselves.
const TRUSTED: &str = "
WITH planner AS MATERIALIZED (
    SELECT oid, rolsuper, EXISTS (
               SELECT FROM pg_roles
                WHERE (rolsuper OR rolcreaterole OR rolname IN ('pg_execute_server_program',
                          'pg_read_server_files', 'pg_write_server_files'))
                  AND pg_has_role(session_user, oid, 'MEMBER'))
           OR EXISTS (
               SELECT FROM pg_proc
                WHERE proname IN ('pg_read_file', 'pg_read_binary_file')
                  AND pronamespace = 'pg_catalog'::regnamespace
                  AND has_function_privilege(session_user, oid, 'EXECUTE')) AS is_powerful
      FROM pg_roles WHERE rolname = session_user),
trusted AS MATERIALIZED (
    SELECT role.oid FROM pg_roles AS role, planner
     WHERE EXISTS (SELECT FROM pg_roles AS able
                    WHERE (able.rolsuper OR able.oid = planner.oid)
                      AND pg_has_role(role.oid, able.oid, '@may_act_as'))
        OR (NOT planner.rolsuper
            AND (pg_has_role(role.oid, planner.oid, 'MEMBER WITH ADMIN OPTION')
                 OR (role.rolcreaterole AND @may_alter))))";

/// Roles up to 16383 are the server's own, in which others can be members. A group that nobody can
/// log in as, and that the planning role is in, is judged by its members. 0 is PUBLIC.
///
/// A temporary table is reached by nothing but a name that is refused; large objects and default
/// privileges are no code. A standby shows no transactions of its primary.
const OBSTACLE: &str = ",
power AS MATERIALIZED (
    SELECT datdba AS role, 'owns this database' AS what, NULL::oid AS class, NULL::oid AS object
      FROM pg_database WHERE datname = current_database()
    UNION ALL
    SELECT grantee, 'may create schemas in this database', NULL, NULL
      FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
     WHERE datname = current_database() AND privilege_type = 'CREATE'
    UNION ALL
    SELECT grantee, 'may create objects in the schema ' || quote_ident(nspname), NULL, NULL
      FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
     WHERE privilege_type = 'CREATE'
    UNION ALL
    SELECT refobjid, 'owns ', min(classid), (array_agg(objid ORDER BY classid))[1]
      FROM pg_shdepend
      JOIN pg_database ON pg_database.oid = dbid
     WHERE datname = current_database() AND deptype = 'o'
       AND refclassid = 'pg_authid'::regclass
       AND classid NOT IN ('pg_largeobject'::regclass, 'pg_default_acl'::regclass)
       AND NOT EXISTS (SELECT FROM pg_class WHERE classid = 'pg_class'::regclass
                          AND pg_class.oid = objid AND relpersistence = 't')
     GROUP BY refobjid)
SELECT CASE
    WHEN session_user <> current_user
    THEN 'the session acts as ' || current_user || ' and not as ' || session_user
    WHEN pg_is_in_recovery()
    THEN 'a standby does not show who changes something at this moment; ask its primary'
    ELSE (
        SELECT CASE WHEN role = 0
                    THEN 'every role ' || what || ', which REVOKE CREATE … FROM PUBLIC changes'
                    ELSE 'the role ' || quote_ident(rolname)
                      || CASE WHEN role = oid THEN ' '
                              ELSE ', a member of ' || pg_get_userbyid(role) || ', ' END
                      || what || coalesce(pg_describe_object(class, object, 0), '') END
          FROM (SELECT other.oid, rolname, power.*
                  FROM planner, pg_roles AS other, power
                 WHERE other.oid >= 16384 AND other.oid NOT IN (SELECT oid FROM trusted)
                   AND (role = 0 OR pg_has_role(other.oid, role, 'MEMBER'))
                   AND NOT (NOT rolcanlogin AND NOT is_powerful
                            AND pg_has_role(planner.oid, other.oid, 'MEMBER'))
                 ORDER BY role <> 0, rolname, role <> other.oid, what DESC LIMIT 1) AS first)
END";

/// The session of a role that was dropped goes on, too.
const TRANSACTIONS: &str = "
SELECT virtualtransaction, coalesce(usename::text, usesysid::text)
  FROM pg_locks JOIN pg_stat_activity USING (pid)
 WHERE locktype = 'virtualxid' AND mode = 'ExclusiveLock' AND granted
   AND datname = current_database()
   AND usesysid NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT 'prepared ' || gid, owner::text FROM pg_prepared_xacts
 WHERE database = current_database()
   AND owner NOT IN (SELECT rolname FROM pg_roles JOIN trusted USING (oid))";
