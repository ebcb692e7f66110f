//! Asks a running daemon whether it is alive, for Docker's HEALTHCHECK: exit 0 or 1.

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Failure, daemon, runtime};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the daemon listens, when not as the settings say
    #[arg(value_name = "HOST:PORT")]
    address: Option<String>,
}

pub(super) fn main(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let given = arguments.address.as_deref().map(daemon::reachable);
    let address = given.unwrap_or_else(|| daemon::address(config));
    let answer = runtime()?.block_on(timeout(daemon::PATIENCE, ask(&address)));
    let answer = answer
        .map_err(|_| Failure::Other(format!("{address} does not answer")))?
        .map_err(|error| Failure::Other(format!("{address}: {error}")))?;
    if is_alive(&answer) { Ok(()) } else { Err(Failure::Other(format!("{address} is not well"))) }
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

/// 200; or 401, for who asks for a password is alive; or the alert of a server that speaks TLS.
fn is_alive(answer: &[u8]) -> bool {
    const TLS_ALERT: u8 = 0x15;
    let said = |status: &str| answer.starts_with(format!("HTTP/1.1 {status}").as_bytes());
    said("200") || said("401") || said("400") || answer.first() == Some(&TLS_ALERT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_server_is_not_alive() {
        assert!(is_alive(b"HTTP/1.1 200 OK"));
        assert!(!is_alive(b"HTTP/1.1 503 Ser"));
        assert!(!is_alive(b""));
    }
}
