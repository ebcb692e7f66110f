//! A connection taken from the pool, and a transaction on it.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Connection, Executor};
use tokio::time::{Instant, timeout};

use super::flags::Flags;
use super::slot::{Slot, later};
use super::state::Open;

/// The time that a rollback may take before the connection is closed.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection taken from the pool. It comes back when dropped.
///
/// `&mut Checkout` is an [`Executor`]: `sqlx::query(…).execute(&mut checkout)`. Each statement is
/// timed until its last row was read. A connection whose statement was not read to its end (a
/// cancelled future, a stream dropped early) is closed rather than used again, and one that was
/// left inside a transaction is rolled back first.
pub struct Checkout {
    lent: Option<Lent>,
    pub(super) flags: Flags,
}

struct Lent {
    slot: Slot,
    open: Open,
    number: u64,
}

impl Checkout {
    pub(super) fn new(slot: Slot, open: Open) -> Self {
        let number = slot.core.state().hold();
        Self { lent: Some(Lent { slot, open, number }), flags: Flags::default() }
    }

    /// The connection and what is kept beside it, for one statement.
    pub(super) fn parts(&mut self) -> (&mut PgConnection, &super::Core, &mut Flags) {
        let lent = self.lent.as_mut().expect("a checkout has a connection until it is dropped");
        (&mut lent.open.connection, &lent.slot.core, &mut self.flags)
    }

    /// Begins a transaction. It is rolled back when dropped without a commit.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, sqlx::Error> {
        let (connection, core, flags) = self.parts();
        Transaction::begin(connection, core, flags, false).await
    }

    /// The connection itself, untimed and uncounted: for COPY, LISTEN and whatever else an
    /// [`Executor`] cannot do. What was done with it is not known, so a transaction left open is
    /// looked for when the connection comes back, which costs two round trips.
    pub fn raw(&mut self) -> &mut PgConnection {
        let (connection, _, flags) = self.parts();
        flags.may_be_in_transaction = true;
        connection
    }

    /// Closes the connection when it comes back, instead of using it again.
    pub fn invalidate(&mut self) {
        self.flags.broken = true;
    }

    /// The server's version as a number, such as 150020 for 15.20; absent when the server reports
    /// none, as poolers do.
    pub fn server_version_num(&self) -> Option<u32> {
        self.lent.as_ref()?.open.connection.server_version_num()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let Some(Lent { slot, open, number }) = self.lent.take() else { return };
        slot.core.state().held(number);
        // Where the driver panicked beneath poolwatch, nobody knows what it left. An application's
        // panic is its own.
        let panicked = slot.core.connect.is_some() && std::thread::panicking();
        let is_broken = self.flags.broken || self.flags.in_flight || panicked;
        if is_broken || open.connection.is_in_transaction() {
            slot.invalidate(open);
            return;
        }
        tracing::debug!(pool = slot.core.name, "Connection returned to pool");
        if self.flags.may_be_in_transaction || self.flags.unsettled {
            later(settle(slot, open, self.flags.may_be_in_transaction));
        } else {
            slot.rest(open);
        }
    }
}

impl fmt::Debug for Checkout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Checkout").field("flags", &self.flags).finish_non_exhaustive()
    }
}

/// Leaves no transaction behind, then puts the connection to rest.
async fn settle(slot: Slot, mut open: Open, may_be_in_transaction: bool) {
    let settling = async {
        // Sends a rollback that a dropped transaction left behind, and waits for its answer.
        open.connection.ping().await?;
        if may_be_in_transaction { roll_back(&mut open.connection).await } else { Ok(()) }
    };
    match timeout(ROLLBACK_TIMEOUT, settling).await {
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
    pub(super) flags: &'c mut Flags,
    nested: bool,
}

impl<'c> Transaction<'c> {
    async fn begin(
        connection: &'c mut PgConnection,
        core: &'c super::Core,
        flags: &'c mut Flags,
        nested: bool,
    ) -> Result<Self, sqlx::Error> {
        // Until the answer is here, a cancelled BEGIN may have reached the server.
        flags.in_flight = true;
        let before = std::mem::replace(&mut flags.may_be_in_transaction, true);
        let inner = connection.begin().await;
        flags.ended(inner.as_ref().err());
        flags.may_be_in_transaction = before;
        Ok(Self { inner: Some(inner?), core, flags, nested })
    }

    pub(super) fn parts(&mut self) -> (&mut PgConnection, &super::Core, &mut Flags) {
        let inner = self.inner.as_mut().expect("a transaction is open until it is committed");
        (inner, self.core, self.flags)
    }

    /// Begins a transaction within this one: a savepoint.
    pub async fn begin_nested(&mut self) -> Result<Transaction<'_>, sqlx::Error> {
        let (connection, core, flags) = self.parts();
        Transaction::begin(connection, core, flags, true).await
    }

    /// Commits. The time that it takes goes into the commit histogram; that of a savepoint is a
    /// statement like any other.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        let Some(inner) = self.inner.take() else { return Ok(()) };
        self.flags.in_flight = true;
        let began = Instant::now();
        let ended = end(self.flags, inner.commit()).await;
        let (elapsed, failed) = (began.elapsed(), ended.is_err());
        if self.nested {
            self.core.state().queried(elapsed, failed);
        } else {
            self.core.state().committed(elapsed, failed);
        }
        ended
    }

    /// Rolls back, untimed.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        let Some(inner) = self.inner.take() else { return Ok(()) };
        self.flags.in_flight = true;
        end(self.flags, inner.rollback()).await
    }

    /// The connection itself, untimed: see [`Checkout::raw`].
    pub fn raw(&mut self) -> &mut PgConnection {
        self.parts().0
    }
}

/// Ends a transaction; one whose end failed leaves a rollback behind.
async fn end(
    flags: &mut Flags,
    end: impl Future<Output = Result<(), sqlx::Error>>,
) -> Result<(), sqlx::Error> {
    let ended = end.await;
    flags.ended(ended.as_ref().err());
    flags.unsettled |= ended.is_err();
    ended
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // sqlx's own transaction, dropped after this, queues the rollback.
        self.flags.unsettled |= self.inner.is_some();
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transaction").field("nested", &self.nested).finish_non_exhaustive()
    }
}
