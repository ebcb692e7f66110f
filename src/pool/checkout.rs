//! A connection taken from the pool, and a transaction on it.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Connection, Executor};
use tokio::time::{Instant, timeout};

use super::marks::Marks;
use super::slot::{Slot, later};
use super::state::Open;

/// How long an open transaction may take to be rolled back before its connection is closed.
const ROLLBACK: Duration = Duration::from_secs(5);

/// A connection taken from the pool. It comes back when dropped.
///
/// `&mut Checkout` is an [`Executor`]: `sqlx::query(…).execute(&mut checkout)`. Each statement is
/// timed until its last row was read. A connection whose statement was not read to its end (a
/// cancelled future, a stream dropped early) is closed rather than used again, and one that was
/// left inside a transaction is rolled back first.
pub struct Checkout {
    held: Option<Held>,
    pub(super) marks: Marks,
}

struct Held {
    slot: Slot,
    open: Open,
    number: u64,
}

impl Checkout {
    pub(super) fn new(slot: Slot, open: Open) -> Self {
        let number = slot.core.state().hold();
        Self { held: Some(Held { slot, open, number }), marks: Marks::default() }
    }

    /// The connection and what is kept beside it, for one statement.
    pub(super) fn parts(&mut self) -> (&mut PgConnection, &super::Core, &mut Marks) {
        let held = self.held.as_mut().expect("a checkout holds a connection until it is dropped");
        (&mut held.open.connection, &held.slot.core, &mut self.marks)
    }

    /// Begins a transaction. It is rolled back when dropped without a commit.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, sqlx::Error> {
        let (connection, core, marks) = self.parts();
        Transaction::begin(connection, core, marks, false).await
    }

    /// The connection itself, untimed and uncounted: for COPY, LISTEN and whatever else an
    /// [`Executor`] cannot do. What was done with it is not known, so a transaction left open is
    /// looked for when the connection comes back, which costs two round trips.
    pub fn raw(&mut self) -> &mut PgConnection {
        let (connection, _, marks) = self.parts();
        marks.may_be_in_transaction = true;
        connection
    }

    /// Closes the connection when it comes back, instead of using it again.
    pub fn invalidate(&mut self) {
        self.marks.broken = true;
    }

    /// The server's version as a number, such as 150020 for 15.20; unknown when the server says
    /// none, as poolers do.
    pub fn server_version_num(&self) -> Option<u32> {
        self.held.as_ref()?.open.connection.server_version_num()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let Some(Held { slot, open, number }) = self.held.take() else { return };
        slot.core.state().held(number);
        // Where the driver panicked beneath poolwatch, nobody knows what it left. An application's
        // panic is its own.
        let panicked = slot.core.connect.is_some() && std::thread::panicking();
        let is_broken = self.marks.broken || self.marks.in_flight || panicked;
        if is_broken || open.connection.is_in_transaction() {
            slot.invalidate(open);
            return;
        }
        tracing::debug!(pool = slot.core.name, "Connection returned to pool");
        if self.marks.may_be_in_transaction || self.marks.unsettled {
            later(settle(slot, open, self.marks.may_be_in_transaction));
        } else {
            slot.rest(open);
        }
    }
}

impl fmt::Debug for Checkout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Checkout").field("marks", &self.marks).finish_non_exhaustive()
    }
}

/// Leaves no transaction behind, then puts the connection to rest.
async fn settle(slot: Slot, mut open: Open, may_be_in_transaction: bool) {
    let settling = async {
        // Sends a rollback that a dropped transaction left behind, and waits for its answer.
        open.connection.ping().await?;
        if may_be_in_transaction { roll_back(&mut open.connection).await } else { Ok(()) }
    };
    match timeout(ROLLBACK, settling).await {
        Ok(Ok(())) => slot.rest(open),
        _ => slot.invalidate(open),
    }
}

/// Ends a transaction that may or may not be open. A ROLLBACK alone would write a warning into the
/// server's log each time that none is; after a BEGIN there always is one.
async fn roll_back(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    match connection.execute("BEGIN").await {
        // In a transaction that failed, BEGIN fails too.
        Ok(_) | Err(sqlx::Error::Database(_)) => connection.execute("ROLLBACK").await.map(drop),
        Err(error) => Err(error),
    }
}

/// A transaction on a [`Checkout`]; `&mut Transaction` is an [`Executor`] whose statements are
/// timed. It is rolled back when dropped without [`commit`](Self::commit).
pub struct Transaction<'c> {
    inner: Option<sqlx::Transaction<'c, Postgres>>,
    core: &'c super::Core,
    pub(super) marks: &'c mut Marks,
    nested: bool,
}

impl<'c> Transaction<'c> {
    async fn begin(
        connection: &'c mut PgConnection,
        core: &'c super::Core,
        marks: &'c mut Marks,
        nested: bool,
    ) -> Result<Self, sqlx::Error> {
        // Until the answer is here, a cancelled BEGIN may have reached the server.
        marks.in_flight = true;
        let before = std::mem::replace(&mut marks.may_be_in_transaction, true);
        let inner = connection.begin().await;
        marks.ended(inner.as_ref().err());
        marks.may_be_in_transaction = before;
        Ok(Self { inner: Some(inner?), core, marks, nested })
    }

    pub(super) fn parts(&mut self) -> (&mut PgConnection, &super::Core, &mut Marks) {
        let inner = self.inner.as_mut().expect("a transaction is open until it is committed");
        (inner, self.core, self.marks)
    }

    /// Begins a transaction within this one: a savepoint.
    pub async fn begin_nested(&mut self) -> Result<Transaction<'_>, sqlx::Error> {
        let (connection, core, marks) = self.parts();
        Transaction::begin(connection, core, marks, true).await
    }

    /// Commits. The time that it takes goes into the commit histogram; that of a savepoint is a
    /// statement like any other.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        let Some(inner) = self.inner.take() else { return Ok(()) };
        self.marks.in_flight = true;
        let began = Instant::now();
        let ended = Unsettled::watch(self.marks, inner.commit()).await;
        let (took, failed) = (began.elapsed(), ended.is_err());
        if self.nested {
            self.core.state().queried(took, failed);
        } else {
            self.core.state().committed(took, failed);
        }
        ended
    }

    /// Rolls back, untimed.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        let Some(inner) = self.inner.take() else { return Ok(()) };
        self.marks.in_flight = true;
        Unsettled::watch(self.marks, inner.rollback()).await
    }

    /// The connection itself, untimed: see [`Checkout::raw`].
    pub fn raw(&mut self) -> &mut PgConnection {
        self.parts().0
    }
}

/// Ends of transactions leave a rollback behind when they fail.
struct Unsettled;

impl Unsettled {
    async fn watch(
        marks: &mut Marks,
        end: impl Future<Output = Result<(), sqlx::Error>>,
    ) -> Result<(), sqlx::Error> {
        let ended = end.await;
        marks.ended(ended.as_ref().err());
        marks.unsettled |= ended.is_err();
        ended
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // sqlx's own transaction, dropped after this, queues the rollback.
        self.marks.unsettled |= self.inner.is_some();
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transaction").field("nested", &self.nested).finish_non_exhaustive()
    }
}
