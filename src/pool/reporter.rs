//! A pool's own reports to the workers' socket, once a second, from a thread: they are sent even
//! when the application keeps its runtime busy, and a missing socket costs nothing but a try.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Duration;

use super::Core;
use crate::report::{Pool, Report};

const PERIOD: Duration = Duration::from_secs(1);
/// How long a report may wait for a place in the socket's queue, which holds ten.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where one pool is reported, until this is dropped.
pub(super) struct Reporter {
    letters: Arc<Mutex<Letters>>,
    /// Dropped with this, which ends the thread.
    _alive: mpsc::Sender<()>,
}

/// All that one instance has to write.
struct Letters {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    pool: String,
    instance: String,
    seq: u64,
}

impl Reporter {
    /// Begins to report a pool. Only its thread holds on to the pool, and only while it writes.
    pub(super) fn begin(core: &Arc<Core>, path: PathBuf, pool: String) -> io::Result<Self> {
        let instance = format!("{:016x}{:016x}", random(), random());
        let letters = Letters { path, socket: None, pool, instance, seq: 0 };
        let letters = Arc::new(Mutex::new(letters));
        let (alive, ended) = mpsc::channel();
        let (core, sender) = (Arc::downgrade(core), Arc::clone(&letters));
        let run = move || report(&core, &sender, &ended);
        thread::Builder::new().name("poolwatch-report".into()).stack_size(128 * 1024).spawn(run)?;
        Ok(Self { letters, _alive: alive })
    }

    /// Says goodbye, without waiting: the workers' socket forgets the silent too.
    pub(super) fn goodbye(&self, core: &Core) {
        if let Ok(mut letters) = self.letters.try_lock() {
            letters.send(core, true);
        }
    }
}

/// Until the pool is gone.
fn report(core: &Weak<Core>, letters: &Mutex<Letters>, ended: &mpsc::Receiver<()>) {
    loop {
        let Some(core) = core.upgrade() else { return };
        letters.lock().unwrap_or_else(PoisonError::into_inner).send(&core, false);
        drop(core);
        if ended.recv_timeout(jittered(PERIOD)) != Err(mpsc::RecvTimeoutError::Timeout) {
            return;
        }
    }
}

impl Letters {
    /// Sends the pool as it is now. What cannot be sent is lost; the next says the same and more.
    fn send(&mut self, core: &Core, bye: bool) {
        self.seq += 1;
        let datagram = self.report(core, bye).serialize();
        if self.socket.is_none() {
            self.socket = socket().ok();
        }
        let Some(socket) = &self.socket else { return };
        // Before a goodbye the pool is being dropped, perhaps on the application's own thread.
        let _ = socket.set_nonblocking(bye);
        let _ = socket.send_to(&datagram, &self.path);
    }

    fn report(&self, core: &Core, bye: bool) -> Report {
        let reading = core.reading();
        let worker = reading.workers.into_iter().next().unwrap_or_default();
        Report {
            instance: self.instance.clone(),
            pid: worker.pid,
            seq: self.seq,
            period: PERIOD,
            app: worker.app,
            bye,
            pools: vec![Pool {
                name: self.pool.clone(),
                figures: worker.figures,
                totals: reading.totals,
                timings: reading.timings,
            }],
            findings: Vec::new(),
        }
    }
}

fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Within a tenth, so that workers started together do not report together.
fn jittered(period: Duration) -> Duration {
    let share = f64::from(u32::try_from(random() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    period.mul_f64(0.9 + 0.2 * share)
}

/// A random number from the standard library's only source of them.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_differ_by_a_tenth_at_most() {
        let periods: Vec<_> = (0..100).map(|_| jittered(PERIOD)).collect();
        assert!(periods.iter().all(|period| (0.9..=1.1).contains(&period.as_secs_f64())));
        assert!(periods.iter().any(|period| *period != periods[0]));
    }
}
