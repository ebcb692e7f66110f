//! TLS, users, headers and a rate limit, in the format of Prometheus' exporter-toolkit.
//!
//! As there: the file is followed while the daemon runs, users and headers by each request and
//! certificates by each handshake. Broken at the start it is an error; broken later, requests get
//! 500 and handshakes fail until it is mended. Where a file hangs, what was read last holds.
//! TLS itself and the rate limit are settled at the start.

mod duration;
mod file;
mod file_cache;
mod gate;
mod lane;
mod rate;
mod tls;
mod users;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use hyper::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use tokio_rustls::rustls::ServerConfig;

use super::client::Client;
use super::response::{self, Answer};
use crate::files::{self, WORK_TIMEOUT};
use file::File;
use file_cache::FileCache;
use gate::{Admission, Gate};
use rate::RateLimit;
use users::Users;

/// Reads a file: at the start with a limit of time, so that the one that hangs is named; later as
/// long as it takes, for then what was read before holds.
type Read = fn(&Path) -> io::Result<Vec<u8>>;

/// The reason why the file cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Arc<Reason>);

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self(Arc::new(reason))
    }
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    #[error(
        "it, or a file that it names, could not be read within {} s: is it a pipe, or on a mount \
         whose server does not answer?",
        WORK_TIMEOUT.as_secs()
    )]
    Hangs,
    #[error("it is not as it should be")]
    Yaml(#[source] yaml_serde::Error),
    #[error("{0}")]
    Value(String),
    #[error("tls_server_config cannot be used")]
    Tls(#[source] tls::Error),
    #[error("tls_server_config is gone; to serve without TLS, start again")]
    NoTls,
}

/// The file, followed.
pub(super) struct WebConfig {
    path: PathBuf,
    contents: FileCache<Result<Arc<Contents>, Error>>,
    tls: Option<FileCache<Result<Arc<ServerConfig>, Error>>>,
    rate_limit: Option<RateLimit>,
    gate: Gate,
}

/// The parts of the file that a request needs.
struct Contents {
    file: File,
    headers: Vec<(HeaderName, HeaderValue)>,
    users: Users,
}

impl Contents {
    fn read(path: &Path, read: Read) -> Result<Arc<Self>, Error> {
        let text = read(path).and_then(files::text).map_err(Reason::Read)?;
        let file = File::parse(&text).map_err(Reason::Yaml)?;
        let headers = file.headers().map_err(Reason::Value)?;
        let users = Users::new(&file.basic_auth_users).map_err(Reason::Value)?;
        Ok(Arc::new(Self { file, headers, users }))
    }

    fn tls(&self, folder: &Path, read: Read) -> Result<Arc<ServerConfig>, Error> {
        let settings = &self.file.tls_server_config;
        if !settings.is_enabled() {
            return Err(Reason::NoTls.into());
        }
        let built = tls::build(settings, folder, read).map_err(Reason::Tls)?;
        if self.file.asks_for_http2() {
            tls::check_http2(settings).map_err(Reason::Tls)?;
        }
        Ok(built)
    }
}

impl WebConfig {
    /// Reads the file and everything it names, for as long as that may take.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let (send, made) = mpsc::channel();
        let owned = path.to_owned();
        thread::spawn(move || {
            // Nobody waits for what came too late.
            let _ = send.send(Self::read(owned));
        });
        made.recv_timeout(WORK_TIMEOUT).map_err(|_| Reason::Hangs)?
    }

    fn read(path: PathBuf) -> Result<Self, Error> {
        let contents = Contents::read(&path, files::read_blocking)?;
        let rate = contents.file.rate().map_err(Reason::Value)?;
        let speaks_tls = contents.file.tls_server_config.is_enabled();
        let tls =
            speaks_tls.then(|| contents.tls(folder(&path), files::read_blocking)).transpose()?;
        Ok(Self {
            path,
            contents: FileCache::new(Ok(contents)),
            tls: tls.map(|tls| FileCache::new(Ok(tls))),
            rate_limit: rate.map(|(interval, burst)| RateLimit::new(interval, burst)),
            gate: Gate::default(),
        })
    }

    /// Set if connections speak TLS, settled at the start.
    pub(super) fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The server's side of TLS for one handshake, where connections speak it.
    pub(super) async fn tls(&self) -> Result<Arc<ServerConfig>, Error> {
        let made = self.tls.as_ref().ok_or(Reason::NoTls)?;
        let contents = self.contents().await?;
        let mut files = tls::files(&contents.file.tls_server_config, folder(&self.path));
        files.push(self.path.clone());
        let path = self.path.clone();
        made.get(files, move || contents.tls(folder(&path), |path| std::fs::read(path))).await
    }

    async fn contents(&self) -> Result<Arc<Contents>, Error> {
        let path = self.path.clone();
        let read = move || Contents::read(&path, |path| std::fs::read(path));
        self.contents.get(vec![self.path.clone()], read).await
    }

    /// Answers a request if it may be answered, in the toolkit's order: the file, the rate limit,
    /// the headers (a refused user sees them, too), the user.
    pub(super) async fn guard(
        &self,
        client: Client,
        headers: &HeaderMap,
        respond: impl Future<Output = Answer>,
    ) -> Answer {
        let contents = match self.contents().await {
            Ok(contents) => contents,
            Err(error) => return broken(&error),
        };
        if self.rate_limit.as_ref().is_some_and(|limit| !limit.allows(Instant::now())) {
            return response::error(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        }
        let mut answer = match self.admission(client, &contents.users, headers).await {
            Admission::Admitted => respond.await,
            Admission::Refused => unauthorized(),
            Admission::Busy => response::busy("too many passwords are being checked"),
        };
        for (name, value) in &contents.headers {
            answer.headers_mut().insert(name, value.clone());
        }
        answer
    }

    async fn admission(&self, client: Client, users: &Users, headers: &HeaderMap) -> Admission {
        if users.is_empty() {
            return Admission::Admitted;
        }
        self.gate.admits(client, users, headers).await
    }
}

/// The folder that names in the file are relative to.
fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn unauthorized() -> Answer {
    let mut answer = response::error(StatusCode::UNAUTHORIZED, "Unauthorized");
    response::set(&mut answer, WWW_AUTHENTICATE, "Basic realm=\"poolwatch\", charset=\"UTF-8\"");
    answer
}

/// The client is not told what is wrong with the file; the log is.
fn broken(error: &Error) -> Answer {
    tracing::error!(error = error as &dyn std::error::Error, "the web configuration is broken");
    let message = "the web configuration is broken; the log says how";
    response::error(StatusCode::INTERNAL_SERVER_ERROR, message)
}
