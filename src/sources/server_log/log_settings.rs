//! The server's settings of its log: the statements that are in it, and its prefix.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::time::{Instant, timeout};

use super::count::{Backend, Rates};
use crate::postgres::{self, APPLICATION_NAME, Database, Optional, ReducibleStatement, Reductions};
use crate::sources::Failure;
use poolwatch_client::Checkout;

/// The time between two readings of the settings.
const INTERVAL: Duration = Duration::from_secs(60);
/// The least time between two, when the log has a database that the server did not have.
const SOON: Duration = Duration::from_secs(2);
/// The time that one answer may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// The time for which nothing is counted before the first answer, which decides what counts for how
/// many.
const FIRST_TIMEOUT: Duration = Duration::from_secs(30);

const SETTINGS: [&str; 11] = [
    "log_min_duration_statement",
    "log_min_duration_sample",
    "log_statement_sample_rate",
    "log_transaction_sample_rate",
    "log_duration",
    "log_line_prefix",
    "log_error_verbosity",
    "log_directory",
    "logging_collector",
    "data_directory",
    "lc_messages",
];

/// Of a session that has run no more than poolwatch's first statement nobody knows yet whose it is.
const SQL: &str = "
SELECT name, setting, current_user::text,
       EXISTS (SELECT FROM pg_stat_activity
                WHERE usename = current_user AND backend_type = 'client backend'
                  AND application_name <> $2
                  AND NOT (application_name = '' AND query IN ('', 'SHOW poolwatch.session')))
  FROM pg_settings WHERE name = ANY ($1)";

const DATABASES: &str = "SELECT datname FROM pg_database";

/// A role without `pg_monitor` does not see what kind others' sessions are of. A session that has
/// run no more than poolwatch's first statement is left for the next time.
const BACKENDS: &str = "
SELECT pid, datname, coalesce(usename = current_user, false), coalesce(application_name = $1, false)
  FROM pg_stat_activity
 WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
   AND (usename = current_user AND application_name = ''
        AND query IN ('', 'SHOW poolwatch.session')) IS NOT TRUE";

/// A statement with what is bound to it.
type BoundQuery = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Reads the server's settings now and then.
#[derive(Debug)]
pub(super) struct SettingsReader {
    database: Option<Arc<Database>>,
    began: Instant,
    due: Option<Instant>,
    /// The last answer.
    pub(super) settings: Option<LogSettings>,
    /// When it was last asked.
    last: Option<Instant>,
    reductions: Reductions,
}

/// The server's settings of its log, and what else is needed to count it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LogSettings {
    settings: HashMap<String, String>,
    /// poolwatch's role.
    pub(super) role: String,
    /// True when another than poolwatch has a session as this role.
    pub(super) shared: bool,
    /// The databases that there are, as far as the role may see them.
    pub(super) databases: HashSet<String>,
}

impl SettingsReader {
    pub(super) fn new(database: Option<Arc<Database>>) -> Self {
        let (began, reductions) = (Instant::now(), Reductions::default());
        Self { database, began, due: None, settings: None, last: None, reductions }
    }

    /// Asks, when it is time, or soon; true when there is an answer that was not there before. A
    /// server that does not answer is reported by its probe.
    pub(super) async fn refresh(&mut self, soon: bool) -> bool {
        let now = Instant::now();
        let soon = soon && self.last.is_none_or(|last| last + SOON <= now);
        let due = soon || self.due.is_none_or(|due| due <= now);
        let Some(database) = self.database.clone().filter(|_| due) else { return false };
        self.last = Some(now);
        let Ok(Ok(settings)) =
            timeout(QUERY_TIMEOUT, fetch_settings(&database, &mut self.reductions)).await
        else {
            return false;
        };
        self.due = Some(now + INTERVAL);
        self.settings = Some(settings);
        true
    }

    /// The sessions that there are at this moment; `None` when the server does not answer.
    pub(super) async fn backends(&mut self) -> Option<Vec<Backend>> {
        let database = self.database.clone()?;
        timeout(QUERY_TIMEOUT, fetch_backends(&database, &mut self.reductions)).await.ok()?.ok()
    }

    /// Hints about what the server lacks.
    pub(super) fn missing(&mut self) -> Vec<String> {
        let database = self.database.as_ref().map_or("", |database| database.name());
        self.reductions.tell(database, "server_log")
    }

    /// True while the first answer is waited for. The log waits too; without a server that
    /// answers it is read all the same.
    pub(super) fn is_awaited(&self) -> bool {
        self.database.is_some() && self.settings.is_none() && self.began.elapsed() < FIRST_TIMEOUT
    }
}

async fn fetch_settings(
    database: &Database,
    reductions: &mut Reductions,
) -> Result<LogSettings, Failure> {
    let mut connection = database.acquire().await?;
    let bind = |query: BoundQuery| query.bind(&SETTINGS[..]).bind(APPLICATION_NAME);
    let mut log_settings = LogSettings::default();
    for row in rows(&mut connection, reductions, SQL, bind).await? {
        log_settings.settings.insert(row.try_get(0)?, row.try_get(1)?);
        log_settings.role = row.try_get(2)?;
        log_settings.shared = row.try_get(3)?;
    }
    let names = rows(&mut connection, reductions, DATABASES, |query| query).await?;
    let names = names.iter().filter_map(|row| postgres::text(row, 0).transpose());
    log_settings.databases = names.collect::<Result<_, _>>()?;
    Ok(log_settings)
}

/// Who cannot tell is as a server that does not answer.
async fn rows(
    connection: &mut Checkout,
    reductions: &mut Reductions,
    sql: &str,
    bind: impl Fn(BoundQuery) -> BoundQuery,
) -> Result<Vec<PgRow>, Failure> {
    let optional = Optional::These(&["backend_type"]);
    let gives = "the log settings of the server";
    let rows =
        reductions.rows(connection, ReducibleStatement { sql, optional, gives }, bind).await?;
    rows.ok_or_else(|| gives.into())
}

async fn fetch_backends(
    database: &Database,
    reductions: &mut Reductions,
) -> Result<Vec<Backend>, Failure> {
    let mut connection = database.acquire().await?;
    let bind = |query: BoundQuery| query.bind(APPLICATION_NAME);
    let rows = rows(&mut connection, reductions, BACKENDS, bind).await?;
    let backends = rows.iter().map(|row| {
        Ok(Backend {
            pid: u32::try_from(row.try_get::<i32, _>(0)?)?,
            database: postgres::text(row, 1)?.unwrap_or_default(),
            same_role: row.try_get(2)?,
            own: row.try_get(3)?,
        })
    });
    backends.collect()
}

impl LogSettings {
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// True when each message has its SQLSTATE before it.
    pub(super) fn is_verbose(&self) -> bool {
        self.is("log_error_verbosity", "verbose")
    }

    /// The rates by which statements are logged.
    pub(super) fn rates(&self) -> Rates {
        let number = |name: &str| self.setting(name)?.parse::<f64>().ok();
        let from = |name: &str| number(name).filter(|from| *from >= 0.0).map(|from| from / 1000.0);
        let rate = |name: &str| number(name).unwrap_or(0.0).clamp(0.0, 1.0);
        Rates {
            all_from: from("log_min_duration_statement"),
            some_from: from("log_min_duration_sample"),
            statements: rate("log_statement_sample_rate"),
            transactions: rate("log_transaction_sample_rate"),
            durations: self.is("log_duration", "on"),
        }
    }

    /// Hints about what would let more be counted, each with the statement that does it.
    pub(super) fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        let durations = self.rates().counted_from().is_some() || self.is("log_duration", "on");
        if !durations {
            hints.push(
                "the server logs no duration: as a superuser, ALTER SYSTEM SET \
                 log_min_duration_statement = '100ms' and SELECT pg_reload_conf()"
                    .to_owned(),
            );
        }
        let language = self.setting("lc_messages").unwrap_or_default();
        if !["", "C", "POSIX"].contains(&language)
            && !language.starts_with("en")
            && !language.starts_with("C.")
        {
            hints.push(format!(
                "the server logs in another language ({language}), in which durations are not \
                 understood: ALTER SYSTEM SET lc_messages = 'C' and SELECT pg_reload_conf()"
            ));
        }
        hints
    }

    /// The place where the server writes its log, as far as it is set.
    pub(super) fn place(&self) -> Option<String> {
        if !self.is("logging_collector", "on") {
            return Some("to its standard error output (logging_collector is off)".to_owned());
        }
        let folder = std::path::Path::new(self.setting("data_directory").unwrap_or_default());
        Some(format!("in {}", folder.join(self.setting("log_directory")?).display()))
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.setting(name) == Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_settings(settings: &[(&str, &str)]) -> LogSettings {
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        LogSettings { settings: settings.collect(), role: "watch".into(), ..LogSettings::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_not_waited_for_forever() {
        let settings = crate::postgres::Settings {
            url: "postgresql:///d?host=/nowhere&user=nobody".to_owned().into(),
            ..crate::postgres::Settings::default()
        };
        let mut reader = SettingsReader::new(Some(settings.open("primary").unwrap()));
        assert!(!reader.refresh(false).await && reader.is_awaited());
        tokio::time::advance(FIRST_TIMEOUT).await;
        assert!(!reader.is_awaited());
        assert!(!SettingsReader::new(None).is_awaited());
    }

    #[test]
    fn rates_are_the_servers() {
        let rates = with_settings(&[
            ("log_min_duration_statement", "1000"),
            ("log_min_duration_sample", "-1"),
            ("log_statement_sample_rate", "1"),
            ("log_transaction_sample_rate", "0.1"),
        ])
        .rates();
        assert_eq!((rates.all_from, rates.some_from), (Some(1.0), None));
        assert_eq!((rates.statements, rates.transactions), (1.0, 0.1));
    }

    #[test]
    fn what_is_lacking_is_told_with_its_remedy() {
        let hints =
            with_settings(&[("log_min_duration_statement", "-1"), ("lc_messages", "de_DE.UTF-8")])
                .hints();
        assert!(hints[0].contains("log_min_duration_statement = '100ms'"), "{hints:?}");
        assert!(hints[1].contains("lc_messages = 'C'"), "{hints:?}");
        let well = [("log_min_duration_statement", "0"), ("lc_messages", "en_US.UTF-8")];
        assert_eq!(with_settings(&well).hints(), [""; 0]);
    }

    #[test]
    fn the_folder_of_the_log_may_be_within_that_of_the_data() {
        let place = |folder| {
            with_settings(&[
                ("logging_collector", "on"),
                ("data_directory", "/data"),
                ("log_directory", folder),
            ])
            .place()
        };
        assert_eq!(place("log").unwrap(), "in /data/log");
        assert_eq!(place("/var/log").unwrap(), "in /var/log");
    }
}
