//! A pool's own reports to the workers' socket, once a second, from a thread: they are sent even
//! when the application keeps its runtime busy, and a missing socket costs nothing but a try.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Duration;

use super::Core;
use crate::report::Report;

const PERIOD: Duration = Duration::from_secs(1);
/// The time that a report may wait for a place in the socket's queue, which holds ten.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// The thread that reports one pool, until this is dropped.
pub(super) struct Reporter {
    sender: Arc<Mutex<Sender>>,
    /// Dropped with this, which ends the thread.
    _alive: mpsc::Sender<()>,
}

/// Sends the reports of one instance.
struct Sender {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    pool: String,
    instance: String,
    seq: u64,
}

impl Reporter {
    /// Begins to report a pool. Only its thread holds on to the pool, and only while it writes.
    pub(super) fn start(core: &Arc<Core>, path: PathBuf, pool: String) -> io::Result<Self> {
        let instance = format!("{:016x}{:016x}", random(), random());
        let sender = Sender { path, socket: None, pool, instance, seq: 0 };
        let sender = Arc::new(Mutex::new(sender));
        let (alive, ended) = mpsc::channel();
        let (core, reports) = (Arc::downgrade(core), Arc::clone(&sender));
        let run = move || report(&core, &reports, &ended);
        thread::Builder::new().name("poolwatch-report".into()).stack_size(128 * 1024).spawn(run)?;
        Ok(Self { sender, _alive: alive })
    }

    /// Sends the final report, without waiting: poolwatch forgets a silent instance, too.
    pub(super) fn send_final_report(&self, core: &Core) {
        if let Ok(mut sender) = self.sender.try_lock() {
            sender.send(core, true);
        }
    }
}

/// Reports until the pool is gone.
fn report(core: &Weak<Core>, sender: &Mutex<Sender>, ended: &mpsc::Receiver<()>) {
    loop {
        let Some(core) = core.upgrade() else { return };
        sender.lock().unwrap_or_else(PoisonError::into_inner).send(&core, false);
        drop(core);
        if ended.recv_timeout(jittered(PERIOD)) != Err(mpsc::RecvTimeoutError::Timeout) {
            return;
        }
    }
}

impl Sender {
    /// Sends the pool as it is now. A report that cannot be sent is lost; the next has the same and
    /// more.
    fn send(&mut self, core: &Core, is_final: bool) {
        self.seq += 1;
        let report = self.report(core, is_final);
        if self.send_datagram(&report.serialize(), is_final).is_err() {
            let mut state = core.state();
            report.pools.iter().for_each(|pool| state.put_back(&pool.figures));
        }
    }

    fn send_datagram(&mut self, datagram: &[u8], is_final: bool) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(socket()?),
        };
        // At the final report the pool is being dropped, perhaps on the application's own thread.
        let _ = socket.set_nonblocking(is_final);
        socket.send_to(datagram, &self.path).map(drop)
    }

    fn report(&self, core: &Core, is_final: bool) -> Report {
        Report {
            instance: self.instance.clone(),
            pid: Some(std::process::id()),
            seq: self.seq,
            period: PERIOD,
            app: core.options.get_application_name().map(str::to_owned),
            is_final,
            pools: vec![core.take_report(&self.pool)],
            findings: Vec::new(),
        }
    }
}

fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
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
    use super::super::{PoolSettings, SharedPool};
    use super::*;

    /// The peaks of the report that has arrived.
    fn peaks(receiver: &UnixDatagram) -> (Option<u64>, Option<u64>) {
        let mut datagram = vec![0; 64 * 1024];
        let length = receiver.recv(&mut datagram).unwrap();
        let figures = Report::parse(&datagram[..length]).unwrap().pools[0].figures;
        (figures.peak, figures.pending_peak)
    }

    #[test]
    fn a_burst_is_in_one_report_that_goes_out() {
        let options = sqlx::postgres::PgConnectOptions::new_without_pgpass();
        let pool = SharedPool::new("web", options, PoolSettings::default());
        let path = std::env::temp_dir().join(format!("poolwatch-{:016x}.sock", random()));
        let (name, instance) = ("web".to_owned(), "1".to_owned());
        let mut sender = Sender { path: path.clone(), socket: None, pool: name, instance, seq: 0 };
        let burst = |callers: u64| {
            let mut state = pool.core.state();
            (0..callers).for_each(|_| state.wait());
            (0..callers).for_each(|_| state.waited());
            (0..callers).for_each(|_| state.take());
            (1..callers).for_each(|_| state.leave());
        };
        burst(7);
        sender.send(&pool.core, false);
        let receiver = UnixDatagram::bind(&path).unwrap();
        sender.send(&pool.core, false);
        assert_eq!(peaks(&receiver), (Some(7), Some(7)), "the report before did not go out");
        sender.send(&pool.core, false);
        assert_eq!(peaks(&receiver), (Some(1), Some(0)), "what is still out");
        assert_eq!(pool.reading().figures.peak, Some(7), "in the last minute");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn periods_differ_by_a_tenth_at_most() {
        let periods: Vec<_> = (0..100).map(|_| jittered(PERIOD)).collect();
        assert!(periods.iter().all(|period| (0.9..=1.1).contains(&period.as_secs_f64())));
        assert!(periods.iter().any(|period| *period != periods[0]));
    }
}
