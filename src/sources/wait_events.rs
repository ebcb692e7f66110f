//! What active sessions wait for: looked at each second and added up, as average active sessions.
//!
//! A session that waits for nothing is on a CPU, or waits for one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Executor, Row};
use tokio::time::{Instant, timeout};

use super::Failure;
use super::collector::Error;
use crate::collectors::{OTHER, Table, WAIT_EVENTS};
use crate::metric::Family;
use crate::postgres::{APPLICATION_NAME, Database};
use crate::reading::Reading;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// A look speaks for no longer than this, whatever was missed.
const LONGEST: Duration = Duration::from_secs(10);
/// More kinds than any version has; what an extension adds beyond them is one kind.
const KINDS: usize = 300;

const SQL: &str = "
SELECT coalesce(wait_event_type, 'CPU'), coalesce(wait_event, 'CPU'), count(*)
  FROM pg_stat_get_activity(NULL)
 WHERE state = 'active' AND application_name <> $1
   AND backend_type IN ('client backend', 'parallel worker')
 GROUP BY 1, 2";

/// Looks at one server's sessions.
#[derive(Debug)]
pub struct WaitEvents {
    database: Arc<Database>,
    sums: Sums,
    last: Option<Instant>,
}

/// Seconds by kind of wait.
#[derive(Debug, Default)]
struct Sums {
    seconds: BTreeMap<(String, String), f64>,
    summed: u64,
}

impl WaitEvents {
    /// Looks at the sessions of this database's server.
    pub fn open(database: Arc<Database>) -> Self {
        Self { database, sums: Sums::default(), last: None }
    }

    /// Looks once.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let looked = timeout(PATIENCE, self.look()).await;
        let seen = looked.map_err(|_| Error::Slow(PATIENCE.as_secs()))??;
        let now = Instant::now();
        let since = self.last.replace(now).map_or(Duration::ZERO, |last| now - last);
        self.sums.add(&seen, since.min(LONGEST));
        let families = vec![self.sums.family(&WAIT_EVENTS.tables[0])];
        Ok(Reading { families, summed: self.sums.summed, ..Reading::default() })
    }

    async fn look(&self) -> Result<Vec<(String, String, i64)>, Failure> {
        let mut connection = self.database.acquire().await?;
        let rows = connection.fetch_all(sqlx::query(SQL).bind(APPLICATION_NAME)).await;
        let rows = rows.map_err(Error::from)?;
        let read = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
        Ok(read.collect::<Result<_, sqlx::Error>>().map_err(Error::from)?)
    }
}

impl Sums {
    fn add(&mut self, seen: &[(String, String, i64)], time: Duration) {
        for (kind, event, sessions) in seen {
            let mut key = (kind.clone(), event.clone());
            if self.seconds.len() >= KINDS && !self.seconds.contains_key(&key) {
                self.summed += 1;
                key = (OTHER.to_owned(), OTHER.to_owned());
            }
            *self.seconds.entry(key).or_default() += time.as_secs_f64() * *sessions as f64;
        }
    }

    fn family(&self, table: &Table) -> Family {
        let column = &table.columns[0];
        let mut family = Family::counter(table.family(column), column.help);
        for ((kind, event), seconds) in &self.seconds {
            family.sample(&[("wait_event_type", kind), ("wait_event", event)], *seconds);
        }
        family
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_that_of_every_session() {
        let mut sums = Sums::default();
        let seen = [("Lock".to_owned(), "relation".to_owned(), 3)];
        sums.add(&seen, Duration::from_secs(2));
        sums.add(&seen, Duration::from_secs(1));
        let known = sums.seconds[&("Lock".to_owned(), "relation".to_owned())];
        assert!((known - 9.0).abs() < 1e-9);
    }

    #[test]
    fn kinds_are_bounded() {
        let mut sums = Sums::default();
        for event in 0..2 * KINDS {
            sums.add(&[("Extension".to_owned(), event.to_string(), 1)], LONGEST);
        }
        assert_eq!(sums.family(&WAIT_EVENTS.tables[0]).len(), KINDS + 1);
    }
}
