//! Tells `PostgreSQL` itself from a pooler, whose sessions others get next.
//!
//! A setting that poolwatch makes in a session would stay there for the application, so nothing is
//! set before the session is proved to be poolwatch's alone. The proof is a setting of no effect
//! that goes with the start-up message: only the server process that was started by this very message
//! knows it. `PgBouncer` and RDS Proxy refuse such options, or are set to pass over them, as pgcat
//! and Supavisor do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::time::{Instant, timeout};

use super::connector::{ConnectError, Connector};
use poolwatch_client::AcquireError;

/// The setting's name, which `PostgreSQL` itself gives no meaning.
const MARKER: &str = "poolwatch.session";
/// The first statement of each session. Until the next one, which sets what is relied on, the
/// session may be without poolwatch's name.
pub const FIRST_STATEMENT: &str = "SHOW poolwatch.session";
/// The time for which a pooler is taken for one without asking again.
const POOLER_MAX_AGE: Duration = Duration::from_secs(60);
/// The time that a connection of no use may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The address leads to a pooler.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the address leads to a pooler, whose sessions belong to the application, so nothing is read \
     through it: give the address of PostgreSQL itself, usually port 5432 of the host in the \
     pooler's own settings (the pooler {0})"
)]
pub struct Pooler(String);

impl Pooler {
    /// The pooler that makes this error, if any.
    pub fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        match error.downcast_ref() {
            Some(AcquireError::Unsuitable(reason)) => reason.downcast_ref(),
            _ => error.source().and_then(Self::behind),
        }
    }
}

/// The reason why there is no connection straight to the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDirect {
    /// A pooler is between.
    #[error(transparent)]
    Pooler(#[from] Pooler),
    /// There is no connection at all.
    #[error(transparent)]
    Failed(#[from] ConnectError),
}

/// Connects to one address where it leads to `PostgreSQL` itself.
pub(crate) struct Direct {
    connector: Arc<Connector>,
    options: PgConnectOptions,
    /// The marker's value: the same for all connections of this process, and unlike
    /// another's.
    marker: String,
    /// The pooler that was met last, and when.
    last_pooler: Mutex<Option<(Instant, Pooler)>>,
}

impl Direct {
    pub(crate) fn new(connector: &Arc<Connector>, options: &PgConnectOptions) -> Self {
        let started = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let marker = format!("{}-{started}", std::process::id());
        let options = options.clone().options([(MARKER, &marker)]);
        Self { connector: Arc::clone(connector), options, marker, last_pooler: Mutex::new(None) }
    }

    /// A session that nobody else gets, and in which nothing was set yet.
    pub(crate) async fn connect(&self) -> Result<PgConnection, NotDirect> {
        if let Some(pooler) = self.recent_pooler() {
            return Err(pooler.into());
        }
        let connection = match self.connector.connect(&self.options).await {
            Ok(connection) => self.prove(connection).await,
            Err(ConnectError::Refused(error)) => Err(match refused(&error) {
                Some(pooler) => NotDirect::Pooler(pooler),
                None => NotDirect::Failed(ConnectError::Refused(error)),
            }),
            Err(error) => Err(error.into()),
        };
        self.connector.proved_direct(connection.is_ok());
        if let Err(NotDirect::Pooler(pooler)) = &connection {
            *self.last_pooler() = Some((Instant::now(), pooler.clone()));
        }
        connection
    }

    fn last_pooler(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Pooler)>> {
        self.last_pooler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pooler that was met a moment ago.
    fn recent_pooler(&self) -> Option<Pooler> {
        let last_pooler = self.last_pooler();
        last_pooler
            .as_ref()
            .filter(|(at, _)| at.elapsed() < POOLER_MAX_AGE)
            .map(|(_, pooler)| pooler.clone())
    }

    /// SHOW calls no function and needs no snapshot: it does the same in a session in which anybody
    /// set anything, on a standby too.
    async fn prove(&self, mut connection: PgConnection) -> Result<PgConnection, NotDirect> {
        let shown = match connection.fetch_one(sqlx::raw_sql(FIRST_STATEMENT)).await {
            Ok(row) => row.try_get::<String, _>(0).ok(),
            Err(error) if is_unknown(&error) => None,
            Err(error) => return Err(ConnectError::Refused(error).into()),
        };
        if shown.as_ref() == Some(&self.marker) {
            return Ok(connection);
        }
        let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
        Err(Pooler("passes no start-up options on".to_owned()).into())
    }
}

/// True when the server behind knows no such setting.
fn is_unknown(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("42704")
}

/// The pooler that refused a login because of the marker, which `PostgreSQL` takes.
fn refused(error: &sqlx::Error) -> Option<Pooler> {
    let message = error.as_database_error()?.message();
    let phrases = ["startup parameter", "startup packet: options", "command-line options"];
    phrases
        .iter()
        .any(|words| message.contains(words))
        .then(|| Pooler(format!("refuses start-up options: {message}")))
}

/// Checks that the server behind a pooler answers, by the protocol that leaves nothing behind,
/// over a connection of its own, so that no session of the pooler is taken for longer.
pub(crate) async fn ask_through(
    connector: &Connector,
    options: &PgConnectOptions,
) -> Result<(), ConnectError> {
    connector.proved_direct(false);
    let mut connection = connector.connect(options).await?;
    let answer = connection.execute(sqlx::raw_sql("SELECT 1")).await;
    let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
    answer.map(drop).map_err(ConnectError::Refused)
}
