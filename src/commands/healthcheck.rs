//! Asks a running daemon whether it is alive, for Docker's HEALTHCHECK: exit 0 or 1.

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
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
    // Within the runtime, whose clock it asks.
    let answer = runtime()?.block_on(async { timeout(daemon::TIMEOUT, ask(&address)).await });
    let answer = answer
        .map_err(|_| CommandError::Other(format!("{address} does not answer")))?
        .map_err(|error| CommandError::Other(format!("{address}: {error}")))?;
    if is_alive(&answer) {
        Ok(())
    } else {
        Err(CommandError::Other(format!("{address} is not well")))
    }
}

async fn ask(address: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 16];
    let read = stream.read(&mut answer).await?;
    answer.truncate(read);
    Ok(answer)
}

/// 200; or what only a daemon that is alive says: 401 where there are users, 429 where requests are
/// counted, and 400 to who speaks no TLS where that is spoken, which is of HTTP/1.0.
fn is_alive(answer: &[u8]) -> bool {
    let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    status.is_some_and(|status| [b"200", b"400", b"401", b"429"].iter().any(|one| *one == status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_server_is_not_alive() {
        assert!(is_alive(b"HTTP/1.1 200 OK"));
        assert!(is_alive(b"HTTP/1.0 400 Bad"));
        assert!(!is_alive(b"HTTP/1.1 503 Ser"));
        assert!(!is_alive(b"HTTP/1.1 2"));
        assert!(!is_alive(b""));
    }
}
