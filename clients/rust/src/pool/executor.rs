//! Statements on a checkout, timed from their first poll to the end of their rows.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{Describe, Either, Execute, Executor, SqlStr};
use tokio::time::Instant;

use super::flags::Flags;
use super::{Checkout, Core, Transaction};

/// True when SQL may begin a transaction. True too often costs two round trips at the connection's
/// return; too seldom would hand a transaction to the next caller.
fn may_begin(sql: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let mut before: &[u8] = b"";
    sql.as_bytes().split(|byte| !is_word(byte)).filter(|word| !word.is_empty()).any(|word| {
        let started = std::mem::replace(&mut before, word).eq_ignore_ascii_case(b"start");
        word.eq_ignore_ascii_case(b"begin")
            || (started && word.eq_ignore_ascii_case(b"transaction"))
    })
}

/// The timer of one statement.
struct Timer<'c> {
    core: &'c Core,
    flags: &'c mut Flags,
    began: Option<Instant>,
    timed: bool,
}

impl<'c> Timer<'c> {
    fn new(core: &'c Core, flags: &'c mut Flags, timed: bool) -> Self {
        Self { core, flags, began: None, timed }
    }

    /// Nothing is sent before the first poll.
    fn begin(&mut self) {
        if self.began.is_none() {
            self.began = Some(Instant::now());
            self.flags.in_flight = true;
        }
    }

    fn end(&mut self, error: Option<&sqlx::Error>) {
        let Some(began) = self.began.filter(|_| self.flags.in_flight) else { return };
        self.flags.ended(error);
        if self.timed {
            self.core.state().queried(began.elapsed(), error.is_some());
        }
    }
}

/// Rows or a row, timed to their end.
struct Timed<'c, T> {
    inner: T,
    timer: Timer<'c>,
}

impl<T> Stream for Timed<'_, BoxStream<'_, Result<T, sqlx::Error>>> {
    type Item = Result<T, sqlx::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.timer.begin();
        let item = ready!(this.inner.as_mut().poll_next(context));
        match &item {
            Some(Ok(_)) => {}
            Some(Err(error)) => this.timer.end(Some(error)),
            None => this.timer.end(None),
        }
        Poll::Ready(item)
    }
}

impl<T> Future for Timed<'_, BoxFuture<'_, Result<T, sqlx::Error>>> {
    type Output = Result<T, sqlx::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.timer.begin();
        let outcome = ready!(this.inner.as_mut().poll(context));
        this.timer.end(outcome.as_ref().err());
        Poll::Ready(outcome)
    }
}

/// A statement taken apart, so that its text can be looked at.
struct TimedStatement {
    sql: SqlStr,
    prepared: Option<PgStatement>,
    arguments: Result<Option<PgArguments>, BoxDynError>,
    persistent: bool,
}

impl TimedStatement {
    fn new<'q>(mut query: impl Execute<'q, Postgres>) -> Self {
        Self {
            prepared: query.statement().cloned(),
            arguments: query.take_arguments(),
            persistent: query.persistent(),
            sql: query.sql(),
        }
    }
}

impl Execute<'_, Postgres> for TimedStatement {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.prepared.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        std::mem::replace(&mut self.arguments, Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

/// A connection with its flags: what both a checkout and a transaction are to a statement.
type Parts<'c> = (&'c mut PgConnection, &'c Core, &'c mut Flags);

type Step = Either<PgQueryResult, PgRow>;

fn fetch_many<'e, 'q: 'e>(
    (connection, core, flags): Parts<'e>,
    query: impl Execute<'q, Postgres> + 'q,
) -> BoxStream<'e, Result<Step, sqlx::Error>> {
    let statement = TimedStatement::new(query);
    flags.may_be_in_transaction |= may_begin(statement.sql.as_str());
    let timer = Timer::new(core, flags, true);
    Box::pin(Timed { inner: connection.fetch_many(statement), timer })
}

fn fetch_optional<'e, 'q: 'e>(
    (connection, core, flags): Parts<'e>,
    query: impl Execute<'q, Postgres> + 'q,
) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>> {
    let statement = TimedStatement::new(query);
    flags.may_be_in_transaction |= may_begin(statement.sql.as_str());
    let timer = Timer::new(core, flags, true);
    Box::pin(Timed { inner: connection.fetch_optional(statement), timer })
}

macro_rules! executor {
    ($type:ty) => {
        impl<'c> Executor<'c> for &'c mut $type {
            type Database = Postgres;

            fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                fetch_many(self.parts(), query)
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                fetch_optional(self.parts(), query)
            }

            /// Asks the server to parse a statement, untimed.
            fn prepare_with<'e>(
                self,
                sql: SqlStr,
                parameters: &'e [PgTypeInfo],
            ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
            where
                'c: 'e,
            {
                let (connection, core, flags) = self.parts();
                let inner = connection.prepare_with(sql, parameters);
                Box::pin(Timed { inner, timer: Timer::new(core, flags, false) })
            }

            fn describe<'e>(
                self,
                sql: SqlStr,
            ) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
            where
                'c: 'e,
            {
                let (connection, core, flags) = self.parts();
                let inner = connection.describe(sql);
                Box::pin(Timed { inner, timer: Timer::new(core, flags, false) })
            }
        }
    };
}

executor!(Checkout);
executor!(Transaction<'_>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_that_begins_a_transaction_is_recognised() {
        for sql in
            ["BEGIN", "begin isolation level serializable", "/* x */ Begin;", "START  TRANSACTION"]
        {
            assert!(may_begin(sql), "{sql}");
        }
        for sql in
            ["SELECT query_start, begin_at FROM a", "SELECT 'idle in transaction'", "start", ""]
        {
            assert!(!may_begin(sql), "{sql}");
        }
    }
}
