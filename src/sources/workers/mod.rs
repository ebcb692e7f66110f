//! The workers' own reports: each sends its pools' figures once a second to a Unix socket, and here
//! they become one pool for all workers.

mod budget;
mod demand;
mod endpoints;
mod error;
mod findings;
mod fold;
mod holding;
mod instance;
mod queue;
mod receiver;
mod reopening;
mod settings;
mod socket;
mod total;

use std::sync::Arc;

use tokio::time::Instant;

pub use self::budget::{SERIES_OF_ENDPOINT, SERIES_OF_POOL};
pub use self::error::Error;
pub use self::fold::Fold;
use self::queue::{Queue, QueuedReport};
use self::receiver::Receiver;
pub use self::reopening::{Changed, Reopening};
pub use self::settings::Settings;
use crate::metric::Family;
use crate::reading::Reading;
use poolwatch_client::report::Reason;

/// The socket and all that was reported on it.
#[derive(Debug)]
pub struct Workers {
    settings: Settings,
    queue: Arc<Queue>,
    receiver: Receiver,
    fold: Fold,
    reopening: Reopening,
}

impl Settings {
    /// Opens the socket and begins to receive.
    pub fn open(&self) -> Result<Workers, Error> {
        let queue = Arc::new(Queue::new(2 * self.max_workers));
        let (settings, receiver) = Receiver::open_first(self, &queue)?;
        let reopening = Reopening::new(&settings, &queue);
        Ok(Workers { fold: Fold::new(&settings), settings, queue, receiver, reopening })
    }

    /// Finds their faults without a socket: a group that does not exist, a path that is too long.
    pub fn check(&self) -> Result<(), Error> {
        socket::check(self)
    }
}

impl Workers {
    /// The path of the socket.
    pub fn path(&self) -> &std::path::Path {
        self.settings.path()
    }

    /// Takes other settings while it is read.
    pub fn reopening(&self) -> Reopening {
        self.reopening.clone()
    }

    fn change(&mut self, changed: Changed) {
        let Changed { settings, receiver } = changed;
        self.queue.set_limit(2 * settings.max_workers);
        self.fold.change(&settings);
        self.settings = settings;
        if let Some(receiver) = receiver {
            self.receiver = receiver;
        }
    }

    /// Folds what came since the last reading. When the socket's file was removed meanwhile, it is
    /// made anew: workers find it by its path at each report.
    #[expect(clippy::unused_async, reason = "every source is read by await")]
    pub async fn read(&mut self) -> Result<Reading, Error> {
        if let Some(changed) = self.reopening.take() {
            self.change(changed);
        }
        if !self.receiver.is_in_place() {
            self.receiver = Receiver::open(&self.settings, Arc::clone(&self.queue))?;
        }
        let (now, received) = (Instant::now(), self.queue.received());
        for QueuedReport { report, pid, received_at } in self.queue.drain() {
            // Stamped by a thread, which has no part in the runtime's clock.
            let received_at = now.checked_sub(received_at.elapsed()).unwrap_or(now);
            if let Err(reason) = self.fold.take(report, pid, received_at) {
                self.queue.refuse(reason);
            }
        }
        let mut reading = self.fold.reading(now);
        reading.families = counted(received, &self.queue, self.fold.fell_silent());
        Ok(reading)
    }
}

/// Its families of metrics, without samples.
pub fn families() -> [Family; 3] {
    [
        Family::counter("poolwatch_reports_total", "Reports received from workers."),
        Family::counter("poolwatch_reports_rejected_total", "Reports refused, by reason."),
        Family::gauge(
            "poolwatch_workers_silent",
            "1 while no worker reports and the last one went without a final report, as one does \
             that is killed; 0 where all were shut down, as when an application is scaled to zero.",
        ),
    ]
}

fn counted(count: u64, queue: &Queue, fell_silent: bool) -> Vec<Family> {
    let [mut received, mut refused, mut silent] = families();
    received.sample(&[], count as f64);
    for reason in Reason::ALL {
        refused.sample(&[("reason", reason.as_str())], queue.refused(reason) as f64);
    }
    silent.sample(&[], f64::from(u8::from(fell_silent)));
    vec![received, refused, silent]
}
