//! Gives out the snapshot: the metrics, the health endpoints and the status page.
//!
//! The server holds only the receiving end of the snapshot, so no request can reach a database.
//! Everything a client may use up has a limit: connections, requests, sizes and times.

mod client;
mod connection;
mod encoding;
mod health;
mod listen;
mod openapi;
mod origin;
mod places;
mod rendered;
mod response;
mod routes;
mod status;
mod timeouts;
mod web_config;

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::snapshot::Snapshot;
use connection::Connections;
use places::Places;
use routes::App;
use timeouts::Timeouts;
use web_config::WebConfig;

/// Asks for the settings to be read again; the answer says whether they were, or why not.
pub type Reload = mpsc::Sender<oneshot::Sender<Result<(), String>>>;

/// The settings of the server.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The addresses to listen on: `:8001` is every interface, else `host:port`.
    pub listen_addresses: Vec<String>,
    /// The path of the metrics.
    pub telemetry_path: String,
    /// TLS, users, headers and rate limit, in the format of Prometheus' exporter-toolkit.
    pub web_config_file: Option<PathBuf>,
    /// Lets POST `/-/reload` read the settings again.
    pub enable_lifecycle: bool,
    /// Connections open at once. For one more the one that rests longest gives way, else one that
    /// has been slow for a second, of the client that has most of them.
    pub max_connections: usize,
    /// Requests in flight at once. For one more a client that takes its answer slowly gives way;
    /// where there is none it is answered with 503. 0 is no limit.
    pub max_requests: usize,
    /// The time a client has to send a request's head.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// The time a client has to take an answer.
    #[serde(with = "humantime_serde")]
    pub answer_timeout: Duration,
    /// The time for which a connection may rest between requests: longer than Prometheus' scrape
    /// interval.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// The time a client has for the TLS handshake.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// The time requests in flight have to finish when the daemon stops.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen_addresses: vec![":8001".into()],
            telemetry_path: "/metrics".into(),
            web_config_file: None,
            enable_lifecycle: false,
            max_connections: 128,
            max_requests: 40,
            head_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(150),
            handshake_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        }
    }
}

/// The reason why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address was given.
    #[error("there is no address to listen on")]
    NoAddress,
    /// The address given is none, or one that cannot be had.
    #[error("cannot listen on {address:?}: {advice}")]
    Listen {
        /// As it was given.
        address: String,
        /// The remedy.
        advice: &'static str,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The path of the metrics cannot be one.
    #[error("the telemetry path {0:?} must begin with \"/\" and not be one of poolwatch's own")]
    TelemetryPath(String),
    /// The file with TLS, users, headers and rate limit cannot be used.
    #[error("the web configuration {0:?} cannot be used")]
    WebConfig(PathBuf, #[source] web_config::Error),
}

impl Error {
    /// The setting that it is about.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::NoAddress | Self::Listen { .. } => "listen_addresses",
            Self::TelemetryPath(_) => "telemetry_path",
            Self::WebConfig(..) => "web_config_file",
        }
    }
}

impl Settings {
    /// Binds every address.
    pub fn open(&self) -> Result<Server, Error> {
        self.check_values()?;
        let web_config = self.web_config()?.map(Arc::new);
        let listeners = self.listen_addresses.iter().map(|address| listen::bind(address));
        let listeners = listeners.collect::<Result<_, _>>()?;
        Ok(Server { listeners, web_config, settings: self.clone() })
    }

    /// Finds what [`Settings::open`] would refuse, without listening.
    pub fn check(&self) -> Result<(), Error> {
        self.check_values()?;
        self.listen_addresses.iter().try_for_each(|address| listen::check(address))?;
        self.web_config().map(drop)
    }

    fn check_values(&self) -> Result<(), Error> {
        if !routes::may_be_telemetry_path(&self.telemetry_path) {
            return Err(Error::TelemetryPath(self.telemetry_path.clone()));
        }
        if self.listen_addresses.is_empty() {
            return Err(Error::NoAddress);
        }
        Ok(())
    }

    fn web_config(&self) -> Result<Option<WebConfig>, Error> {
        let open = |file: &PathBuf| {
            WebConfig::open(file).map_err(|error| Error::WebConfig(file.clone(), error))
        };
        self.web_config_file.as_ref().map(open).transpose()
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts { head: self.head_timeout, answer: self.answer_timeout, idle: self.idle_timeout }
    }
}

/// A server that listens and does not answer yet.
pub struct Server {
    listeners: Vec<std::net::TcpListener>,
    web_config: Option<Arc<WebConfig>>,
    settings: Settings,
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Server").field(&self.addresses()).finish()
    }
}

impl Server {
    /// The addresses on which it listens, the ports that the system chose included.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Answers until `shutdown`, then finishes what is in flight, for as long as the grace allows.
    ///
    /// # Panics
    /// Outside a Tokio runtime with I/O and time.
    pub async fn serve(
        self,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        reload: Reload,
        shutdown: impl Future<Output = ()>,
    ) {
        let (stop, stopping) = watch::channel(false);
        let places = Places::new(self.settings.max_connections);
        let app = App::new(
            &self.settings,
            snapshot,
            reload,
            Arc::clone(&places),
            stopping.clone(),
            self.web_config.clone(),
        );
        let connections =
            Connections::new(&self.settings, Arc::new(app), places, stopping, self.web_config);
        let listeners: Vec<_> = self.listeners.into_iter().map(ready).collect();
        let mut tasks = JoinSet::new();
        tokio::select! {
            () = accept_all(&listeners, &connections, &mut tasks) => {}
            () = shutdown => {}
        }
        drop(listeners);
        stop.send_replace(true);
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.settings.grace, all).await.is_err() {
            tracing::warn!("some requests were not finished within the grace and are cut off");
        }
    }
}

fn ready(listener: std::net::TcpListener) -> TcpListener {
    TcpListener::from_std(listener).expect("the listener is non-blocking and in a runtime")
}

async fn accept_all(listeners: &[TcpListener], connections: &Connections, tasks: &mut JoinSet<()>) {
    loop {
        let (stream, client) = accept(listeners).await;
        while tasks.try_join_next().is_some() {}
        tasks.spawn(connections.serve(stream, client.ip().into()).await);
    }
}

/// The next connection of any listener. When no more can be accepted, as when every file
/// descriptor is in use, it waits a little instead of trying without end.
async fn accept(listeners: &[TcpListener]) -> (TcpStream, SocketAddr) {
    loop {
        let next = poll_fn(|context| {
            let mut all = listeners.iter().map(|listener| listener.poll_accept(context));
            all.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        match next.await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
