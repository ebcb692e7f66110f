//! Creates what is missing while the application runs.
//!
//! CREATE and DROP INDEX CONCURRENTLY ask for locks that neither hold up readers or writers nor
//! wait in front of them, so they may wait as long as they have to: there is no `lock_timeout`,
//! which would throw away a finished scan because of one long transaction. What they wait for is
//! shown instead.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Catalogue, ExpectedIndex, Inventory, State, compare};
use crate::postgres::{Access, Database};
use poolwatch_client::AcquireError;

/// The time between two samples of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// The number of statements that are tried for one index, those included that a lost connection ended.
const ATTEMPTS: u32 = 6;
/// The first pause before that; each next is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// The time for which clearing away after an interruption may wait for others.
const CLEARING: &str = "2s";
/// The way in which an index came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was there, or another serves as well.
    Already,
    /// It was built.
    Built,
    /// The remains of an earlier build were dropped first.
    Rebuilt,
}

/// The phase of a build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildPhase {
    /// The server's own name of the phase.
    pub doing: String,
    /// The share of it that is done, 0 to 1, where the server says.
    pub share: Option<f64>,
    /// The session that it waits for.
    pub waits_for: Option<i32>,
}

/// The reason why an index is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody interrupted, and nothing is left of the build.
    #[error("interrupted; nothing is left of it, and a second run builds it")]
    Interrupted,
    /// Somebody interrupted, and something is left of the build.
    #[error("interrupted; an invalid index is left of it, which a second run drops and rebuilds")]
    InterruptedMidway,
    /// The connection is gone again and again.
    #[error("the connection was lost; a second run finishes the work")]
    Lost(#[source] sqlx::Error),
    /// The index can never be used as it comes out.
    #[error("it is not valid after {ATTEMPTS} attempts; the server's log says why")]
    NeverValid,
    /// The role may not.
    #[error("the role may not; run it as the owner of the table, by DATABASE_URL")]
    Forbidden(#[source] sqlx::Error),
    /// Another index has the name.
    #[error("another index has its name: {0}; rename or drop one of the two")]
    Different(String),
    /// The table is not there.
    #[error("its table does not exist")]
    NoTable,
    /// The statement failed.
    #[error("the server refuses")]
    Refused(#[source] sqlx::Error),
    /// The present indexes cannot be read.
    #[error("cannot read what is there")]
    Unseen(#[source] sqlx::Error),
    /// There is no connection to watch with.
    #[error("no connection")]
    Acquire(#[from] AcquireError),
}

/// Creates indexes one after the other, on a connection of its own.
pub struct Builder<'a> {
    database: Arc<Database>,
    access: Access,
    connection: Option<(PgConnection, i32)>,
    stop: watch::Receiver<bool>,
    show: &'a mut dyn FnMut(&BuildPhase),
}

impl<'a> Builder<'a> {
    /// A builder that watches itself over `database`, writes by `access`, ends when `stop` turns
    /// true, and says where it is to `show`.
    pub fn new(
        database: Arc<Database>,
        access: Access,
        stop: watch::Receiver<bool>,
        show: &'a mut dyn FnMut(&BuildPhase),
    ) -> Self {
        Self { database, access, connection: None, stop, show }
    }

    /// Makes an expected index be there, however often it takes.
    pub async fn build(&mut self, expected: &ExpectedIndex) -> Result<Outcome, Error> {
        let mut outcome = Outcome::Already;
        let mut attempts = 0;
        while attempts < ATTEMPTS {
            let done = match self.state(expected).await? {
                State::Present | State::Covered { .. } => return Ok(outcome),
                State::Different { is } => return Err(Error::Different(is)),
                State::NoTable => return Err(Error::NoTable),
                State::Building => {
                    self.wait_for_builder().await?;
                    continue;
                }
                State::Invalid => {
                    outcome = Outcome::Rebuilt;
                    attempts += 1;
                    self.run(expected.drop()).await
                }
                State::Missing => {
                    if outcome == Outcome::Already {
                        outcome = Outcome::Built;
                    }
                    attempts += 1;
                    self.run(expected.create()).await
                }
            };
            if let Err(error) = done {
                self.after(error, expected, attempts).await?;
            }
        }
        match self.state(expected).await? {
            state if state.is_good() => Ok(outcome),
            _ => Err(Error::NeverValid),
        }
    }

    async fn state(&self, expected: &ExpectedIndex) -> Result<State, Error> {
        let mut connection = self.database.acquire().await?;
        let inventory = Inventory::read(&mut connection).await.map_err(Error::Unseen)?;
        let catalogue = Catalogue { indexes: vec![expected.clone()] };
        Ok(compare(&catalogue, &inventory).expected.remove(0).1)
    }

    /// Somebody else builds it, perhaps an earlier run whose connection was lost.
    async fn wait_for_builder(&mut self) -> Result<(), Error> {
        (self.show)(&BuildPhase {
            doing: "another session builds it".into(),
            ..BuildPhase::default()
        });
        tokio::select! {
            () = sleep(PROGRESS_INTERVAL) => Ok(()),
            _ = self.stop.wait_for(|stop| *stop) => Err(Error::Interrupted),
        }
    }

    /// Returns whether to go on after a statement that failed.
    async fn after(
        &mut self,
        error: sqlx::Error,
        expected: &ExpectedIndex,
        attempts: u32,
    ) -> Result<(), Error> {
        if *self.stop.borrow() {
            return Err(self.clear_away(expected).await);
        }
        match code(&error).as_deref() {
            Some("42501") => Err(Error::Forbidden(error)),
            // A deadlock, whose other side went on.
            Some("40P01") => {
                sleep(PAUSE).await;
                Ok(())
            }
            _ if is_lost(&error) => {
                self.connection = None;
                if attempts >= ATTEMPTS {
                    return Err(Error::Lost(error));
                }
                let doing = "the connection was lost; trying again".to_owned();
                (self.show)(&BuildPhase { doing, ..BuildPhase::default() });
                sleep(PAUSE * 2_u32.pow(attempts)).await;
                Ok(())
            }
            _ => {
                self.clear_away(expected).await;
                Err(Error::Refused(error))
            }
        }
    }

    /// Drops what a build left, unless that would have to wait.
    async fn clear_away(&mut self, expected: &ExpectedIndex) -> Error {
        let limit = format!("SET lock_timeout = '{CLEARING}'");
        let clear = async {
            if matches!(self.state(expected).await?, State::Invalid) {
                let connection = &mut self.connect().await.map_err(Error::Refused)?.0;
                connection.execute(AssertSqlSafe(limit)).await.map_err(Error::Refused)?;
                let dropped = connection.execute(AssertSqlSafe(expected.drop())).await;
                connection.execute("SET lock_timeout = 0").await.map_err(Error::Refused)?;
                dropped.map_err(Error::Refused)?;
            }
            self.state(expected).await
        };
        match clear.await {
            Ok(State::Missing) => Error::Interrupted,
            _ => Error::InterruptedMidway,
        }
    }

    async fn connect(&mut self) -> Result<&mut (PgConnection, i32), sqlx::Error> {
        if self.connection.is_none() {
            let mut connection = self.access.session().await.map_err(|error| match error {
                AcquireError::Connect(error) => error,
                // As a connection that was lost, so that it is tried again.
                AcquireError::Unreachable(error) => sqlx::Error::Io(std::io::Error::other(error)),
                error => sqlx::Error::Configuration(error.into()),
            })?;
            let pid = connection.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
            self.connection = Some((connection, pid));
        }
        Ok(self.connection.as_mut().expect("it was just made"))
    }

    /// Runs one statement to its end, which an interruption brings about on the server.
    async fn run(&mut self, sql: String) -> Result<(), sqlx::Error> {
        self.connect().await?;
        let (connection, pid) = self.connection.as_mut().expect("it is connected");
        // Prepared, so that what a catalogue says can never be several statements.
        let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        let statement = connection.execute(statement);
        tokio::pin!(statement);
        let mut ticks = interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked_to_stop = false;
        loop {
            tokio::select! {
                result = &mut statement => return result.map(drop),
                _ = self.stop.wait_for(|stop| *stop), if !asked_to_stop => {
                    asked_to_stop = true;
                    cancel(&self.database, *pid).await;
                }
                _ = ticks.tick() => {
                    if let Some(phase) = phase(&self.database, *pid).await {
                        (self.show)(&phase);
                    }
                }
            }
        }
    }

    /// Says goodbye to the server.
    pub async fn close(self) {
        if let Some((connection, _)) = self.connection {
            // The server notices in any case.
            let _ = connection.close().await;
        }
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

fn is_lost(error: &sqlx::Error) -> bool {
    let ended = code(error)
        .is_some_and(|code| code.starts_with("57P") || code.starts_with("08") || code == "53300");
    ended || matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_))
}

/// Asks the server to end a statement; if it cannot be asked, the statement goes on.
async fn cancel(database: &Database, pid: i32) {
    let ask = async {
        let mut connection = database.acquire().await.ok()?;
        let cancel = sqlx::query("SELECT pg_cancel_backend($1)").bind(pid);
        connection.execute(cancel).await.ok()
    };
    // The statement's own end says how it went.
    let _ = timeout(database.read_timeout(), ask).await;
}

/// The progress of a statement; `None` when the server does not report it.
async fn phase(database: &Database, pid: i32) -> Option<BuildPhase> {
    let progress = async {
        let mut connection = database.acquire().await.ok()?;
        let row = connection.fetch_one(sqlx::query(PROGRESS).bind(pid)).await.ok()?;
        let doing: Option<String> = row.try_get("phase").ok()?;
        let waits_for: Option<i32> = row.try_get("waits_for").ok()?;
        let doing = doing.or_else(|| waits_for.map(|_| "waiting for the table".to_owned()))?;
        Some(BuildPhase { doing, share: row.try_get("share").ok()?, waits_for })
    };
    timeout(database.read_timeout(), progress).await.ok()?
}

const PROGRESS: &str = "
SELECT progress.phase,
       (CASE WHEN lockers_total > 0 THEN lockers_done::float8 / lockers_total
             WHEN tuples_total > 0 THEN tuples_done::float8 / tuples_total
             WHEN blocks_total > 0 THEN blocks_done::float8 / blocks_total END) AS share,
       coalesce(nullif(progress.current_locker_pid, 0), (pg_blocking_pids($1))[1])::int AS waits_for
  FROM (SELECT $1 AS pid) AS builder
  LEFT JOIN pg_stat_progress_create_index AS progress USING (pid)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_pipe_is_a_lost_connection() {
        let error = sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into());
        assert!(is_lost(&error));
        assert!(!is_lost(&sqlx::Error::RowNotFound));
    }
}
