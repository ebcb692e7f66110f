//! The state of a connection between statements.

use sqlx::postgres::PgSeverity;

/// The state of a connection, beside sqlx's own.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four things that are true or not")]
pub(super) struct Flags {
    /// A statement has begun and its end was not seen.
    pub(super) in_flight: bool,
    /// The connection is not to be used again.
    pub(super) broken: bool,
    /// Some SQL may have begun a transaction that sqlx does not know of.
    pub(super) may_be_in_transaction: bool,
    /// A rollback is queued and was not sent.
    pub(super) unsettled: bool,
}

impl Flags {
    /// Keeps the end of a statement. When the server answered, what was queued before it was sent.
    pub(super) fn ended(&mut self, error: Option<&sqlx::Error>) {
        self.in_flight = false;
        self.broken |= error.is_some_and(is_the_end);
        if matches!(error, None | Some(sqlx::Error::Database(_))) {
            self.unsettled = false;
        }
    }
}

/// True when a connection is of no use after an error: the server ended it, or the two no longer
/// understand one another.
fn is_the_end(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        Error::Database(error) => error
            .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
            .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)),
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_given_up_when_the_two_sides_no_longer_understand_one_another() {
        let lost = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(is_the_end(&lost));
        assert!(!is_the_end(&sqlx::Error::RowNotFound));
    }
}
