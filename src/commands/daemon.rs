//! Asking a running daemon, over its own HTTP.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::Config;
use crate::sources::Failure;

/// The time within which the daemon must answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);
/// No answer that is of use is longer.
const LIMIT: usize = 8 << 20;

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

/// The body of an answer that has the status 200.
pub(super) async fn get(address: &str, path: &str) -> Result<Bytes, Failure> {
    let response = request(address, path).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{address} answers {}", response.status()).into());
    }
    Ok(Limited::new(response.into_body(), LIMIT).collect().await?.to_bytes())
}

/// An answer, whatever its status, as soon as its head is there.
pub(super) async fn request(address: &str, path: &str) -> Result<Response<Incoming>, Failure> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; what it fails of is the answer's error too.
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, "localhost").body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?)
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
}
