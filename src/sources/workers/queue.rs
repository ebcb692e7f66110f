//! Reports between the thread that receives them and the reading that folds them: bounded in number
//! and in bytes, what does not fit is refused and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use poolwatch_client::report::{Reason, Report};

/// The most bytes of datagrams that may lie unread.
const BYTES: usize = 16 * 1024 * 1024;

/// A report in the queue.
#[derive(Debug)]
pub(super) struct QueuedReport {
    pub(super) report: Report,
    /// The sender as the kernel knows it, when it is of this pid namespace or one below.
    pub(super) pid: Option<u32>,
    pub(super) received_at: Instant,
}

#[derive(Debug)]
pub(super) struct Queue {
    limit: AtomicUsize,
    queued: Mutex<Queued>,
    received: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

#[derive(Debug, Default)]
struct Queued {
    reports: VecDeque<QueuedReport>,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: AtomicUsize::new(limit),
            queued: Mutex::default(),
            received: AtomicU64::new(0),
            refused: Default::default(),
        }
    }

    /// Changes the most reports that may lie unread.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Reads a datagram that was just received.
    pub(super) fn receive(&self, datagram: &[u8], pid: Option<u32>) {
        let pushed = Report::parse(datagram).and_then(|report| {
            self.push(QueuedReport { report, pid, received_at: Instant::now() }, datagram.len())
        });
        if let Err(reason) = pushed {
            self.refuse(reason);
        }
        // Only now, so that what is counted can be seen.
        self.received.fetch_add(1, Ordering::Release);
    }

    fn push(&self, report: QueuedReport, bytes: usize) -> Result<(), Reason> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        if queued.reports.len() >= self.limit.load(Ordering::Relaxed)
            || queued.bytes + bytes > BYTES
        {
            return Err(Reason::Overflow);
        }
        queued.bytes += bytes;
        queued.reports.push_back(report);
        Ok(())
    }

    /// Takes all reports, the oldest first.
    pub(super) fn drain(&self) -> VecDeque<QueuedReport> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *queued).reports
    }

    pub(super) fn refuse(&self, reason: Reason) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
        tracing::debug!(reason = reason.as_str(), "A worker's report was refused: {reason}");
    }

    /// The number of datagrams that came, the refused included.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    pub(super) fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &[u8] = br#"{"v":1,"inst":"a","seq":1,"pools":[]}"#;

    #[test]
    fn each_reason_has_a_place_of_its_own() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }

    #[test]
    fn a_full_queue_refuses_and_counts() {
        let queue = Queue::new(2);
        (0..5).for_each(|_| queue.receive(REPORT, None));
        queue.receive(b"{}", None);
        assert_eq!((queue.received(), queue.refused(Reason::Overflow)), (6, 3));
        assert_eq!((queue.refused(Reason::Malformed), queue.drain().len()), (1, 2));
        queue.receive(REPORT, None);
        assert_eq!(queue.drain().len(), 1);
    }

    #[test]
    fn a_queue_is_bounded_in_bytes() {
        let queue = Queue::new(usize::MAX);
        let mut large = REPORT.to_vec();
        large.resize(poolwatch_client::report::LIMIT, b' ');
        (0..300).for_each(|_| queue.receive(&large, None));
        assert_eq!(queue.drain().len(), BYTES / large.len());
        assert_eq!(queue.refused(Reason::Overflow), 300 - 256);
    }
}
