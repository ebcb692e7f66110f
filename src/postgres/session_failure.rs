//! The classes of what keeps poolwatch from a session.

use std::error::Error;
use std::io::ErrorKind;

use sqlx::postgres::PgDatabaseError;

use poolwatch_client::AcquireError;

use super::connector::DialError;
use super::fault::Fault;
use crate::reading::SessionFailure;

/// The reason why a server gave no session, or no answer over one that there was.
pub(crate) fn session_failure(failure: &(dyn Error + 'static)) -> SessionFailure {
    match failure.downcast_ref::<AcquireError>() {
        Some(AcquireError::Unreachable(error)) => {
            let dialled = error.downcast_ref::<DialError>();
            let last = dialled.and_then(|dialled| dialled.faults().last());
            last.map_or(SessionFailure::Other, |(_, fault)| of_fault(fault))
        }
        Some(AcquireError::Connect(error)) => of_answer(error),
        Some(AcquireError::Unanswered(_) | AcquireError::Timeout { .. }) => {
            SessionFailure::NoAnswer
        }
        Some(_) => SessionFailure::Other,
        None => match failure.downcast_ref::<sqlx::Error>() {
            Some(_) => SessionFailure::Other,
            None => failure.source().map_or(SessionFailure::NoAnswer, session_failure),
        },
    }
}

fn of_answer(error: &sqlx::Error) -> SessionFailure {
    let Some(error) = error.as_database_error() else { return SessionFailure::Other };
    let routine = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine);
    let code = error.code().unwrap_or_default();
    of_sqlstate(&code, error.message(), routine.unwrap_or_default())
}

fn of_fault(fault: &Fault) -> SessionFailure {
    match fault {
        Fault::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => SessionFailure::ConnectionRefused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => SessionFailure::NoRoute,
            ErrorKind::TimedOut => SessionFailure::NoAnswer,
            _ => SessionFailure::Other,
        },
        Fault::Resolve(_) => SessionFailure::Unresolved,
        Fault::Timeout(_) => SessionFailure::NoAnswer,
        Fault::Tls(_) | Fault::NoTls => SessionFailure::Tls,
        Fault::Method(_)
        | Fault::Unsupported(_)
        | Fault::Unbound(_)
        | Fault::Unproven
        | Fault::Iterations(_)
        | Fault::Scram(_)
        | Fault::NoPassword
        | Fault::Credentials(_) => SessionFailure::Authentication,
        Fault::Refused { error, .. } => of_sqlstate(&error.sqlstate, &error.message, ""),
        Fault::Wire(_) | Fault::Unwanted(_) | Fault::Local(_) => SessionFailure::Other,
    }
}

/// By the SQLSTATE; where one has several causes, by the routine of the server that says so, for the
/// message may be in any language.
fn of_sqlstate(sqlstate: &str, message: &str, routine: &str) -> SessionFailure {
    let says = |words: &str| message.contains(words);
    match sqlstate {
        "53300" if routine == "CheckMyDatabase" || says("connections for database") => {
            SessionFailure::TooManyConnectionsDatabase
        }
        "53300" if routine == "InitializeSessionUserId" || says("connections for role") => {
            SessionFailure::TooManyConnectionsRole
        }
        "53300" if routine == "InitPostgres" || says("remaining connection slots") => {
            SessionFailure::ReservedConnections
        }
        "53300" => SessionFailure::TooManyConnectionsServer,
        "57P03" if says("shutting down") => SessionFailure::ShuttingDown,
        "57P03" => SessionFailure::StartingUp,
        "3D000" => SessionFailure::NoSuchDatabase,
        "55000" => SessionFailure::ClosedDatabase,
        "42501" => SessionFailure::Permission,
        _ if sqlstate.starts_with("28") => SessionFailure::Authentication,
        _ => SessionFailure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_told_apart_in_any_language() {
        use SessionFailure::{
            ReservedConnections, TooManyConnectionsDatabase, TooManyConnectionsRole,
            TooManyConnectionsServer,
        };
        for (message, routine, expected) in [
            ("sorry, too many clients already", "InitProcess", TooManyConnectionsServer),
            ("tut mir leid, schon zu viele Verbindungen", "InitProcess", TooManyConnectionsServer),
            ("too many connections for database \"a\"", "", TooManyConnectionsDatabase),
            (
                "zu viele Verbindungen für Datenbank »a«",
                "CheckMyDatabase",
                TooManyConnectionsDatabase,
            ),
            ("too many connections for role \"a\"", "", TooManyConnectionsRole),
            (
                "zu viele Verbindungen von Rolle »a«",
                "InitializeSessionUserId",
                TooManyConnectionsRole,
            ),
            ("remaining connection slots are reserved for …", "", ReservedConnections),
            ("die verbleibenden Verbindungen sind …", "InitPostgres", ReservedConnections),
        ] {
            assert_eq!(of_sqlstate("53300", message, routine), expected, "{message}");
        }
    }

    #[test]
    fn an_error_without_a_session_is_none_of_the_servers() {
        assert_eq!(session_failure(&*Box::<dyn Error>::from("late")), SessionFailure::NoAnswer);
    }
}
