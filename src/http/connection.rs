//! One connection, from its beginning to its end.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Settings;
use super::client::Client;
use super::places::Places;
use super::routes::App;
use super::timeouts::{Phase, Progress, TimeoutStream, Timeouts};
use super::web_config::WebConfig;

/// The most bytes in a request's head.
const HEAD_LIMIT: usize = 16 * 1024;
/// The most headers of a request.
const HEADERS_LIMIT: usize = 64;

/// The answer to a client that speaks HTTP where TLS is spoken, in the words of Go's server.
const PLAIN: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\n\
    Client sent an HTTP request to an HTTPS server.\n";

/// The state that every connection shares.
pub(super) struct Connections {
    app: Arc<App>,
    places: Arc<Places>,
    timeouts: Timeouts,
    handshake_timeout: Duration,
    stopping: watch::Receiver<bool>,
    web_config: Option<Arc<WebConfig>>,
}

impl Connections {
    pub(super) fn new(
        settings: &Settings,
        app: Arc<App>,
        places: Arc<Places>,
        stopping: watch::Receiver<bool>,
        web_config: Option<Arc<WebConfig>>,
    ) -> Self {
        let (timeouts, handshake_timeout) = (settings.timeouts(), settings.handshake_timeout);
        Self { app, places, timeouts, handshake_timeout, stopping, web_config }
    }

    /// Answers a connection's requests until it ends, or gives way to another; begins when there
    /// is a place for it.
    pub(super) async fn serve(
        &self,
        stream: TcpStream,
        client: Client,
    ) -> impl Future<Output = ()> + use<> {
        let progress = Progress::default();
        let place = self.places.take(client, progress.clone()).await;
        let served = self.answer(stream, client, progress);
        async move {
            tokio::select! {
                () = served => {}
                () = place.given_up() => tracing::debug!(client = %client.0, "a connection gave way"),
            }
        }
    }

    fn answer(
        &self,
        stream: TcpStream,
        client: Client,
        progress: Progress,
    ) -> impl Future<Output = ()> + use<> {
        let (app, timeouts, mut stopping) =
            (Arc::clone(&self.app), self.timeouts, self.stopping.clone());
        let (web_config, time) = (self.web_config.clone(), self.handshake_timeout);
        async move {
            // Answers are small and written at once: waiting for more to send only delays them.
            stream.set_nodelay(true).ok();
            let Some(web_config) = web_config.filter(|config| config.speaks_tls()) else {
                return exchange(stream, app, client, timeouts, progress, stopping).await;
            };
            let shaken = tokio::select! {
                shaken = timeout(time, shake(stream, &web_config)) => shaken,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            match shaken {
                Ok(Ok(stream)) => exchange(stream, app, client, timeouts, progress, stopping).await,
                Ok(Err(error)) => tracing::debug!(error = &*error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

/// The TLS handshake of one connection.
async fn shake(
    stream: TcpStream,
    web_config: &WebConfig,
) -> Result<TlsStream<TcpStream>, Box<dyn std::error::Error + Send + Sync>> {
    let config = web_config.tls().await.inspect_err(|error| {
        tracing::error!(error = error as &dyn std::error::Error, "the web configuration is broken");
    })?;
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first[0].is_ascii_uppercase() {
        // What is not read would have the system cut the connection before the answer is.
        stream.try_read(&mut vec![0; HEAD_LIMIT]).ok();
        stream.try_write(PLAIN).ok();
        return Err("the client speaks HTTP without TLS".into());
    }
    Ok(TlsAcceptor::from(config).accept(stream).await?)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    app: Arc<App>,
    client: Client,
    timeouts: Timeouts,
    progress: Progress,
    mut stopping: watch::Receiver<bool>,
) {
    let stream = TimeoutStream::new(stream, timeouts, progress.clone());
    let service = service_fn(|request| async {
        progress.enter(Phase::Answering);
        let answer = app.answer(client, request).await;
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
