//! The privileges of the role and the statistics of the server, each lack with the exact remedy.

use std::sync::Arc;

use sqlx::{Executor, Row};
use tokio::time::timeout;

use super::Line;
use crate::commands::rating::Rating;
use crate::indexes::identifier;
use crate::postgres::{Database, Pooler};
use crate::sources::Failure;

/// Facts about the server and the role.
#[derive(Clone, Debug, Default, PartialEq)]
struct Privileges {
    role: String,
    monitor: bool,
    preloaded: bool,
    installed: bool,
    version: String,
}

/// The line, or lines, about one database. Who cannot be asked is told of by the probe; the pooler
/// that an address leads to is the error.
pub(super) async fn inspect(database: &Arc<Database>) -> Result<Vec<Line>, Pooler> {
    match timeout(database.read_timeout(), query(database)).await {
        Ok(Ok(privileges)) => Ok(judge(database.name(), &privileges)),
        Ok(Err(error)) => {
            Pooler::behind(&*error).map_or(Ok(Vec::new()), |pooler| Err(pooler.clone()))
        }
        Err(_) => Ok(Vec::new()),
    }
}

async fn query(database: &Database) -> Result<Privileges, Failure> {
    let mut connection = database.acquire().await?;
    let row = connection.fetch_one(SQL).await?;
    Ok(Privileges {
        role: row.try_get("role")?,
        monitor: row.try_get("monitor")?,
        preloaded: row.try_get("preloaded")?,
        installed: row.try_get("installed")?,
        version: row.try_get("version")?,
    })
}

fn judge(name: &str, privileges: &Privileges) -> Vec<Line> {
    let Privileges { role, version, .. } = privileges;
    let line = |rating, message: String| Line::new(format!("{name}/privileges"), rating, message);
    let monitor = if privileges.monitor {
        line(Rating::Good, format!("PostgreSQL {version}; the role {role} sees all sessions"))
    } else {
        let grant = format!("GRANT pg_monitor TO {}", identifier(role));
        let message =
            format!("the role {role} sees its own sessions only; as a superuser: {grant}");
        line(Rating::Doubtful, message)
    };
    let statements = (!privileges.preloaded || !privileges.installed).then(|| {
        let preload = "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements' (add it \
                       to those already there), a restart of the server, then ";
        let steps = if privileges.preloaded { "" } else { preload };
        let message = format!(
            "the server does not count statements: {steps}CREATE EXTENSION pg_stat_statements \
             in this database"
        );
        line(Rating::Doubtful, message)
    });
    [monitor].into_iter().chain(statements).collect()
}

/// A library that is not preloaded has no settings.
const SQL: &str = "
SELECT current_user::text AS role,
       pg_has_role(current_user, 'pg_monitor', 'USAGE') AS monitor,
       coalesce(current_setting('pg_stat_statements.max', true), '') <> '' AS preloaded,
       EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements') AS installed,
       current_setting('server_version') AS version";

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(privileges: &Privileges) -> String {
        judge("primary", privileges).into_iter().map(|line| line.message + "\n").collect()
    }

    #[test]
    fn each_lack_has_its_remedy() {
        let lacking = Privileges { role: "app \"x\"".into(), ..Privileges::default() };
        let text = messages(&lacking);
        assert!(text.contains(r#"GRANT pg_monitor TO "app ""x""""#), "{text}");
        assert!(text.contains("shared_preload_libraries = 'pg_stat_statements'"), "{text}");
        assert!(text.contains("CREATE EXTENSION pg_stat_statements"), "{text}");
        let preloaded = Privileges { monitor: true, preloaded: true, ..lacking.clone() };
        assert!(!messages(&preloaded).contains("preload"));
        let well = Privileges { installed: true, ..preloaded };
        assert_eq!(judge("primary", &well).len(), 1);
    }
}
