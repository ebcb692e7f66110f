//! Connecting to a server that is monitored: read-only, time-limited, recognisable; and what is
//! known about it.

mod access;
mod address;
mod answer;
mod authenticate;
mod backoff;
mod blockers;
mod connector;
mod credentials;
mod dial;
mod extension;
mod fault;
mod host;
mod leadership;
mod methods;
mod pooler;
mod reduced;
mod relay;
mod remedy;
mod secret;
mod session;
mod session_failure;
mod sessions;
mod settings;
mod startup;
mod target;
mod tls;
mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use sqlx::Executor as _;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tracing::{info, warn};

use crate::files;
use crate::latency::LogCounts;
use poolwatch_client::report::ConnectionTarget;
use poolwatch_client::{AcquireError, Checkout, SharedPool};

use access::SEND_AS_STORED;
pub use access::{Access, Texts};
pub(crate) use address::Address;
pub use address::AddressError;
pub(crate) use answer::{
    causes, database_refusal, explain, has_undecodable_text, in_words, is_undecodable, text, texts,
};
pub(crate) use blockers::blocker_columns;
pub use blockers::{OPTIONAL_OF_BLOCKERS, age, blocker};
pub(crate) use connector::Connector;
pub use connector::{ConnectError, DialError};
pub(crate) use credentials::Credentials;
pub use credentials::PasswordCommand;
pub use extension::{Extension, ExtensionError};
pub use leadership::LEADER_KEY;
use leadership::Leadership;
pub(crate) use leadership::resting;
pub use pooler::{FIRST_STATEMENT, Pooler};
pub use reduced::{Optional, Reduced, ReducibleStatement, Reductions};
pub(crate) use remedy::remedy;
pub use secret::Secret;
pub(crate) use session_failure::session_failure;
pub use sessions::{SessionGroup, SessionsError, SessionsSample};
pub use settings::{Error, Settings};
pub(crate) use target::{Target, connection_targets};

/// poolwatch's `application_name` on the server, by which its own sessions are
/// left out of what it counts.
pub const APPLICATION_NAME: &str = "poolwatch";

/// The newest major version that is tested.
pub const NEWEST: u32 = 19;

/// The default timeout of a command that prints a password.
pub(crate) const PASSWORD_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// The default age up to which its answer is used: RDS tokens, the shortest-lived, hold for 15
/// minutes.
pub(crate) const PASSWORD_MAX_AGE: Duration = Duration::from_mins(5);

/// The most connections poolwatch opens to one database.
pub const CONNECTIONS: u32 = 2;

/// A session of this age in a database that is only visited gets no further statement.
const VISIT_SESSION: Duration = Duration::from_millis(500);

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

/// The major version of the server behind a connection, such as 15; 0 where it does not say.
pub(crate) fn major_version(connection: &Checkout) -> u32 {
    connection.server_version_num().unwrap_or(0) / 10_000
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
    log_counts: LogCounts,
    /// True when the server is to send texts as they are stored.
    as_stored: AtomicBool,
    /// Other names of the server, under which pools may report it.
    aliases: Vec<ConnectionTarget>,
    system_identifier: StdMutex<Option<Arc<str>>>,
    /// Present where only one of several poolwatches is to read the server.
    leadership: Option<Arc<Leadership>>,
}

impl Database {
    fn new(
        name: &str,
        access: Access,
        read_timeout: Duration,
        aliases: Vec<ConnectionTarget>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            pool: access.pool(CONNECTIONS, None),
            access,
            version: AtomicU32::new(0),
            read_timeout,
            lane: Semaphore::new(1),
            sessions: Mutex::default(),
            log_counts: LogCounts::default(),
            as_stored: AtomicBool::new(false),
            aliases,
            system_identifier: StdMutex::default(),
            leadership: None,
        }
    }

    /// The same, read only while it is this poolwatch that leads. One that leads at the same place
    /// already, with other settings, hands its leadership over.
    fn with_leader_election(mut self, resting: Duration, running: &[&Self]) -> Self {
        let target = self.access.connector.target();
        let mut same =
            running.iter().filter(|other| target.is_same_place(other.access.connector.target()));
        let leadership = same.find_map(|other| other.leadership.clone());
        self.leadership = Some(leadership.unwrap_or_default());
        self.pool = self.pool.on_connect(leadership::on_connect(resting));
        self
    }

    /// Returns true if they share one part in the election of a leader.
    pub fn shares_leadership(&self, other: &Self) -> bool {
        let leaderships = self.leadership.as_ref().zip(other.leadership.as_ref());
        leaderships.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Gives the leadership up, so that another may lead at once.
    pub async fn release_leadership(&self) {
        if let Some(leadership) = &self.leadership {
            leadership.release().await;
        }
    }

    /// The name in the settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The role and the address, such as `poolwatch@localhost:5432/app`.
    pub fn address(&self) -> String {
        let target = self.access.connector.target();
        format!("{}@{}/{}", target.user, target.place(), target.database)
    }

    /// The database of that address.
    pub fn datname(&self) -> &str {
        &self.access.connector.target().database
    }

    /// The servers, the database and the role, in the form in which pools report them.
    pub fn targets(&self) -> Vec<ConnectionTarget> {
        self.access.connector.target().connection_targets()
    }

    /// The hosts and ports of the server, each once: those of its address in their order, by the
    /// first of which the server is named, and its aliases.
    pub fn places(&self) -> Vec<ConnectionTarget> {
        let mut places = Vec::new();
        for place in self.targets().iter().chain(&self.aliases).map(ConnectionTarget::server) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// The identifier that a server shares with its replicas only, when it was ever read.
    pub fn system_identifier(&self) -> Option<Arc<str>> {
        self.system_identifier.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in the identifier of the server that answers.
    pub fn identified(&self, identifier: &str) {
        let mut known = self.system_identifier.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() != Some(identifier) {
            *known = Some(identifier.into());
        }
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

    /// One connection to another database of the same server, for whoever closes it again. Its
    /// session ends within five seconds, and another takes its place: for so long `DROP DATABASE` waits
    /// for sessions, and lets in no new one.
    pub fn other_database(&self, database: &str, texts: Texts) -> SharedPool {
        let pool = self.access.other_database(database, texts).pool(1, Some(VISIT_SESSION));
        match &self.leadership {
            Some(_) => pool.on_connect(leadership::on_connect(leadership::resting(VISIT_SESSION))),
            None => pool,
        }
    }

    /// Checks that the server behind a pooler answers, and leaves nothing behind there.
    pub async fn ask_through(&self) -> Result<(), ConnectError> {
        pooler::ask_through(&self.access.connector, &self.access.options).await
    }

    /// Opens every connection that poolwatch may have and does not have yet, so that it can still
    /// read when the server refuses everyone else. Meant for a caller that holds one itself.
    pub async fn keep_place(&self) {
        if self.lacks_connections() {
            // Without it poolwatch still reads, over the connection that it has.
            let _ = self.acquire().await;
        }
    }

    /// The same for a caller that holds none.
    pub async fn keep_places(&self) {
        if self.lacks_connections()
            && let Ok(_held) = self.acquire().await
        {
            self.keep_place().await;
        }
    }

    fn lacks_connections(&self) -> bool {
        let figures = self.pool.reading().figures;
        let open = figures.checked_in.unwrap_or(0) + figures.checked_out.unwrap_or(0);
        open < u64::from(CONNECTIONS)
    }

    /// Returns true while this poolwatch is the leader of the server; `None` where none is elected.
    pub fn leads(&self) -> Option<bool> {
        self.leadership.as_ref().map(|leadership| leadership.is_held())
    }

    /// Remains the leader or tries to become it. Returns the latency of the server's answer; `None`
    /// while another poolwatch leads.
    pub async fn lead(&self) -> Result<Option<Duration>, AcquireError> {
        match &self.leadership {
            Some(leadership) => leadership.renew(&self.access).await,
            None => Ok(None),
        }
    }

    /// Closes every connection but that of the leader; others are opened when they are asked for.
    pub async fn close_connections(&self) {
        self.pool.dispose().await;
    }

    /// Waits for the turn of slow readings, which go one at a time, so that a connection is left
    /// for the fast ones.
    pub async fn slow_lane(&self) -> SemaphorePermit<'_> {
        self.lane.acquire().await.expect("the lane is never closed")
    }

    /// The counts of its log, for whoever reads the statistics of the same statements.
    pub fn log_counts(&self) -> &LogCounts {
        &self.log_counts
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
