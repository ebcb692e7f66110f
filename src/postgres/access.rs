//! Opening sessions on one database.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::pooler::{Direct, NotDirect};
use super::session::Purpose;
use super::{APPLICATION_NAME, ConnectError, Connector};
use crate::reading::MaxOverflow;
use poolwatch_client::{AcquireError, Connect, PoolSettings, SharedPool};

/// The longest that a statement may take in a database that is only visited.
const VISIT_STATEMENT: Duration = Duration::from_secs(4);

/// Has the server send texts as they are stored, where names of other databases or roles are not in
/// the encoding of the one that is asked.
pub(super) const SEND_AS_STORED: &str = "SET client_encoding = SQL_ASCII";

/// Opens sessions on one database, straight to the server.
#[derive(Clone)]
pub struct Access {
    pub(super) connector: Arc<Connector>,
    pub(super) options: PgConnectOptions,
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
    pub(super) fn new(connector: Connector, purpose: Purpose, timeout: Duration) -> Self {
        let options = connector.options();
        let connector = Arc::new(connector);
        let direct = Arc::new(Direct::new(&connector, &options));
        Self { connector, options, direct, purpose, texts: Texts::default(), timeout }
    }

    /// The same for another database of the server.
    pub(super) fn other_database(&self, database: &str, texts: Texts) -> Self {
        let options = self.options.clone().database(database);
        let direct = Arc::new(Direct::new(&self.connector, &options));
        let purpose = self.purpose.at_most(VISIT_STATEMENT);
        Self { options, direct, purpose, texts, ..self.clone() }
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

    /// A pool whose sessions are closed to be renewed when they are so old. Those of the databases in
    /// the settings never are: one may not be had again when it is needed most.
    pub(super) fn pool(&self, size: u32, recycle: Option<Duration>) -> SharedPool {
        let settings = PoolSettings {
            size,
            max_overflow: MaxOverflow::Limited(0),
            recycle,
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

impl From<ConnectError> for AcquireError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused(error) => Self::Connect(error),
            ConnectError::Dial(error) => Self::Unreachable(error),
        }
    }
}
