//! The workers' own reports: each sends its pools' figures once a second to a Unix socket, and here
//! they become one pool for all workers.

mod findings;
mod fold;
mod inbox;
mod receiver;
mod reopening;
mod settings;
mod socket;
mod total;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

pub use self::fold::Fold;
use self::inbox::{Inbox, Letter};
use self::receiver::Receiver;
pub use self::reopening::{Changed, Reopening};
pub use self::settings::Settings;
use crate::metric::Family;
use crate::reading::Reading;
use poolwatch_client::report::{self, Reason};

/// Why the socket could not be opened or is not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of the socket is missing and cannot be made.
    #[error("cannot make the folder {}: make it and give poolwatch's user the right to write there, or set workers.socket to a place that it may write", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot make the socket {}: give poolwatch's user the right to write in its folder, or set workers.socket to another place", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody said where the socket is to be, and none of the usual places will do.
    #[error(
        "there is no socket for workers to report to, as {0}: set workers.socket to a place that poolwatch may write, or workers.enabled to false"
    )]
    Nowhere(String),
    /// The path is longer than an address may be.
    #[error("the socket's path {} is too long: set workers.socket to one of at most {} bytes", .0.display(), socket::PATH_LIMIT)]
    PathTooLong(PathBuf),
    /// Something else is at the path.
    #[error("{} is there but no socket: remove it, or set workers.socket to another place", .0.display())]
    NotASocket(PathBuf),
    /// Somebody reads reports there already.
    #[error("something listens on {} already: stop the other poolwatch, or give this one its own workers.socket", .0.display())]
    Taken(PathBuf),
    /// A socket of before cannot be looked at or removed.
    #[error("cannot take over the socket {} of before: remove it, or run as the user who made it", path.display())]
    TakeOver {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The group of the socket is not known here.
    #[error(
        "there is no group {0}: make it with groupadd, or set workers.group to the group of the application"
    )]
    NoGroup(String),
    /// The rights on the socket cannot be set.
    #[error("cannot set the rights of {}: poolwatch's user must be a member of workers.group", path.display())]
    Rights {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel no longer gives reports.
    #[error("cannot receive reports")]
    Receive(#[source] std::io::Error),
}

/// The socket and all that was said on it.
#[derive(Debug)]
pub struct Workers {
    settings: Settings,
    inbox: Arc<Inbox>,
    receiver: Receiver,
    fold: Fold,
    reopening: Reopening,
}

impl Error {
    /// Whether another place may do.
    fn is_of_place(&self) -> bool {
        matches!(
            self,
            Self::Folder { .. } | Self::Bind { .. } | Self::TakeOver { .. } | Self::PathTooLong(_)
        )
    }
}

impl Settings {
    /// Opens the socket and begins to receive.
    pub fn open(&self) -> Result<Workers, Error> {
        let inbox = Arc::new(Inbox::new(2 * self.max_workers));
        let (settings, receiver) = self.receive(&inbox)?;
        let reopening = Reopening::of(&settings, &inbox);
        Ok(Workers { fold: Fold::new(&settings), settings, inbox, receiver, reopening })
    }

    /// Opens the socket where the settings say, else at the first usual place that will do; the
    /// settings then say which.
    fn receive(&self, inbox: &Arc<Inbox>) -> Result<(Self, Receiver), Error> {
        match self.socket {
            Some(_) => Ok((self.clone(), Receiver::open(self, Arc::clone(inbox))?)),
            None => self.receive_at_first(report::usual_sockets(), inbox),
        }
    }

    fn receive_at_first(
        &self,
        places: Vec<PathBuf>,
        inbox: &Arc<Inbox>,
    ) -> Result<(Self, Receiver), Error> {
        let mut reasons = Vec::new();
        for path in places {
            let settings = self.at(path);
            match Receiver::open(&settings, Arc::clone(inbox)) {
                Ok(receiver) => return Ok((settings, receiver)),
                Err(error) if error.is_of_place() => {
                    reasons.push(format!("{} cannot be made", settings.path().display()));
                }
                Err(error) => return Err(error),
            }
        }
        if reasons.len() == 1 {
            reasons.push("XDG_RUNTIME_DIR is not set".to_owned());
        }
        Err(Error::Nowhere(reasons.join(" and ")))
    }

    /// Finds what is wrong with them, without a socket: a group that does not exist, a path that
    /// is too long.
    pub fn check(&self) -> Result<(), Error> {
        socket::check(self)
    }
}

impl Workers {
    /// Where workers report.
    pub fn path(&self) -> &std::path::Path {
        self.settings.path()
    }

    /// By which it takes other settings while it is read.
    pub fn reopening(&self) -> Reopening {
        self.reopening.clone()
    }

    fn change(&mut self, changed: Changed) {
        let Changed { settings, receiver } = changed;
        self.inbox.limit(2 * settings.max_workers);
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
            self.receiver = Receiver::open(&self.settings, Arc::clone(&self.inbox))?;
        }
        let (now, received) = (Instant::now(), self.inbox.received());
        for Letter { report, pid, arrived } in self.inbox.empty() {
            // Stamped by a thread, which has no part in the runtime's clock.
            let seen = now.checked_sub(arrived.elapsed()).unwrap_or(now);
            if let Err(reason) = self.fold.take(report, pid, seen) {
                self.inbox.refuse(reason);
            }
        }
        let mut reading = self.fold.reading(now);
        reading.families = families(received, &self.inbox);
        Ok(reading)
    }
}

fn families(count: u64, inbox: &Inbox) -> Vec<Family> {
    let mut received = Family::counter("poolwatch_reports_total", "Reports received from workers.");
    received.sample(&[], count as f64);
    let mut refused =
        Family::counter("poolwatch_reports_rejected_total", "Reports refused, by reason.");
    for reason in Reason::ALL {
        refused.sample(&[("reason", reason.as_str())], inbox.refused(reason) as f64);
    }
    vec![received, refused]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_usual_places_the_first_that_will_do_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (bad, good) = (file.join("p.sock"), folder.path().join("run/p.sock"));
        let inbox = Arc::new(Inbox::new(1));
        let open = |places: &[&PathBuf]| {
            Settings::default().receive_at_first(places.iter().copied().cloned().collect(), &inbox)
        };
        let (settings, _receiver) = open(&[&bad, &good]).unwrap();
        assert_eq!(settings.path(), good);
        let error = open(&[&bad, &bad]).unwrap_err();
        assert!(matches!(error, Error::Nowhere(_)), "{error}");
        assert!(error.to_string().contains(&bad.display().to_string()), "{error}");
        // Another poolwatch there is no reason to have the reports in two places.
        assert!(matches!(open(&[&good, &bad]), Err(Error::Taken(_))));
    }
}
