//! Whether a server answers: `SELECT 1` on a connection that is held from the start.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor;
use tokio::time::{Instant, timeout};

use super::Failure;
use crate::postgres::Database;
use crate::reading::Reading;

/// How long an answer may take before the server counts as down.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks one server for the simplest answer.
#[derive(Debug)]
pub struct Probe {
    database: Arc<Database>,
}

impl Probe {
    /// A probe of one database.
    pub fn open(database: Arc<Database>) -> Self {
        Self { database }
    }

    /// Asks once.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let answer = timeout(PATIENCE, self.ask()).await;
        let took = answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))??;
        Ok(Reading { probe: Some(took), ..Reading::default() })
    }

    async fn ask(&self) -> Result<Duration, Failure> {
        let mut connection = self.database.acquire().await?;
        let asked = Instant::now();
        // Prepared, so that it is not planned each second.
        (&mut connection).execute(sqlx::query("SELECT 1")).await?;
        let took = asked.elapsed();
        self.database.keep_place().await;
        Ok(took)
    }
}
