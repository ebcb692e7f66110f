//! The probe of a server: `SELECT 1` on a connection that is held from the start.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::Failure;
use crate::postgres::{Database, Pooler};
use crate::reading::Reading;

/// The time after which a server without an answer counts as down.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// A server behind a pooler is asked no more often: it takes a new connection each time.
const POOLER_INTERVAL: Duration = Duration::from_secs(5);

/// Asks one server for the simplest answer.
#[derive(Debug)]
pub struct Probe {
    database: Arc<Database>,
    /// The time of the last query through a pooler, and its latency.
    through: Option<(Instant, Duration)>,
    /// Opens the connections of a leader that are not open yet, beside the probe: one that is slow to
    /// open is not to cost the leadership.
    keeping: Option<JoinHandle<()>>,
}

/// A lock in a pooler's session would be another client's next.
#[derive(Debug, thiserror::Error)]
#[error("no leader can be elected through a pooler, and so the server is not read: {0}")]
struct NoLeader(Pooler);

impl Probe {
    /// A probe of one database.
    pub fn open(database: Arc<Database>) -> Self {
        Self { database, through: None, keeping: None }
    }

    /// Asks once.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        if self.database.leads().is_some() {
            return self.lead().await;
        }
        let answer = timeout(READ_TIMEOUT, self.ask()).await;
        let answer =
            answer.map_err(|_| format!("no answer within {} s", READ_TIMEOUT.as_secs()))?;
        let (latency, hints) = match answer {
            Ok(latency) => (latency, Vec::new()),
            Err(error) => match Pooler::behind(&*error) {
                Some(pooler) => (self.ask_through().await?, vec![pooler.to_string()]),
                None => return Err(error),
            },
        };
        Ok(Reading { probe: Some(latency), hints, ..Reading::default() })
    }

    /// Asks over the session of the leader, or tries to become it. Who is not the leader says no more of
    /// the server.
    async fn lead(&mut self) -> Result<Reading, Failure> {
        let answer = timeout(READ_TIMEOUT, self.database.lead()).await;
        let answer =
            answer.map_err(|_| format!("no answer within {} s", READ_TIMEOUT.as_secs()))?;
        match answer {
            Ok(Some(latency)) => {
                self.keep_places();
                Ok(Reading { probe: Some(latency), ..Reading::default() })
            }
            Ok(None) => Ok(Reading::default()),
            Err(error) => match Pooler::behind(&error) {
                Some(pooler) => {
                    let trouble = NoLeader(pooler.clone());
                    Ok(Reading { trouble: Some(trouble.into()), ..Reading::default() })
                }
                None => Err(error.into()),
            },
        }
    }

    /// Sees that every connection of a leader is open, or is being opened.
    fn keep_places(&mut self) {
        if self.keeping.as_ref().is_none_or(JoinHandle::is_finished) {
            let database = Arc::clone(&self.database);
            self.keeping = Some(tokio::spawn(async move {
                database.keep_places().await;
                if database.leads() == Some(false) {
                    database.close_connections().await;
                }
            }));
        }
    }

    async fn ask(&self) -> Result<Duration, Failure> {
        let mut connection = self.database.acquire().await?;
        let asked = Instant::now();
        // Prepared, so that it is not planned each second.
        (&mut connection).execute(sqlx::query("SELECT 1")).await?;
        let latency = asked.elapsed();
        self.database.keep_place().await;
        Ok(latency)
    }

    /// Probes a server of which nothing else is read, because a pooler stands before it.
    async fn ask_through(&mut self) -> Result<Duration, Failure> {
        if let Some((_, latency)) = self.through.filter(|(at, _)| at.elapsed() < POOLER_INTERVAL) {
            return Ok(latency);
        }
        self.through = None;
        let asked = Instant::now();
        let answer = timeout(READ_TIMEOUT, self.database.ask_through()).await;
        answer.map_err(|_| format!("no answer within {} s", READ_TIMEOUT.as_secs()))??;
        self.through = Some((asked, asked.elapsed()));
        Ok(asked.elapsed())
    }
}
