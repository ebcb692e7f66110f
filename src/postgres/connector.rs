//! Connections for the driver: opened and logged in by poolwatch, then handed to it through the
//! relay.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::backoff::{Backoff, Registry, SERVER};
use super::credentials::Credentials;
use super::dial::{self, Ready};
use super::fault::Fault;
use super::host::Host;
use super::relay::{self, LocalSocket};
use super::startup;
use super::target::{Target, TargetServer};
use super::wire::{self, ServerError};
use super::{APPLICATION_NAME, Secret};

static BACKOFFS: Registry<SharedFailure> = Registry(LazyLock::new(|| Mutex::new(HashMap::new())));

/// The SQLSTATE by which a server says that it cannot send texts as UTF-8.
const NOT_SUPPORTED: &str = "0A000";

/// The reason why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server refuses.
    #[error(transparent)]
    Refused(sqlx::Error),
    /// No server could be had.
    #[error(transparent)]
    Dial(Arc<DialError>),
}

/// The places that were tried, each with its fault.
#[derive(Debug)]
pub struct DialError(Vec<(String, Fault)>);

impl std::error::Error for DialError {}

impl DialError {
    /// Each place that was tried, with its fault.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&str, &Fault)> {
        self.0.iter().map(|(place, fault)| (place.as_str(), fault))
    }

    /// True when another attempt costs nobody anything.
    fn is_cheap(&self) -> bool {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        self.0.iter().all(|(_, fault)| match fault {
            Fault::Io(error) => matches!(error.kind(), ConnectionRefused | NotFound),
            Fault::Credentials(_) => true,
            _ => false,
        })
    }
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (place, fault)) in self.0.iter().enumerate() {
            let begin = if at == 0 { "cannot connect to" } else { "; to" };
            write!(f, "{begin} {place}: {fault}")?;
            let mut cause = std::error::Error::source(fault);
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

/// A failure that several callers may share.
#[derive(Clone, Debug)]
enum SharedFailure {
    Refused(Arc<ServerError>),
    Dial(Arc<DialError>),
}

/// Opens connections to one server.
pub(crate) struct Connector {
    target: Target,
    credentials: Credentials,
    timeout: Duration,
    backoff: Arc<Backoff<SharedFailure>>,
    /// Databases whose texts the server cannot convert to UTF-8.
    unconverted: Mutex<HashSet<String>>,
    /// Set if the last session was one of the server's own, and no pooler's.
    is_direct: AtomicBool,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({} as {})", self.target.place(), self.target.user)
    }
}

impl Connector {
    /// All attempts of one connect together may take `timeout`.
    pub(crate) fn new(target: Target, credentials: Credentials, timeout: Duration) -> Self {
        let backoff = BACKOFFS.entry(&format!("{} {}", target.place(), target.user));
        let (unconverted, is_direct) = (Mutex::default(), AtomicBool::new(false));
        Self { target, credentials, timeout, backoff, unconverted, is_direct }
    }

    /// Takes in whether a session was one of the server's own. Only then do the next ones begin
    /// with poolwatch's name.
    pub(crate) fn proved_direct(&self, is_direct: bool) {
        self.is_direct.store(is_direct, Ordering::Relaxed);
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The driver's options of a session, to which more may be added. Where the server is and
    /// how it is reached is none of its business.
    pub(crate) fn options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .username(&self.target.user)
            .database(&self.target.database)
            .password("")
            .ssl_mode(PgSslMode::Disable)
            .extra_float_digits(None);
        options.disable_statement_logging()
    }

    /// A session of the driver with these options.
    pub(crate) async fn connect(
        &self,
        options: &PgConnectOptions,
    ) -> Result<PgConnection, ConnectError> {
        let local = LocalSocket::new().map_err(local_error)?;
        let options = options.clone().socket(&local.folder).port(5432).ssl_mode(PgSslMode::Disable);
        let database = options.get_database().unwrap_or(&self.target.database).to_owned();
        let (driver, relayed) = tokio::join!(options.connect(), self.serve(&local, &database));
        match (driver, relayed) {
            (_, Err(error)) => {
                // What comes back there may be another.
                self.proved_direct(false);
                Err(ConnectError::Dial(error))
            }
            (driver, Ok(())) => driver.map_err(ConnectError::Refused),
        }
    }

    /// The server's end of what the driver asks.
    async fn serve(&self, local: &LocalSocket, database: &str) -> Result<(), Arc<DialError>> {
        let failed = |error| Arc::new(DialError(vec![("itself".into(), Fault::Local(error))]));
        let (mut driver, startup) = local.accept().await.map_err(failed)?;
        // In a pooler's sessions it would stay.
        let name = self.is_direct.load(Ordering::Relaxed).then_some(APPLICATION_NAME);
        let startup = startup::named(&startup, name).map_err(failed)?;
        let startup = match &self.target.options {
            Some(options) => startup::with_options(&startup, options).map_err(failed)?,
            None => startup,
        };
        match self.converted_session(&startup, database).await {
            Ok(ready) => {
                // Content without more: the login is done.
                let mut greeting = wire::message(b'R', &[0, 0, 0, 0]).to_vec();
                greeting.extend_from_slice(&ready.greeting);
                driver.write_all(&greeting).await.map_err(failed)?;
                tokio::spawn(relay::run(driver, ready));
                Ok(())
            }
            Err(SharedFailure::Refused(error)) => {
                driver.write_all(&error.bytes).await.map_err(failed)
            }
            Err(SharedFailure::Dial(error)) => Err(error),
        }
    }

    /// A session whose texts come as UTF-8; as they are stored where the server knows no way to
    /// convert those of this database.
    async fn converted_session(
        &self,
        startup: &[u8],
        database: &str,
    ) -> Result<Ready, SharedFailure> {
        let unconverted = || self.unconverted.lock().unwrap_or_else(PoisonError::into_inner);
        if !unconverted().contains(database) {
            match self.session(startup, database).await {
                Err(SharedFailure::Refused(error)) if error.sqlstate == NOT_SUPPORTED => {}
                other => return other,
            }
        }
        let failed = |error| Arc::new(DialError(vec![("itself".into(), Fault::Local(error))]));
        let startup = startup::as_stored(startup).map_err(failed).map_err(SharedFailure::Dial)?;
        let ready = self.session(&startup, database).await?;
        unconverted().insert(database.to_owned());
        Ok(ready)
    }

    /// A session of the server, or why there is none, perhaps that of a moment ago.
    async fn session(&self, startup: &[u8], database: &str) -> Result<Ready, SharedFailure> {
        let deadline = Instant::now() + self.timeout;
        let turn = tokio::time::timeout_at(deadline, self.backoff.turn.lock()).await;
        let Ok(_turn) = turn else {
            let place = self.target.place();
            let fault = Fault::Timeout(self.timeout);
            return Err(SharedFailure::Dial(Arc::new(DialError(vec![(place, fault)]))));
        };
        // Another question may well be answered.
        let question = String::from_utf8_lossy(startup);
        let mut is_renewed = false;
        loop {
            let (result, password) = self.try_all(startup, database, deadline).await;
            let failure = match result {
                Ok(ready) => {
                    self.backoff.succeeded(&question);
                    return Ok(ready);
                }
                Err(Attempted::Recent(failure)) => return Err(failure),
                Err(Attempted::Login(error)) => {
                    if !is_renewed && self.credentials.may_renew(password.as_ref()) {
                        is_renewed = true;
                        continue;
                    }
                    let failure = SharedFailure::Refused(Arc::new(error));
                    self.backoff.refused(password.as_ref(), failure.clone());
                    failure
                }
                Err(Attempted::Refused(error)) => SharedFailure::Refused(Arc::new(error)),
                Err(Attempted::Faults(faults)) => SharedFailure::Dial(Arc::new(DialError(faults))),
            };
            match &failure {
                SharedFailure::Refused(_) => self.backoff.failed(&question, failure.clone()),
                SharedFailure::Dial(error) if error.is_cheap() => {}
                SharedFailure::Dial(_) => self.backoff.failed(SERVER, failure.clone()),
            }
            return Err(failure);
        }
    }

    /// Every server that will do, in order, and the password that was used last.
    async fn try_all(
        &self,
        startup: &[u8],
        database: &str,
        deadline: Instant,
    ) -> (Result<Ready, Attempted>, Option<Secret>) {
        let mut last = None;
        let mut faults = Vec::new();
        let passes: &[TargetServer] = match self.target.wanted {
            TargetServer::PreferStandby => &[TargetServer::Standby, TargetServer::Any],
            _ => &[self.target.wanted],
        };
        for wanted in passes {
            let target = Target { wanted: *wanted, ..self.target.clone() };
            let hosts = ordered_hosts(&target);
            for (at, host) in hosts.iter().enumerate() {
                let password = self.credentials.password(host, database, &target.user).await;
                let password = match password {
                    Ok(password) => password,
                    Err(error) => {
                        faults.push((host.to_string(), error.into()));
                        continue;
                    }
                };
                if let Some(failure) =
                    self.backoff.holds(&String::from_utf8_lossy(startup), password.as_ref())
                {
                    return (Err(Attempted::Recent(failure)), password);
                }
                let share = share(deadline, hosts.len() - at);
                let tried = try_host(&target, host, startup, password.as_ref(), share, &mut faults);
                match tried.await {
                    Some(Err(outcome)) => return (Err(outcome), password),
                    Some(Ok(ready)) => return (Ok(ready), password),
                    None => last = password,
                }
            }
        }
        (Err(Attempted::Faults(faults)), last)
    }
}

/// The outcome of an attempt that gave no session.
enum Attempted {
    /// The failure of an attempt a moment ago.
    Recent(SharedFailure),
    /// The server refuses the password.
    Login(ServerError),
    /// The server refuses something else.
    Refused(ServerError),
    /// No server will do.
    Faults(Vec<(String, Fault)>),
}

/// Tries each address of a host; `None` when another host may be tried.
async fn try_host(
    target: &Target,
    host: &Host,
    startup: &[u8],
    password: Option<&Secret>,
    deadline: Instant,
    faults: &mut Vec<(String, Fault)>,
) -> Option<Result<Ready, Attempted>> {
    let places = match tokio::time::timeout_at(deadline, dial::resolve(host)).await {
        Ok(Ok(places)) => places,
        Ok(Err(fault)) => {
            faults.push((host.to_string(), fault));
            return None;
        }
        Err(_) => {
            let slow = std::io::Error::from(std::io::ErrorKind::TimedOut);
            faults.push((host.to_string(), Fault::Resolve(slow)));
            return None;
        }
    };
    for (at, place) in places.iter().enumerate() {
        let share = share(deadline, places.len() - at);
        match dial::attempt(target, host, place, startup, password, share).await {
            Ok(ready) => return Some(Ok(ready)),
            Err(Fault::Refused { error, has_answered: true }) => {
                return Some(Err(Attempted::Login(error)));
            }
            // Another may be ready where this one is not.
            Err(fault @ Fault::Refused { .. }) if is_starting(&fault) && target.hosts.len() > 1 => {
                faults.push((host.to_string(), fault));
            }
            Err(Fault::Refused { error, .. }) => return Some(Err(Attempted::Refused(error))),
            Err(fault) => faults.push((host.to_string(), fault)),
        }
    }
    None
}

fn is_starting(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused { error, .. } if error.sqlstate == "57P03")
}

/// Divides the time that is left into equal parts.
fn share(deadline: Instant, parts: usize) -> Instant {
    let now = Instant::now();
    let parts = u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
    now + deadline.saturating_duration_since(now) / parts
}

/// In the order of the settings, or by chance where `load_balance_hosts` says so.
fn ordered_hosts(target: &Target) -> Vec<Host> {
    let mut hosts = target.hosts.clone();
    if target.shuffle {
        let random = RandomState::new();
        hosts.sort_by_cached_key(|host| {
            let mut hasher = random.build_hasher();
            hasher.write(host.to_string().as_bytes());
            hasher.finish()
        });
    }
    hosts
}

fn local_error(error: std::io::Error) -> ConnectError {
    ConnectError::Dial(Arc::new(DialError(vec![("itself".into(), Fault::Local(error))])))
}
