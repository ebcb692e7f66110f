//! Connecting to a server that is monitored: read-only, time-limited, recognisable; and what is
//! known about it.

mod address;
mod answer;
mod authenticate;
mod backoff;
mod connector;
mod credentials;
mod dial;
mod extension;
mod fault;
mod host;
mod methods;
mod pooler;
mod reduced;
mod relay;
mod remedy;
mod session;
mod sessions;
mod startup;
mod target;
mod tls;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_core::future::BoxFuture;
use serde::Deserialize;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tracing::{info, warn};

use crate::files;
use crate::reading::MaxOverflow;
use poolwatch_client::{AcquireError, Checkout, Connect, PoolSettings, SharedPool};

pub(crate) use address::Address;
pub use address::AddressError;
pub(crate) use answer::{
    causes, explain, has_undecodable_text, in_words, is_undecodable, text, texts,
};
pub(crate) use connector::Connector;
pub use connector::{ConnectError, DialError};
pub(crate) use credentials::Credentials;
pub use credentials::PasswordCommand;
pub use extension::{Extension, ExtensionError};
use pooler::{Direct, NotDirect};
pub use pooler::{FIRST_STATEMENT, Pooler};
pub use reduced::{Optional, Reduced, ReducibleStatement, Reductions};
pub(crate) use remedy::remedy;
use session::Purpose;
pub use sessions::{SessionGroup, SessionsError, SessionsSample};
pub(crate) use target::Target;

/// poolwatch's `application_name` on the server, by which its own sessions are
/// left out of what it counts.
pub const APPLICATION_NAME: &str = "poolwatch";

/// Has the server send texts as they are stored, where names of other databases or roles are not in
/// the encoding of the one that is asked.
const SEND_AS_STORED: &str = "SET client_encoding = SQL_ASCII";

/// The newest major version that is tested.
pub const NEWEST: u32 = 19;

/// The default timeout of a command that prints a password.
pub(crate) const PASSWORD_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// The default age up to which its answer is used: RDS tokens, the shortest-lived, hold for 15
/// minutes.
pub(crate) const PASSWORD_MAX_AGE: Duration = Duration::from_mins(5);

/// The most connections poolwatch opens to one database.
pub const CONNECTIONS: u32 = 2;

/// A connection string, which may hold a password: it has no readable `Debug`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<ConnectError> for AcquireError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused(error) => Self::Connect(error),
            ConnectError::Dial(error) => Self::Unreachable(error),
        }
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<hidden>")
    }
}

/// One database as the operator names it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The address: a URL (`postgresql://user@host/db`) or libpq's `key=value` form.
    pub url: Secret,
    /// A file that holds the password, read at each connect.
    pub password_file: Option<PathBuf>,
    /// A command that prints the password, such as a token of a cloud.
    pub password_command: Option<PasswordCommand>,
    /// The timeout of the command.
    #[serde(with = "humantime_serde")]
    pub password_command_timeout: Duration,
    /// The age up to which the command's answer is used for further connections.
    #[serde(with = "humantime_serde")]
    pub password_max_age: Duration,
    /// The server gives up on a statement of poolwatch after this long.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// The server gives up waiting for a lock after this long.
    #[serde(with = "humantime_serde")]
    pub lock_timeout: Duration,
    /// The timeout of a connection attempt.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            password_file: None,
            password_command: None,
            password_command_timeout: PASSWORD_COMMAND_TIMEOUT,
            password_max_age: PASSWORD_MAX_AGE,
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// The reason why a database cannot be monitored as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be understood.
    #[error("servers.{name}.url: {reason}")]
    Address {
        /// The database's name in the settings.
        name: String,
        /// The error, without the address, which may hold a password.
        reason: AddressError,
    },
    /// The password file cannot be read.
    #[error("servers.{name}.password_file: cannot read {path}: {reason}")]
    PasswordFile {
        /// The database's name in the settings.
        name: String,
        /// The file.
        path: String,
        /// The cause.
        reason: std::io::Error,
    },
}

impl Settings {
    /// A database that can be asked; it connects when first asked.
    pub fn open(&self, name: &str) -> Result<Arc<Database>, Error> {
        let purpose = Purpose::Watch {
            statement_timeout: self.statement_timeout,
            lock_timeout: self.lock_timeout,
        };
        let access = self.access(name, purpose)?;
        Ok(Arc::new(Database {
            name: name.to_owned(),
            pool: access.pool(CONNECTIONS),
            access,
            version: AtomicU32::new(0),
            read_timeout: self.statement_timeout + Duration::from_secs(1),
            lane: Semaphore::new(1),
            sessions: Mutex::default(),
            as_stored: AtomicBool::new(false),
        }))
    }

    /// Makes its connector. A password file that cannot be read now is refused.
    fn connector(&self, name: &str) -> Result<Connector, Error> {
        let wrong = |reason| Error::Address { name: name.to_owned(), reason };
        let variables = |name: &str| std::env::var(name).ok();
        let address = Address::parse(self.url.reveal(), &variables).map_err(wrong)?;
        let target = Target::new(&address, &variables).map_err(wrong)?;
        if !address.foreign.is_empty() {
            let parameters = address.foreign.join(",");
            info!(database = %name, %parameters, "parameters that are not libpq's are not used");
        }
        let passwords = PasswordSettings {
            file: self.password_file.clone(),
            command: self.password_command.clone(),
            timeout: self.password_command_timeout,
            max_age: self.password_max_age,
        };
        let credentials = passwords.credentials(&target).map_err(|(path, reason)| {
            Error::PasswordFile { name: name.to_owned(), path, reason }
        })?;
        Ok(Connector::new(target, credentials, self.connect_timeout))
    }

    /// Makes what opens a session on it and sets it up.
    fn access(&self, name: &str, purpose: Purpose) -> Result<Access, Error> {
        let connector = Arc::new(self.connector(name)?);
        let options = connector.options();
        Ok(Access {
            direct: Arc::new(Direct::new(&connector, &options)),
            connector,
            options,
            purpose,
            texts: Texts::default(),
            timeout: self.connect_timeout,
        })
    }

    /// Makes what opens sessions that may write, for as long as it takes.
    pub fn builders(&self, name: &str) -> Result<Access, Error> {
        self.access(name, Purpose::Build)
    }
}

/// The settings of a password.
pub(crate) struct PasswordSettings {
    pub(crate) file: Option<PathBuf>,
    pub(crate) command: Option<PasswordCommand>,
    pub(crate) timeout: Duration,
    pub(crate) max_age: Duration,
}

impl PasswordSettings {
    /// Returns the sources of passwords for a target; an error is of a file that cannot be read.
    pub(crate) fn credentials(
        self,
        target: &Target,
    ) -> Result<Credentials, (String, std::io::Error)> {
        if let Some(path) = &self.file {
            files::read_blocking(path).map_err(|reason| (path.display().to_string(), reason))?;
        }
        Ok(self.unchecked(target))
    }

    /// The same; a file that cannot be read is found out when it is needed.
    pub(crate) fn unchecked(self, target: &Target) -> Credentials {
        Credentials::new(self, target)
    }
}

/// Opens sessions on one database, straight to the server.
#[derive(Clone)]
pub struct Access {
    connector: Arc<Connector>,
    options: PgConnectOptions,
    direct: Arc<Direct>,
    purpose: Purpose,
    texts: Texts,
    timeout: Duration,
}

/// The form in which the server sends texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Texts {
    /// As UTF-8, where it can convert them.
    #[default]
    Converted,
    /// As they are stored, for one of them cannot be converted.
    AsStored,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl Access {
    /// The same for another database of the server.
    fn other_database(&self, database: &str, texts: Texts) -> Self {
        let options = self.options.clone().database(database);
        let direct = Arc::new(Direct::new(&self.connector, &options));
        Self { options, direct, texts, ..self.clone() }
    }

    /// Opens a session and sets there what is relied on.
    pub async fn session(&self) -> Result<PgConnection, AcquireError> {
        let mut connection = self.direct.connect().await.map_err(|error| match error {
            NotDirect::Pooler(pooler) => AcquireError::Unsuitable(pooler.into()),
            NotDirect::Failed(error) => error.into(),
        })?;
        self.purpose.set(&mut connection).await.map_err(AcquireError::Connect)?;
        if self.texts == Texts::AsStored {
            connection.execute(SEND_AS_STORED).await.map_err(AcquireError::Connect)?;
        }
        Ok(connection)
    }

    fn pool(&self, size: u32) -> SharedPool {
        let settings = PoolSettings {
            size,
            max_overflow: MaxOverflow::Limited(0),
            // A connection closed to be renewed may not be had again when it is needed most.
            recycle: None,
            timeout: self.timeout,
            pre_ping: false,
        };
        let (options, connect) = (self.options.clone(), Box::new(self.clone()));
        SharedPool::with_connect(APPLICATION_NAME, options, settings, connect)
    }
}

impl Connect for Access {
    fn connect(&self) -> BoxFuture<'_, Result<PgConnection, AcquireError>> {
        Box::pin(self.session())
    }
}

/// The major version of a server that is newer than any that was tested, where it was another
/// before: it is logged once, and again when the server was upgraded meanwhile.
fn untested(previous: u32, version: u32) -> Option<u32> {
    let (previous, version) = (previous / 10_000, version / 10_000);
    (previous != version && version > NEWEST).then_some(version)
}

/// A database that is monitored, over at most [`CONNECTIONS`] connections.
#[derive(Debug)]
pub struct Database {
    name: String,
    access: Access,
    pool: SharedPool,
    version: AtomicU32,
    read_timeout: Duration,
    lane: Semaphore,
    sessions: Mutex<sessions::SampleCache>,
    /// True when the server is to send texts as they are stored.
    as_stored: AtomicBool,
}

impl Database {
    /// The name in the settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The role and the address, such as `poolwatch@localhost:5432/app`.
    pub fn address(&self) -> String {
        let target = self.access.connector.target();
        format!("{}@{}/{}", target.user, target.place(), target.database)
    }

    /// The connections themselves.
    pub fn pool(&self) -> &SharedPool {
        &self.pool
    }

    /// The timeout of one reading: a little longer than the server gives it.
    pub fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    /// Takes a connection.
    pub async fn acquire(&self) -> Result<Checkout, AcquireError> {
        let mut checkout = self.pool.acquire().await?;
        if self.as_stored.load(Ordering::Relaxed) {
            let set = (&mut checkout).execute(SEND_AS_STORED).await;
            set.map_err(|source| AcquireError::OnConnect {
                sql: SEND_AS_STORED.to_owned(),
                source,
            })?;
        }
        if let Some(version) = checkout.server_version_num() {
            let previous = self.version.swap(version, Ordering::Relaxed);
            if previous != version {
                let version = self.version();
                info!(server = %self.name, version, "connected");
            }
            if let Some(version) = untested(previous, version) {
                warn!(database = %self.name, version, "newer than any PostgreSQL this was tested \
                    with; what has moved since is missing");
            }
        }
        Ok(checkout)
    }

    /// From now on texts come as they are stored: the name of a database or a role may have been
    /// given in another encoding than that of the database that is asked, which then cannot send
    /// it. Says whether this is new.
    pub fn take_texts_as_stored(&self) -> bool {
        !self.as_stored.swap(true, Ordering::Relaxed)
    }

    /// One connection to another database of the same server, for whoever closes it again.
    pub fn other_database(&self, database: &str, texts: Texts) -> SharedPool {
        self.access.other_database(database, texts).pool(1)
    }

    /// Checks that the server behind a pooler answers, and leaves nothing behind there.
    pub async fn ask_through(&self) -> Result<(), ConnectError> {
        pooler::ask_through(&self.access.connector, &self.access.options).await
    }

    /// Opens every connection that poolwatch may have and does not have yet, so that it can still
    /// read when the server refuses everyone else. Meant for a caller that holds one itself.
    pub async fn keep_place(&self) {
        let figures = self.pool.reading().figures;
        let open = figures.checked_in.unwrap_or(0) + figures.checked_out.unwrap_or(0);
        if open < u64::from(CONNECTIONS) {
            // Without it poolwatch still reads, over the connection that it has.
            let _ = self.acquire().await;
        }
    }

    /// Waits for the turn of slow readings, which go one at a time, so that a connection is left
    /// for the fast ones.
    pub async fn slow_lane(&self) -> SemaphorePermit<'_> {
        self.lane.acquire().await.expect("the lane is never closed")
    }

    /// The server's version as a number such as 150004, when it was ever reached.
    pub fn version_num(&self) -> Option<u32> {
        Some(self.version.load(Ordering::Relaxed)).filter(|version| *version > 0)
    }

    /// The server's version as it is written, such as `15.4`.
    pub fn version(&self) -> Option<String> {
        self.version_num().map(|version| format!("{}.{}", version / 10_000, version % 10_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_shows_no_password() {
        let settings =
            Settings { url: "postgresql://u:s3cret@h/d".to_owned().into(), ..Settings::default() };
        let shown = format!("{settings:?} {:?}", settings.open("primary").unwrap());
        assert!(shown.contains("primary") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn a_version_that_was_never_tested_is_told_once() {
        let (newest, next) = (NEWEST * 10_000, (NEWEST + 1) * 10_000);
        assert_eq!(untested(0, next + 1), Some(NEWEST + 1));
        assert_eq!(untested(next + 1, next + 2), None, "the same, patched");
        assert_eq!(untested(newest + 4, next), Some(NEWEST + 1), "upgraded while it was watched");
        assert_eq!(untested(next, next + 10_000), Some(NEWEST + 2));
        assert_eq!(untested(0, newest + 4), None);
        assert_eq!(untested(0, 130_022), None);
    }
}
