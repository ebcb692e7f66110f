//! The wait events of active sessions: sampled each second and added up.
//!
//! A session that waits for nothing is on a CPU, or waits for one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Failure;
use super::collector::Error;
use crate::collectors::{OTHER, Table, WAIT_EVENTS};
use crate::metric::Family;
use crate::postgres::{APPLICATION_NAME, Database, SessionGroup};
use crate::reading::Reading;

/// The timeout of one sample.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest time that one sample stands for, whatever was missed.
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// The event of a session that waits for nothing: it is on a CPU, or waits for one.
const CPU: &str = "CPU";
/// More kinds than any version has; what an extension adds beyond them is one kind.
const KINDS: usize = 300;

/// Samples the waits of one server's sessions.
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
    aggregated: u64,
}

impl WaitEvents {
    /// Samples the sessions of this database's server.
    pub fn open(database: Arc<Database>) -> Self {
        Self { database, sums: Sums::default(), last: None }
    }

    /// Samples once.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let sample = timeout(READ_TIMEOUT, self.database.sessions()).await;
        let sample = sample.map_err(|_| Error::Slow(READ_TIMEOUT.as_secs()))??;
        let hints = sample.hints;
        let Some(groups) = sample.groups.filter(|_| sample.has_waits) else {
            return Ok(Reading { hints, ..Reading::default() });
        };
        let now = Instant::now();
        let since = self.last.replace(now).map_or(Duration::ZERO, |last| now - last);
        self.sums.add(&groups, since.min(MAX_INTERVAL));
        let families = vec![self.sums.family(&WAIT_EVENTS.tables[0])];
        let aggregated = self.sums.aggregated;
        Ok(Reading { families, aggregated, hints, ..Reading::default() })
    }
}

impl Sums {
    fn add(&mut self, groups: &[SessionGroup], time: Duration) {
        let of_others = groups.iter().filter(|group| group.application_name != APPLICATION_NAME);
        for group in of_others.filter(|group| group.state.as_deref() == Some("active")) {
            let mut key = group.wait.clone().unwrap_or_else(|| (CPU.to_owned(), CPU.to_owned()));
            if self.seconds.len() >= KINDS && !self.seconds.contains_key(&key) {
                self.aggregated += 1;
                key = (OTHER.to_owned(), OTHER.to_owned());
            }
            *self.seconds.entry(key).or_default() += time.as_secs_f64() * group.sessions as f64;
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

    fn waiting(kind: &str, event: &str, sessions: i64) -> SessionGroup {
        let wait = Some((kind.to_owned(), event.to_owned()));
        SessionGroup { state: Some("active".to_owned()), wait, sessions, ..SessionGroup::default() }
    }

    #[test]
    fn time_is_that_of_every_session() {
        let mut sums = Sums::default();
        let groups = [waiting("Lock", "relation", 3)];
        sums.add(&groups, Duration::from_secs(2));
        sums.add(&groups, Duration::from_secs(1));
        let seconds = sums.seconds[&("Lock".to_owned(), "relation".to_owned())];
        assert!((seconds - 9.0).abs() < 1e-9);
    }

    #[test]
    fn poolwatch_and_idle_sessions_do_not_count() {
        let mut sums = Sums::default();
        let own = SessionGroup {
            application_name: APPLICATION_NAME.to_owned(),
            ..waiting("Client", "ClientRead", 1)
        };
        let idle =
            SessionGroup { state: Some("idle".to_owned()), sessions: 5, ..SessionGroup::default() };
        let running = SessionGroup { wait: None, ..waiting("", "", 2) };
        sums.add(&[own, idle, running], Duration::from_secs(1));
        let seconds: Vec<_> = sums.seconds.into_iter().collect();
        assert_eq!(seconds, [((CPU.to_owned(), CPU.to_owned()), 2.0)]);
    }

    #[test]
    fn kinds_are_bounded() {
        let mut sums = Sums::default();
        for event in 0..2 * KINDS {
            sums.add(&[waiting("Extension", &event.to_string(), 1)], MAX_INTERVAL);
        }
        assert_eq!(sums.family(&WAIT_EVENTS.tables[0]).len(), KINDS + 1);
    }
}
