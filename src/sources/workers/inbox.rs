//! Reports between the thread that receives them and the reading that folds them: bounded in number
//! and in bytes, what does not fit is refused and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use poolwatch_client::report::{Reason, Report};

/// How many bytes of datagrams may lie unread.
const BYTES: usize = 16 * 1024 * 1024;

/// A report on its way.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) report: Report,
    /// The sender as the kernel knows it, when it is of this pid namespace or one below.
    pub(super) pid: Option<u32>,
    pub(super) arrived: Instant,
}

#[derive(Debug)]
pub(super) struct Inbox {
    limit: AtomicUsize,
    waiting: Mutex<Waiting>,
    received: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

#[derive(Debug, Default)]
struct Waiting {
    letters: VecDeque<Letter>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: AtomicUsize::new(limit),
            waiting: Mutex::default(),
            received: AtomicU64::new(0),
            refused: Default::default(),
        }
    }

    /// What comes from now on may be so much.
    pub(super) fn limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Reads a datagram that has just come.
    pub(super) fn receive(&self, datagram: &[u8], pid: Option<u32>) {
        let posted = Report::parse(datagram).and_then(|report| {
            self.post(Letter { report, pid, arrived: Instant::now() }, datagram.len())
        });
        if let Err(reason) = posted {
            self.refuse(reason);
        }
        // Only now, so that what is counted can be seen.
        self.received.fetch_add(1, Ordering::Release);
    }

    fn post(&self, letter: Letter, bytes: usize) -> Result<(), Reason> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.letters.len() >= self.limit.load(Ordering::Relaxed)
            || waiting.bytes + bytes > BYTES
        {
            return Err(Reason::Overflow);
        }
        waiting.bytes += bytes;
        waiting.letters.push_back(letter);
        Ok(())
    }

    /// Takes all letters, the oldest first.
    pub(super) fn empty(&self) -> VecDeque<Letter> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).letters
    }

    pub(super) fn refuse(&self, reason: Reason) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
        tracing::debug!(reason = reason.as_str(), "A worker's report was refused: {reason}");
    }

    /// How many datagrams came, the refused included.
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
    fn a_full_inbox_refuses_and_counts() {
        let inbox = Inbox::new(2);
        (0..5).for_each(|_| inbox.receive(REPORT, None));
        inbox.receive(b"{}", None);
        assert_eq!((inbox.received(), inbox.refused(Reason::Overflow)), (6, 3));
        assert_eq!((inbox.refused(Reason::Malformed), inbox.empty().len()), (1, 2));
        inbox.receive(REPORT, None);
        assert_eq!(inbox.empty().len(), 1);
    }

    #[test]
    fn an_inbox_is_bounded_in_bytes() {
        let inbox = Inbox::new(usize::MAX);
        let mut large = REPORT.to_vec();
        large.resize(poolwatch_client::report::LIMIT, b' ');
        (0..300).for_each(|_| inbox.receive(&large, None));
        assert_eq!(inbox.empty().len(), BYTES / large.len());
        assert_eq!(inbox.refused(Reason::Overflow), 300 - 256);
    }
}
