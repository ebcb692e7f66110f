//! The views of the admin console, over one connection.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;

use super::ConsoleError;
use super::clients::Clients;
use super::table::{self, ConsoleTable};
use crate::process::Usage;

/// A connection, the version, and the last answer of the slow views.
pub(super) struct Console {
    pub(super) connection: PgConnection,
    pub(super) version: ConsoleTable,
    pub(super) slow_views: Option<(Instant, SlowViews)>,
}

/// The views with a row for each client or user, which are read less often.
#[derive(Clone, Default)]
pub(super) struct SlowViews {
    pub(super) users: ConsoleTable,
    pub(super) clients: Option<Clients>,
}

/// The views that a reading is made of.
#[derive(Default)]
pub(super) struct Views {
    pub(super) version: ConsoleTable,
    pub(super) pools: ConsoleTable,
    pub(super) databases: ConsoleTable,
    pub(super) totals: ConsoleTable,
    pub(super) lists: ConsoleTable,
    pub(super) config: ConsoleTable,
    pub(super) state: ConsoleTable,
    pub(super) slow: SlowViews,
    pub(super) usage: Option<Usage>,
}

/// The greatest age of the slow views, and of the figures about the process.
pub(super) const SLOW_VIEWS_MAX_AGE: Duration = Duration::from_secs(15);

impl Console {
    pub(super) async fn views(&mut self, count_clients: bool) -> Result<Views, ConsoleError> {
        Ok(Views {
            pools: self.show("POOLS", "SHOW POOLS").await?,
            databases: self.show("DATABASES", "SHOW DATABASES").await?,
            totals: self.show("STATS_TOTALS", "SHOW STATS_TOTALS").await?,
            lists: self.show("LISTS", "SHOW LISTS").await?,
            config: self.show("CONFIG", "SHOW CONFIG").await?,
            state: self.state().await?,
            version: self.version.clone(),
            slow: self.slow_views(count_clients).await?,
            usage: None,
        })
    }

    /// Nothing before 1.19, which has no such view; nor where it is refused, for the other figures
    /// do not need it.
    async fn state(&mut self) -> Result<ConsoleTable, ConsoleError> {
        if minor(&self.version).is_none_or(|minor| minor < 19) {
            return Ok(ConsoleTable::default());
        }
        match self.show("STATE", "SHOW STATE").await {
            Err(ConsoleError::Show { source: sqlx::Error::Database(_), .. }) => {
                Ok(ConsoleTable::default())
            }
            other => other,
        }
    }

    async fn slow_views(&mut self, count_clients: bool) -> Result<SlowViews, ConsoleError> {
        if let Some((at, slow_views)) = &self.slow_views
            && at.elapsed() < SLOW_VIEWS_MAX_AGE
        {
            return Ok(slow_views.clone());
        }
        let users = self.show("USERS", "SHOW USERS").await?;
        let clients = if count_clients { Some(self.clients().await?) } else { None };
        let slow_views = SlowViews { users, clients };
        self.slow_views = Some((Instant::now(), slow_views.clone()));
        Ok(slow_views)
    }

    async fn show(
        &mut self,
        view: &'static str,
        statement: &'static str,
    ) -> Result<ConsoleTable, ConsoleError> {
        let table = ask(&mut self.connection, statement).await;
        table.map_err(|source| ConsoleError::Show { view, source })
    }

    /// Counts clients as they come, for there may be ten thousand.
    async fn clients(&mut self) -> Result<Clients, ConsoleError> {
        let failed = |source| ConsoleError::Show { view: "CLIENTS", source };
        let mut clients = Clients::default();
        let mut rows = sqlx::raw_sql("SHOW CLIENTS").fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            clients.count(|column| table::named(&row, column));
        }
        Ok(clients)
    }
}

pub(super) async fn ask(
    connection: &mut PgConnection,
    statement: &'static str,
) -> sqlx::Result<ConsoleTable> {
    let rows = sqlx::raw_sql(statement).fetch_all(connection).await?;
    Ok(ConsoleTable::from_rows(&rows))
}

/// The 26 of 1.26.1.
pub(super) fn minor(version: &ConsoleTable) -> Option<u32> {
    let version = version.rows().next()?.text("version")?;
    let mut numbers = version.rsplit(' ').next()?.split('.').map(str::parse);
    match (numbers.next()?.ok()?, numbers.next()?.ok()?) {
        (1, minor) => Some(minor),
        (0, _) => None,
        _ => Some(u32::MAX),
    }
}
