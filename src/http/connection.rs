//! One connection, from its beginning to its end.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Settings;
use super::patience::{Patience, Patient, Phase, Progress};
use super::routes::App;

/// The most bytes in a request's head.
const HEAD_LIMIT: usize = 16 * 1024;
/// The most headers of a request.
const HEADERS_LIMIT: usize = 64;

/// What one connection too many is told, where it can be told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Length: 35\r\n\r\n{\"message\":\"too many connections\"}\n";

/// What every connection shares.
pub(super) struct Connections {
    /// The most connections at once.
    pub(super) limit: usize,
    app: Arc<App>,
    patience: Patience,
    stopping: watch::Receiver<bool>,
}

impl Connections {
    pub(super) fn new(settings: &Settings, app: Arc<App>, stopping: watch::Receiver<bool>) -> Self {
        Self { limit: settings.max_connections, app, patience: settings.patience(), stopping }
    }

    /// Answers a connection's requests until it ends.
    pub(super) fn serve(&self, stream: TcpStream) -> impl Future<Output = ()> + use<> {
        let (app, patience, stopping) =
            (Arc::clone(&self.app), self.patience, self.stopping.clone());
        async move {
            // Answers are small and written at once: waiting for more to send only delays them.
            stream.set_nodelay(true).ok();
            exchange(stream, app, patience, stopping).await;
        }
    }

    /// Turns a connection away, without waiting for anything.
    pub(super) fn refuse(&self, stream: &TcpStream) {
        tracing::debug!(limit = self.limit, "too many connections");
        stream.try_write(FULL).ok();
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    app: Arc<App>,
    patience: Patience,
    mut stopping: watch::Receiver<bool>,
) {
    let progress = Progress::default();
    let stream = Patient::new(stream, patience, progress.clone());
    let service = service_fn(|request| async {
        progress.enter(Phase::Answering);
        let answer = app.answer(request).await;
        progress.enter(Phase::Answered);
        Ok::<_, Infallible>(answer)
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(HEAD_LIMIT)
        .max_headers(HEADERS_LIMIT)
        .max_buf_size(4 * HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return trace(ended),
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    // hyper would wait for the first request of a connection that never sent a byte.
    if progress.phase() != Phase::Fresh {
        connection.as_mut().graceful_shutdown();
        trace(connection.await);
    }
}

fn trace(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let refusal = std::str::from_utf8(FULL).unwrap();
        let (head, body) = refusal.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
