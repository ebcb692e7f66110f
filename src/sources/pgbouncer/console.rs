//! The views of the admin console, over one connection.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;

use super::Fault;
use super::clients::Clients;
use super::table::{self, Table};
use crate::process::Usage;

/// A connection, and what is asked for once or seldom.
pub(super) struct Console {
    pub(super) connection: PgConnection,
    pub(super) version: Table,
    pub(super) seldom: Option<(Instant, Seldom)>,
}

/// What has a row for each client or user, and is of no hurry.
#[derive(Clone, Default)]
pub(super) struct Seldom {
    pub(super) users: Table,
    pub(super) clients: Option<Clients>,
}

/// The views that a reading is made of.
#[derive(Default)]
pub(super) struct Views {
    pub(super) version: Table,
    pub(super) pools: Table,
    pub(super) databases: Table,
    pub(super) totals: Table,
    pub(super) lists: Table,
    pub(super) config: Table,
    pub(super) state: Table,
    pub(super) seldom: Seldom,
    pub(super) usage: Option<Usage>,
}

/// How old the counts of clients, what is known of users and what the process uses may be.
pub(super) const SELDOM: Duration = Duration::from_secs(15);

impl Console {
    pub(super) async fn views(&mut self, count_clients: bool) -> Result<Views, Fault> {
        Ok(Views {
            pools: self.show("POOLS", "SHOW POOLS").await?,
            databases: self.show("DATABASES", "SHOW DATABASES").await?,
            totals: self.show("STATS_TOTALS", "SHOW STATS_TOTALS").await?,
            lists: self.show("LISTS", "SHOW LISTS").await?,
            config: self.show("CONFIG", "SHOW CONFIG").await?,
            state: self.state().await?,
            version: self.version.clone(),
            seldom: self.seldom(count_clients).await?,
            usage: None,
        })
    }

    /// Nothing before 1.19, which has no such view; nor where it is refused, for the other figures
    /// do not need it.
    async fn state(&mut self) -> Result<Table, Fault> {
        if minor(&self.version).is_none_or(|minor| minor < 19) {
            return Ok(Table::default());
        }
        match self.show("STATE", "SHOW STATE").await {
            Err(Fault::Show { source: sqlx::Error::Database(_), .. }) => Ok(Table::default()),
            other => other,
        }
    }

    async fn seldom(&mut self, count_clients: bool) -> Result<Seldom, Fault> {
        if let Some((at, seldom)) = &self.seldom
            && at.elapsed() < SELDOM
        {
            return Ok(seldom.clone());
        }
        let users = self.show("USERS", "SHOW USERS").await?;
        let clients = if count_clients { Some(self.clients().await?) } else { None };
        let seldom = Seldom { users, clients };
        self.seldom = Some((Instant::now(), seldom.clone()));
        Ok(seldom)
    }

    async fn show(&mut self, view: &'static str, statement: &'static str) -> Result<Table, Fault> {
        let table = ask(&mut self.connection, statement).await;
        table.map_err(|source| Fault::Show { view, source })
    }

    /// Counts clients as they come, for there may be ten thousand.
    async fn clients(&mut self) -> Result<Clients, Fault> {
        let failed = |source| Fault::Show { view: "CLIENTS", source };
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
) -> sqlx::Result<Table> {
    let rows = sqlx::raw_sql(statement).fetch_all(connection).await?;
    Ok(Table::of(&rows))
}

/// The 26 of 1.26.1.
pub(super) fn minor(version: &Table) -> Option<u32> {
    let version = version.rows().next()?.text("version")?;
    let mut numbers = version.rsplit(' ').next()?.split('.').map(str::parse);
    match (numbers.next()?.ok()?, numbers.next()?.ok()?) {
        (1, minor) => Some(minor),
        (0, _) => None,
        _ => Some(u32::MAX),
    }
}
