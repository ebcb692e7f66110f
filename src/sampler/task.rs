//! A source with its last reading, and the outcome of its readings.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::chain;
use super::log_limit::LogLimit;
use crate::exposition::Encoded;
use crate::exposition::self_metrics::DroppedSeries;
use crate::postgres::{remedy, session_failure};
use crate::reading::{Reading, SessionFailure};
use crate::sources::{Failure, OpenSource, Source};
use crate::state::SourceState;

/// The share of its interval after which a source that failed is read again; each further time it
/// is twice as long.
const RETRY: f64 = 1.0 / 16.0;
/// The least time before such a source is read again.
const SOONEST: Duration = Duration::from_secs(1);
/// The time after which a server's log is, however often it failed: a file on this machine is no
/// burden to anybody.
const LOG_RETRY: Duration = Duration::from_secs(2);

/// The groups of the probes, and of what is read of a server's log.
const PROBE: &str = "probe";
const LOG: &str = "server_log";

/// A source with its last reading.
pub(super) struct SourceTask {
    /// Unlike the name never used again, so that a late reading is not taken for another's.
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) group: String,
    pub(super) label: Option<(&'static str, String)>,
    pub(super) database: Option<String>,
    pub(super) interval: Duration,
    pub(super) due: Instant,
    /// Absent while it is being read.
    pub(super) source: Option<Source>,
    pub(super) last: Option<Reading>,
    /// Its last families, encoded; kept where others share them.
    pub(super) encoded: Option<Encoded>,
    /// Set if its series carry the label, because there are others to distinguish it from.
    pub(super) labelled: bool,
    pub(super) dropped_series: DroppedSeries,
    pub(super) state: SourceState,
    /// The number of the last readings that failed, one after the other.
    failed: i32,
    /// Set if the last failure was logged quietly, because its server's probe reports it.
    quiet: bool,
    /// The class of the last failure.
    pub(super) session_failure: Option<SessionFailure>,
    log_limit: LogLimit,
    /// Set while the last reading is not yet in the group's chunk.
    pub(super) dirty: bool,
}

impl SourceTask {
    pub(super) fn new(id: u64, source: OpenSource) -> Self {
        Self {
            id,
            state: SourceState {
                name: source.name.clone(),
                kind: source.source.kind(),
                server: source.database.clone().filter(|_| source.group != LOG),
                interval: source.interval,
                up: None,
                duration: None,
                failures: 0,
                last_success: None,
                error: None,
                remedy: None,
                failing_since: None,
                failed_until: None,
                unseen: Vec::new(),
            },
            name: source.name,
            group: source.group,
            label: source.label,
            database: source.database,
            interval: source.interval,
            due: Instant::now(),
            source: Some(source.source),
            last: None,
            encoded: None,
            labelled: false,
            dropped_series: DroppedSeries::default(),
            failed: 0,
            quiet: false,
            session_failure: None,
            log_limit: LogLimit::new(),
            dirty: false,
        }
    }

    /// Returns true if it shows that a server answers.
    pub(super) fn is_probe(&self) -> bool {
        self.group == PROBE
    }

    /// The server that it asks, by its name in the settings. The server's log is read on this
    /// machine, whether the server answers or not.
    pub(super) fn server(&self) -> Option<&str> {
        self.database.as_deref().filter(|_| self.group != LOG)
    }

    /// Returns true if only the leader of the server reads it, on the server or in its log.
    pub(super) fn is_read_by_leader(&self, server: &str) -> bool {
        !self.is_probe() && self.database.as_deref() == Some(server)
    }

    /// Shows nothing any more, and says nothing: another poolwatch reads it.
    pub(super) fn stand_by(&mut self) {
        (self.last, self.encoded) = (None, None);
        self.dirty = true;
        self.state.unseen.clear();
        (self.state.up, self.state.duration) = (None, None);
        (self.state.error, self.state.remedy) = (None, None);
        (self.state.failing_since, self.state.failed_until) = (None, None);
        (self.session_failure, self.failed) = (None, 0);
    }

    /// Shows nothing any more: its server does not answer.
    pub(super) fn fall_silent(&mut self) {
        (self.last, self.encoded) = (None, None);
        self.state.unseen.clear();
        self.dirty = true;
        if self.state.up != Some(false) {
            self.state.up = Some(false);
            self.state.failing_since = Some(Instant::now().into_std());
            self.state.error = Some("the server does not answer".to_owned());
            self.quiet = true;
        }
    }

    /// Is to be read at once, however often it failed.
    pub(super) fn read_anew(&mut self) {
        if !self.is_probe() {
            self.due = Instant::now();
            self.failed = 0;
        }
    }

    /// Takes in a reading; one that failed leaves nothing behind that could be taken for new.
    /// A failure that the probe of its server reports is logged quietly.
    pub(super) fn absorb(
        &mut self,
        result: Result<Reading, Failure>,
        elapsed: Duration,
        quiet: bool,
    ) -> Option<Duration> {
        self.dirty = true;
        self.state.duration = Some(elapsed);
        match result {
            Ok(mut reading) => {
                self.state.duration = Some(reading.elapsed.unwrap_or(elapsed));
                self.update_state(reading.trouble.take(), quiet);
                self.dropped_series =
                    DroppedSeries { dropped: reading.dropped, aggregated: reading.aggregated };
                self.state.unseen = reading.hints.iter().chain(&reading.absent).cloned().collect();
                let probe = reading.probe;
                self.encode(&mut reading);
                self.last = Some(reading);
                probe
            }
            Err(failure) => {
                self.state.unseen.clear();
                self.update_state(Some(failure), quiet);
                (self.last, self.encoded) = (None, None);
                None
            }
        }
    }

    /// Of the families only the text is kept.
    fn encode(&mut self, reading: &mut Reading) {
        if let (true, Some((label, value))) = (self.labelled, &self.label) {
            reading.families.iter_mut().for_each(|family| family.label_all(label, value));
        }
        let families = std::mem::take(&mut reading.families);
        self.encoded = Some(Encoded::new(families));
    }

    /// Updates the state, and logs a change of it rather than every reading.
    fn update_state(&mut self, failure: Option<Failure>, quiet: bool) {
        match failure {
            None => {
                if self.state.up == Some(false) || self.log_limit.is_reached() {
                    self.log_recovery();
                }
                self.state.last_success = Some(SystemTime::now());
                (self.state.error, self.state.remedy) = (None, None);
                self.session_failure = None;
                if self.state.failing_since.take().is_some() {
                    self.state.failed_until = Some(Instant::now().into_std());
                }
                self.state.up = Some(true);
                self.failed = 0;
            }
            Some(failure) => {
                let error = chain(&*failure);
                let is_new = self.state.error.as_ref() != Some(&error);
                if quiet || self.quiet || self.log_limit.is_reached() || is_new {
                    self.log_failure(&error, quiet);
                }
                self.quiet = quiet;
                self.state.failures += 1;
                self.state.error = Some(error);
                self.state.remedy = remedy(&*failure);
                self.session_failure = Some(session_failure(&*failure));
                self.state.failing_since.get_or_insert_with(|| Instant::now().into_std());
                self.state.up = Some(false);
                self.due = self.due.min(Instant::now() + self.retry_delay());
                self.failed = self.failed.saturating_add(1);
            }
        }
    }

    fn log_recovery(&mut self) {
        if self.quiet || !self.log_limit.admit() {
            debug!(source = %self.name, "source reads again");
        } else {
            info!(source = %self.name, "source reads again");
        }
    }

    fn log_failure(&mut self, error: &str, quiet: bool) {
        if quiet || !self.log_limit.admit() {
            debug!(source = %self.name, %error, "source cannot be read");
        } else if !self.log_limit.is_nearly_reached() {
            warn!(source = %self.name, %error, "source cannot be read");
        } else {
            warn!(
                source = %self.name, %error,
                "source cannot be read; further changes within this minute are not logged"
            );
        }
    }

    /// The time until it is read again after a failure.
    fn retry_delay(&self) -> Duration {
        let delay = self.interval.mul_f64((RETRY * 2_f64.powi(self.failed)).min(1.0));
        let longest = if self.group == LOG { LOG_RETRY } else { Duration::MAX };
        delay.max(SOONEST).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_limit::{LINES_A_MINUTE, MINUTE};
    use super::*;
    use crate::sources::own_connections::OwnConnections;

    fn task(group: &str, interval: Duration) -> SourceTask {
        SourceTask::new(
            1,
            OpenSource {
                name: format!("primary/{group}"),
                group: group.to_owned(),
                label: None,
                database: None,
                interval,
                source: Source::OwnConnections(OwnConnections::new(Vec::new())),
            },
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_is_read_again_soon_however_often_that_failed() {
        let interval = Duration::from_secs(15);
        let mut task = task(LOG, interval);
        for _ in 0..20 {
            task.due = Instant::now() + interval;
            task.absorb(Err("Input/output error".into()), Duration::ZERO, false);
            assert!(task.due <= Instant::now() + LOG_RETRY);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_logged_a_few_times_a_minute_and_not_forgotten() {
        let mut task = task("settings", Duration::from_secs(1));
        let mut lines = 0;
        for turn in 0..240 {
            let result =
                if turn % 2 == 0 { Err("no answer".into()) } else { Ok(Reading::default()) };
            task.absorb(result, Duration::ZERO, false);
            lines += u32::from(!task.log_limit.is_reached());
            tokio::time::advance(Duration::from_millis(200)).await;
        }
        assert_eq!(lines, LINES_A_MINUTE);
        assert!(task.log_limit.is_reached());
        tokio::time::advance(MINUTE).await;
        task.absorb(Ok(Reading::default()), Duration::ZERO, false);
        assert!(!task.log_limit.is_reached() && task.log_limit.lines == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_read_again_soon_and_then_ever_later() {
        let interval = Duration::from_mins(5);
        let mut task = task("settings", interval);
        let mut read = |result: Result<Reading, Failure>| {
            task.due = Instant::now() + interval;
            task.absorb(result, Duration::ZERO, false);
            (task.due - Instant::now()).as_secs_f64()
        };
        let mut fail = || read(Err("no answer".into()));
        let later: Vec<_> = (0..7).map(|_| fail()).collect();
        assert_eq!(later, [18.75, 37.5, 75.0, 150.0, 300.0, 300.0, 300.0]);
        assert_eq!(read(Ok(Reading::default())), 300.0);
        assert_eq!(read(Err("no answer".into())), 18.75);
    }
}
