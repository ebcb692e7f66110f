//! Asks a running daemon whether it is alive, for Docker's HEALTHCHECK: exit 0 or 1.

use clap::Args;
use hyper::StatusCode;
use tokio::time::timeout;

use super::{CommandError, daemon, runtime};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Address of the daemon, when it is not the one in the settings
    #[arg(value_name = "HOST:PORT")]
    address: Option<String>,
}

pub(super) fn main(config: &Config, arguments: &Arguments) -> Result<(), CommandError> {
    let given = arguments.address.as_deref().map(daemon::reachable);
    let address = given.unwrap_or_else(|| daemon::address(config));
    let ask = daemon::request(&address, "/-/healthy");
    // Within the runtime, whose clock it asks.
    let answer = runtime()?.block_on(async { timeout(daemon::TIMEOUT, ask).await });
    let answer = answer
        .map_err(|_| CommandError::Other(format!("{address} does not answer")))?
        .map_err(|error| CommandError::Other(format!("{address}: {error}")))?;
    if is_alive(answer.status()) {
        return Ok(());
    }
    Err(CommandError::Other(format!("{address} is not well: it answers {}", answer.status())))
}

/// 200; or an answer that only a daemon that is alive gives: 401 where there are users, 429 where
/// requests are counted, and 400 to a request without TLS where that is due.
fn is_alive(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::OK
            | StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::TOO_MANY_REQUESTS
    )
}
