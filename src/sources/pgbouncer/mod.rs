//! `PgBouncer`'s admin console: its pools as one pool with a worker for each (database, user) pair,
//! because that is what a size holds for: sums are right, and the busiest worker is the fullest pair.
//!
//! The console speaks the simple query protocol only, and its columns differ between versions.

mod catalogue;
mod clients;
mod console;
mod counts;
mod families;
mod limits;
mod pools;
mod table;
#[cfg(test)]
mod versions;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Deserialize;

use self::console::{Console, SLOW_VIEWS_MAX_AGE, Views, ask};
pub use self::table::ViewProblem;
use crate::files;
use crate::metric::Family;
use crate::postgres::{
    Address, ConnectError, Connector, PASSWORD_COMMAND_TIMEOUT, PASSWORD_MAX_AGE, PasswordCommand,
    PasswordSettings, Target,
};
use crate::process::Usage;
use crate::reading::Reading;

/// The settings of one `PgBouncer`.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `postgresql://USER@HOST:PORT/pgbouncer`, the user one of its `stats_users`.
    pub url: String,
    /// A file with the password, read whenever a connection is opened.
    pub password_file: Option<PathBuf>,
    /// A command that prints the password.
    pub password_command: Option<PasswordCommand>,
    /// The timeout of the command.
    #[serde(with = "humantime_serde")]
    pub password_command_timeout: Duration,
    /// The time for which a password that the command printed is used for further connections.
    #[serde(with = "humantime_serde")]
    pub password_max_age: Duration,
    /// The file in which `PgBouncer` writes its process' number, to show what the process uses.
    pub pid_file: Option<PathBuf>,
    /// The timeout of one read, connecting included.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Set if clients are counted by application; the view has a row for each of them, and is
    /// asked for every 15 seconds.
    pub clients: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            password_file: None,
            password_command: None,
            password_command_timeout: PASSWORD_COMMAND_TIMEOUT,
            password_max_age: PASSWORD_MAX_AGE,
            pid_file: None,
            timeout: Duration::from_secs(2),
            clients: true,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.target().map_or_else(|_| "…".to_owned(), |target| target.place());
        f.debug_struct("Settings")
            .field("url", &at)
            .field("password_file", &self.password_file)
            .field("password_command", &self.password_command)
            .field("pid_file", &self.pid_file)
            .field("timeout", &self.timeout)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// The reason why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The console did not give figures.
    #[error("cannot read PgBouncer at {at}")]
    Read {
        /// Its address.
        at: String,
        /// The cause.
        #[source]
        source: ConsoleError,
    },
}

/// The fault between the question and the figures.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
    /// The user is unknown, or its password wrong.
    #[error(
        "the user {user:?} or its password is refused: list it in PgBouncer's auth_file, and give its password in password_file"
    )]
    Refused {
        /// The user.
        user: String,
        /// The error that `PgBouncer` reports.
        #[source]
        source: sqlx::Error,
    },
    /// The user may not see the figures.
    #[error(
        "the user {user:?} may not use the admin console: set stats_users = {user} in pgbouncer.ini, and RELOAD"
    )]
    NotAllowed {
        /// The user.
        user: String,
        /// The error that `PgBouncer` reports.
        #[source]
        source: sqlx::Error,
    },
    /// The time was up.
    #[error("no whole answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// A view could not be read.
    #[error("SHOW {view} failed")]
    Show {
        /// The view.
        view: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A view has not what it should have.
    #[error(transparent)]
    Parse(#[from] ViewProblem),
}

/// One `PgBouncer`, over a connection that is kept.
pub struct Pgbouncer {
    pool: String,
    connector: Connector,
    pid_file: Option<PathBuf>,
    timeout: Duration,
    count_clients: bool,
    console: Option<Console>,
    process: Option<(Instant, Usage)>,
    dropped: u64,
}

impl fmt::Debug for Pgbouncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pgbouncer({:?} at {})", self.pool, self.connector.target().place())
    }
}

impl Settings {
    /// The source, not yet connected.
    pub fn open(&self, pool_name: &str) -> Result<Pgbouncer, Error> {
        Ok(Pgbouncer {
            pool: pool_name.to_owned(),
            connector: self.connector().map_err(Error::Settings)?,
            pid_file: self.pid_file.clone(),
            timeout: self.timeout,
            count_clients: self.clients,
            console: None,
            process: None,
            dropped: 0,
        })
    }

    /// Errors do not repeat the URL, which may hold a password.
    fn target(&self) -> Result<Target, String> {
        if self.url.is_empty() {
            return Err("url: is missing: postgresql://USER@HOST:6432/pgbouncer".to_owned());
        }
        let variables = |name: &str| std::env::var(name).ok();
        let wrong = |error| format!("url: {error}");
        // What PGDATABASE says is about another server.
        let dbname = Address::parse_only(&self.url).map_err(wrong)?.value("dbname");
        match dbname.as_deref() {
            None | Some("pgbouncer") => {
                let address = Address::parse(&self.url, &variables).map_err(wrong)?;
                Target::new(&address.with("dbname", "pgbouncer"), &variables).map_err(wrong)
            }
            Some(other) => {
                Err(format!("url: the admin console is the database \"pgbouncer\", not {other:?}"))
            }
        }
    }

    fn connector(&self) -> Result<Connector, String> {
        let target = self.target()?;
        let passwords = PasswordSettings {
            file: self.password_file.clone(),
            command: self.password_command.clone(),
            timeout: self.password_command_timeout,
            max_age: self.password_max_age,
        };
        Ok(Connector::new(target.clone(), passwords.unchecked(&target), self.timeout))
    }
}

impl Pgbouncer {
    /// Asks the console once, on the connection that is kept; when that turns out to be gone, as
    /// after a restart, on a new one.
    pub async fn read(&mut self) -> Result<Reading, Error> {
        let views = tokio::time::timeout(self.timeout, self.views());
        let views = views.await.unwrap_or(Err(ConsoleError::Timeout(self.timeout)));
        let usage = self.usage().await;
        let unseen = usage.is_none();
        let reading = views.and_then(|views| Ok(parse(&self.pool, &Views { usage, ..views })?));
        let at = |source| Error::Read { at: self.connector.target().place(), source };
        let mut reading = reading.map_err(at)?;
        if let Some(path) = self.pid_file.as_ref().filter(|_| unseen) {
            reading.hints.push(format!(
                "the process that {} names cannot be seen: run poolwatch beside PgBouncer, in its \
                 process namespace, as a user who may read the file",
                path.display()
            ));
        }
        self.dropped += reading.dropped;
        reading.dropped = self.dropped;
        Ok(reading)
    }

    /// The family of a `PgBouncer` that cannot be read: `pgbouncer_up 0`.
    pub fn down() -> Family {
        families::up(false)
    }

    /// Every family there may be, without samples.
    pub fn families() -> Vec<Family> {
        families::empty()
    }

    /// The resources that the process of `PgBouncer` uses, as far as poolwatch may see them. Its
    /// open files are counted one by one, and it may have ten thousand.
    async fn usage(&mut self) -> Option<Usage> {
        let path = self.pid_file.as_ref()?;
        if self.process.as_ref().is_none_or(|(at, _)| at.elapsed() >= SLOW_VIEWS_MAX_AGE) {
            let pid = files::read_to_string(path).await.ok();
            let usage = pid.and_then(|pid| Usage::from_pid(pid.trim().parse().ok()?));
            self.process = usage.map(|usage| (Instant::now(), usage));
        }
        self.process.as_ref().map(|(_, usage)| usage.clone())
    }

    async fn views(&mut self) -> Result<Views, ConsoleError> {
        if let Some(mut kept) = self.console.take() {
            match kept.views(self.count_clients).await {
                Ok(views) => {
                    self.console = Some(kept);
                    return Ok(views);
                }
                Err(ConsoleError::Show { source: sqlx::Error::Io(_), .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let mut console = self.connect().await?;
        // It may be another process by now.
        self.process = None;
        let views = console.views(self.count_clients).await?;
        self.console = Some(console);
        Ok(views)
    }

    async fn connect(&self) -> Result<Console, ConsoleError> {
        // The console passes nothing on to a session of a server's.
        self.connector.proved_direct(self.connector.target().database == "pgbouncer");
        let opened = self.connector.connect(&self.connector.options()).await;
        let mut connection = opened.map_err(|error| match error {
            ConnectError::Refused(error) => {
                self.explain(|error| ConsoleError::Connect(ConnectError::Refused(error)), error)
            }
            unreachable @ ConnectError::Dial(_) => ConsoleError::Connect(unreachable),
        })?;
        // The first question: a user without the privilege is refused at it.
        let version = ask(&mut connection, "SHOW VERSION").await;
        let version = version.map_err(|error| {
            self.explain(|source| ConsoleError::Show { view: "VERSION", source }, error)
        })?;
        Ok(Console { connection, version, slow_views: None })
    }

    fn explain(
        &self,
        otherwise: impl FnOnce(sqlx::Error) -> ConsoleError,
        source: sqlx::Error,
    ) -> ConsoleError {
        let message = source.as_database_error().map_or("", |error| error.message());
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        let user = self.connector.target().user.clone();
        if says(&["not allowed", "admin access needed"]) {
            ConsoleError::NotAllowed { user, source }
        } else if says(&["authentication failed", "no such user"]) {
            ConsoleError::Refused { user, source }
        } else {
            otherwise(source)
        }
    }
}

/// The reading in the views.
fn parse(pool: &str, views: &Views) -> Result<Reading, ViewProblem> {
    let pools = vec![pools::parse(pool, views)?];
    let (families, dropped) = families::all(views);
    Ok(Reading { pools, families, dropped, ..Reading::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings { url: url.to_owned(), ..Settings::default() }
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = settings("postgresql://stats:hunter2@localhost:6432/pgbouncer");
        let shown = format!("{settings:?} {:?}", settings.open("bouncer").unwrap());
        assert!(shown.contains("localhost:6432") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_bad_setting_says_which_and_shows_no_secret() {
        for (url, expected) in [
            ("", "url: is missing"),
            ("hunter2", "url: "),
            ("mysql://a:hunter2@b/pgbouncer", "is not for PostgreSQL (`mysql://`)"),
            ("postgresql://a:hunter2@b/shop", "the database \"pgbouncer\", not \"shop\""),
            ("postgresql://a:hunter2@b/pgbouncer?sslmode=odd", "url: "),
        ] {
            let error = settings(url).open("bouncer").unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
