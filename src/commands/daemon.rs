//! Asking a running daemon, over its own HTTP.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::Config;

/// The time within which the daemon must answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);
/// No answer that is of use is longer.
const LIMIT: u64 = 8 << 20;

/// The address at which the daemon of these settings is reached.
pub(super) fn address(config: &Config) -> String {
    reachable(config.web.listen_addresses.first().map_or(":8001", String::as_str))
}

/// An address to connect to from one to listen on: all interfaces are reached by loopback.
pub(super) fn reachable(address: &str) -> String {
    match address.rsplit_once(':') {
        Some(("" | "0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => address.to_owned(),
    }
}

/// The whole answer, its head included. As of HTTP/1.0 it comes in one piece and ends.
pub(super) async fn get(address: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LIMIT).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The body of an answer that says 200.
pub(super) fn body(answer: &[u8]) -> Option<&[u8]> {
    let good = answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    good.then(|| &answer[end + 4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_interfaces_are_reached_by_loopback() {
        assert_eq!(reachable(":8001"), "127.0.0.1:8001");
        assert_eq!(reachable("[::]:8001"), "[::1]:8001");
        assert_eq!(reachable("10.0.0.1:8001"), "10.0.0.1:8001");
    }

    #[test]
    fn only_a_good_answer_has_a_body() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some(&b"{}"[..]));
        assert_eq!(body(b"HTTP/1.1 401 No\r\n\r\n{}"), None);
        assert_eq!(body(b""), None);
    }
}
