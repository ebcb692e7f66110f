//! The reasons why a server cannot be had.

use std::io;
use std::time::Duration;

use super::wire::{ReadError, ServerError, Violation};
use super::{credentials, tls};

/// The most steps of SCRAM that a login may take: they are made on the thread that serves
/// everything else.
pub(super) const MAX_ITERATIONS: u64 = 100_000;

/// The reason why a server cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("its name leads nowhere")]
    Resolve(#[source] io::Error),
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error(transparent)]
    Wire(#[from] Violation),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error("the server has no TLS, which sslmode demands")]
    NoTls,
    #[error("the server asks for the login `{0}`, which require_auth does not allow")]
    Method(&'static str),
    #[error("the server asks for {0}, which poolwatch does not have")]
    Unsupported(&'static str),
    #[error("channel_binding=require is not available: {0}")]
    Unbound(&'static str),
    #[error("the server did not prove that it knows the password")]
    Unproven,
    #[error(
        "the server keeps the password by {0} iterations of SCRAM, and no more than {MAX_ITERATIONS} are made for a login"
    )]
    Iterations(u64),
    #[error("the server's part of the login is wrong")]
    Scram(#[source] io::Error),
    #[error(
        "the server asks for a password, and none is given: set password_file or \
             password_command, or write it into ~/.pgpass"
    )]
    NoPassword,
    #[error("{}", .error.message)]
    Refused { error: ServerError, has_answered: bool },
    #[error("it is {0}, which target_session_attrs does not want")]
    Unwanted(&'static str),
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    #[error("cannot open a socket within this machine")]
    Local(#[source] io::Error),
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Io(error),
            ReadError::Violation(violation) => Self::Wire(violation),
        }
    }
}
