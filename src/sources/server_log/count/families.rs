//! The figures as metrics.

use super::super::parse::{CancelReason, ConnectionRefusal};
use super::{RejectReason, Tally};
use crate::metric::Family;

impl Tally {
    /// Everything that was counted.
    pub fn families(&self) -> Vec<Family> {
        let mut families = self.statements();
        families.extend(self.lock_waits());
        families.push(self.refusals());
        families.extend(self.own());
        families
    }

    fn statements(&self) -> Vec<Family> {
        let mut durations = Family::histogram(
            "db_statement_duration_seconds",
            "Durations of queries in the server, parsing and planning included, by its log: \
             exact for those that it logs, see db_statement_duration_counted_from_seconds; of a \
             sample each counts for those left out. It does not contain statements that failed, \
             transaction control, schema changes, pings, poolwatch's own.",
        );
        let mut from = Family::gauge(
            "db_statement_duration_counted_from_seconds",
            "Queries that took less are not in the server's log, so they are not in \
             db_statement_duration_seconds; absent when it logs none.",
        );
        let mut errors = Family::counter(
            "db_statement_errors_total",
            "Errors in the server's log, by class: the first two characters of the SQLSTATE, \
             empty where the log has none.",
        );
        let mut canceled = Family::counter(
            "db_statement_cancellations_total",
            "Statements and sessions that were ended before they had finished: timeouts, cancellations, \
             deadlocks, terminations, in the server's log.",
        );
        from.sample(&[], self.counted_from());
        for (database, account) in self.accounts.iter() {
            durations.durations(&[("datname", database)], &account.durations.histogram());
            for (class, count) in &account.errors {
                errors.sample(&[("datname", database), ("class", class)], *count as f64);
            }
            // All from the first on, so that whoever asks for an increase sees it.
            for (reason, count) in CancelReason::ALL.iter().zip(account.canceled) {
                canceled
                    .sample(&[("datname", database), ("reason", reason.as_str())], count as f64);
            }
        }
        vec![durations, from, errors, canceled]
    }

    fn lock_waits(&self) -> [Family; 2] {
        let mut waits = Family::counter(
            "db_lock_waits_total",
            "Waits for a lock that took longer than deadlock_timeout, in the server's log \
             (log_lock_waits), by the type of lock, as in pg_locks.locktype.",
        );
        let mut acquired = Family::histogram(
            "db_lock_wait_duration_seconds",
            "Durations of waits for a lock that was granted, by the server's log \
             (log_lock_waits): exact. It does not contain waits shorter than deadlock_timeout, and those \
             that were given up.",
        );
        for (database, account) in self.accounts.iter() {
            for (kind, count) in &account.waits.counts {
                waits.sample(&[("datname", database), ("locktype", kind)], *count as f64);
            }
            if !account.waits.counts.is_empty() {
                acquired.durations(&[("datname", database)], &account.waits.acquired);
            }
        }
        [waits, acquired]
    }

    fn refusals(&self) -> Family {
        let mut family = Family::counter(
            "pg_connections_refused_total",
            "Connections that the server refused, by its log.",
        );
        for (refusal, count) in ConnectionRefusal::ALL.iter().zip(self.refused) {
            family.sample(&[("reason", refusal.as_str())], count as f64);
        }
        family
    }

    fn own(&self) -> [Family; 3] {
        let mut messages = Family::counter(
            "poolwatch_log_messages_total",
            "Messages read from the server's log, the rejected included.",
        );
        let mut bytes =
            Family::counter("poolwatch_log_bytes_total", "Bytes read from the server's log.");
        let mut rejected = Family::counter(
            "poolwatch_log_messages_rejected_total",
            "Messages of the server's log that could not be counted: none of its format, cut off \
             before their subject, in a file that was truncated, a duration \
             without its statement, of a session that the log does not distinguish from others, or of a \
             database that the server does not have.",
        );
        messages.sample(&[], self.messages as f64);
        bytes.sample(&[], self.bytes as f64);
        for (reason, count) in RejectReason::ALL.iter().zip(self.rejected) {
            rejected.sample(&[("reason", reason.as_str())], count as f64);
        }
        [messages, bytes, rejected]
    }
}
