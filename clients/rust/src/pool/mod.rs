//! `SharedPool`: sqlx's `PostgreSQL` connections with the semantics of `SQLAlchemy`'s `QueuePool`,
//! counted and timed. poolwatch's own connections come from it, and any Rust application's may.

mod checkout;
mod executor;
mod flags;
mod peak;
mod reporter;
mod settings;
mod slot;
mod state;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_core::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

pub use self::checkout::{Checkout, Transaction};
use self::reporter::Reporter;
pub use self::settings::PoolSettings;
use self::slot::Slot;
use self::state::{Open, State};
use crate::pool_figures::Figures;
use crate::report::{ConnectionTarget, PoolReport};

/// The time that closing a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A pool of connections; clones share it.
///
/// As in `QueuePool`, `size` connections are kept, `max_overflow` more are opened while all are
/// taken and closed when they come back; callers wait in line, first come first served, for at
/// most `timeout`; a connection older than `recycle` is replaced when it is next taken, and with
/// `pre_ping` one that no longer answers is too. Unlike there, `timeout` also bounds connecting
/// and the ping.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use poolwatch_client::{PoolSettings, SharedPool};
///
/// let pool = SharedPool::new("web", "postgresql://localhost/redditbot".parse()?, PoolSettings::default());
/// let mut checkout = pool.acquire().await?;
/// let mut transaction = checkout.begin().await?;
/// sqlx::query("UPDATE posts SET seen = true WHERE id = $1").bind(7).execute(&mut transaction).await?;
/// transaction.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedPool {
    core: Arc<Core>,
}

/// The reason why no connection could be had.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// All connections stayed taken; in `QueuePool`'s own words, which operators search for.
    #[error(
        "QueuePool limit of size {size} overflow {overflow} reached, connection timed out, timeout {:.2}",
        timeout.as_secs_f64()
    )]
    Timeout {
        /// Connections the pool keeps.
        size: u32,
        /// The most connections above the size.
        overflow: u64,
        /// The time that the caller waited.
        timeout: Duration,
    },
    /// There was room, but the server did not answer in time.
    #[error("the server did not answer within {:.2} s: see that it runs and can be reached", .0.as_secs_f64())]
    Unanswered(Duration),
    /// The server could not be reached or refused.
    #[error("cannot connect to the server")]
    Connect(#[source] sqlx::Error),
    /// The server could not be reached, in the words of whoever tried in the driver's place.
    #[error(transparent)]
    Unreachable(Arc<dyn std::error::Error + Send + Sync>),
    /// A new connection did not take the SQL that is run on each.
    #[error("cannot prepare a new connection with `{sql}`")]
    OnConnect {
        /// The statement that failed.
        sql: String,
        /// The server's answer.
        source: sqlx::Error,
    },
    /// The connection is none that may be used.
    #[error(transparent)]
    Unsuitable(Box<dyn std::error::Error + Send + Sync>),
    /// The pool was closed.
    #[error("the pool is closed: open a new one")]
    Closed,
}

/// Opens connections and makes them ready, in a way of its own.
pub trait Connect: Send + Sync {
    /// Opens one.
    fn connect(&self) -> BoxFuture<'_, Result<PgConnection, AcquireError>>;
}

/// An acquire under way; one that is dropped before its end was abandoned by its caller.
struct Asking<'a> {
    core: &'a Core,
    began: Instant,
    ended: bool,
}

impl<'a> Asking<'a> {
    fn begin(core: &'a Core) -> Self {
        Self { core, began: Instant::now(), ended: false }
    }

    fn end(mut self, error: Option<&AcquireError>) {
        self.ended = true;
        self.core.state().acquired(self.began.elapsed(), error);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.core.state().abandoned(self.began.elapsed());
        }
    }
}

struct Core {
    name: String,
    options: PgConnectOptions,
    connect: Option<Box<dyn Connect>>,
    settings: PoolSettings,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
    reporter: OnceLock<Reporter>,
}

impl SharedPool {
    /// A pool that connects when a connection is first asked for.
    pub fn new(name: impl Into<String>, options: PgConnectOptions, settings: PoolSettings) -> Self {
        Self::from_parts(name.into(), options, settings, None)
    }

    /// A pool whose connections are opened in another way; the options are only shown.
    pub fn with_connect(
        name: impl Into<String>,
        options: PgConnectOptions,
        settings: PoolSettings,
        connect: Box<dyn Connect>,
    ) -> Self {
        Self::from_parts(name.into(), options, settings, Some(connect))
    }

    fn from_parts(
        name: String,
        options: PgConnectOptions,
        settings: PoolSettings,
        connect: Option<Box<dyn Connect>>,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(settings.slots()));
        let state = Mutex::new(State::new());
        let reporter = OnceLock::new();
        Self { core: Arc::new(Core { name, options, connect, settings, slots, state, reporter }) }
    }

    /// Runs SQL on each connection opened from now on, by the simple protocol, before its first
    /// use: `SET statement_timeout = '1s'` and the like.
    pub fn on_connect(self, statements: Vec<String>) -> Self {
        self.core.state().on_connect = statements;
        self
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The pool's settings.
    pub fn settings(&self) -> &PoolSettings {
        &self.core.settings
    }

    /// A connection: one that rests, or a new one, or the next that comes back. Dropping the
    /// future gives up the place in line.
    pub async fn acquire(&self) -> Result<Checkout, AcquireError> {
        let asking = Asking::begin(&self.core);
        let acquired = self.take(asking.began).await;
        asking.end(acquired.as_ref().err());
        if acquired.is_ok() {
            tracing::debug!(pool = self.core.name, "Connection checked out from pool");
        }
        acquired
    }

    async fn take(&self, began: Instant) -> Result<Checkout, AcquireError> {
        let slot = Slot::take(&self.core).await?;
        let limit = self.core.settings.timeout;
        let left = limit.saturating_sub(began.elapsed());
        match timeout(left, self.core.connection()).await {
            Ok(open) => Ok(Checkout::new(slot, open?)),
            Err(_) => Err(AcquireError::Unanswered(limit)),
        }
    }

    /// Opens connections until `wanted` of them rest, at most `size`: the first callers then need
    /// not wait for the server, and poolwatch keeps its place when the server is full.
    pub async fn warm(&self, wanted: usize) -> Result<(), AcquireError> {
        let mut checkouts = Vec::new();
        for _ in 0..wanted.min(self.core.settings.resting()) {
            checkouts.push(self.acquire().await?);
        }
        Ok(())
    }

    /// Closes the resting connections, and each of the others when it comes back. Who waits for
    /// one, or asks later, is refused.
    pub async fn close(&self) {
        self.core.slots.close();
        let resting = std::mem::take(&mut self.core.state().resting);
        for open in resting {
            close(open.connection).await;
        }
    }

    /// Closes the resting connections, and each of the others when it comes back, as
    /// `Engine.dispose()` does. Who asks later has a new one.
    pub async fn dispose(&self) {
        let resting = self.core.state().dispose();
        for open in resting {
            close(open.connection).await;
        }
    }

    /// True once the pool was closed.
    pub fn is_closed(&self) -> bool {
        self.core.slots.is_closed()
    }

    /// Reports the pool to poolwatch's socket once a second, under a name that all workers of the
    /// application share, until the last clone is dropped. The path is usually
    /// [`report::socket()`](crate::report::socket). A second call changes nothing.
    ///
    /// It is done by a thread of its own and never disturbs the application: when nobody listens,
    /// reports are lost, and the next has all that the lost ones had.
    pub fn report_to(&self, path: impl Into<PathBuf>, pool: impl Into<String>) {
        if self.core.reporter.get().is_some() {
            return;
        }
        match Reporter::start(&self.core, path.into(), pool.into()) {
            Ok(reporter) => drop(self.core.reporter.set(reporter)),
            Err(error) => {
                tracing::warn!(%error, "The pool is not reported: no thread could be started");
            }
        }
    }

    /// The pool now.
    pub fn reading(&self) -> PoolReport {
        self.core.reading(&self.core.name)
    }
}

impl std::fmt::Debug for SharedPool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let figures = self.core.state().figures(&self.core.settings);
        formatter
            .debug_struct("SharedPool")
            .field("name", &self.core.name)
            .field("figures", &figures)
            .finish_non_exhaustive()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(reporter) = self.reporter.get() {
            reporter.send_final_report(self);
        }
    }
}

impl Core {
    /// The state; a panic elsewhere leaves it whole, for nothing in here is done by halves.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A resting connection that still serves, or else a new one.
    async fn connection(&self) -> Result<Open, AcquireError> {
        loop {
            let resting = self.state().resting.pop_front();
            match resting {
                None => return self.open().await,
                Some(open) => {
                    if let Some(open) = self.check(open).await {
                        return Ok(open);
                    }
                }
            }
        }
    }

    /// The connection, unless it is too old or no longer answers.
    async fn check(&self, mut open: Open) -> Option<Open> {
        if self.settings.recycle.is_some_and(|limit| open.since.elapsed() > limit) {
            close(open.connection).await;
            return None;
        }
        if self.is_broken(&open) || !self.answers(&mut open.connection).await {
            self.state().invalidated();
            return None;
        }
        Some(open)
    }

    fn is_broken(&self, open: &Open) -> bool {
        self.state().broken_before.is_some_and(|moment| open.since < moment)
    }

    /// True when the connection answers. If not, the server went away, and every connection opened
    /// before is taken for broken with it.
    async fn answers(&self, connection: &mut PgConnection) -> bool {
        if !self.settings.pre_ping {
            return true;
        }
        // A third, so that there is time left for a new connection.
        let answer = timeout(self.settings.timeout / 3, connection.ping()).await;
        let answers = matches!(answer, Ok(Ok(())));
        if !answers {
            self.state().broken_before = Some(Instant::now());
        }
        answers
    }

    async fn open(&self) -> Result<Open, AcquireError> {
        let mut connection = match &self.connect {
            Some(opener) => opener.connect().await?,
            None => self.options.connect().await.map_err(AcquireError::Connect)?,
        };
        let statements = {
            let mut state = self.state();
            state.opened();
            state.on_connect.clone()
        };
        for sql in statements {
            if let Err(source) = connection.execute(AssertSqlSafe(sql.as_str())).await {
                return Err(AcquireError::OnConnect { sql, source });
            }
        }
        tracing::debug!(pool = self.name, "Database connection established");
        Ok(Open { connection, since: Instant::now() })
    }

    /// The server that its options name; `None` where another than the driver connects, which may
    /// go elsewhere.
    fn target(&self) -> Option<ConnectionTarget> {
        if self.connect.is_some() {
            return None;
        }
        let folder = self.options.get_socket().map(|folder| folder.display().to_string());
        let host = folder.as_deref().unwrap_or_else(|| self.options.get_host());
        let (port, role) = (self.options.get_port(), self.options.get_username());
        let database = self.options.get_database().unwrap_or(role);
        ConnectionTarget::new(host, port, Some(database), Some(role))
    }

    /// The pool now, under a name, with the peaks of the last minute.
    fn reading(&self, name: &str) -> PoolReport {
        let state = self.state();
        let figures = state.figures(&self.settings);
        self.pool_report(name, figures, &state)
    }

    /// The pool now, under a name, with the peaks since this was last called.
    fn take_report(&self, name: &str) -> PoolReport {
        let mut state = self.state();
        let figures = state.take_figures(&self.settings);
        self.pool_report(name, figures, &state)
    }

    fn pool_report(&self, name: &str, figures: Figures, state: &State) -> PoolReport {
        PoolReport {
            name: name.to_owned(),
            figures,
            totals: state.totals(),
            timings: state.timings(),
            targets: self.target().into_iter().collect(),
            ..PoolReport::default()
        }
    }
}

/// Closes a connection so that the server need not find out by itself.
async fn close(connection: PgConnection) {
    // A connection that cannot be closed in order is gone anyway.
    let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
}
