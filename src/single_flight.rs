//! Work that is done on a thread of its own, once for all who want it at the same time: what may
//! take long or wait for a disk must not keep the runtime's only thread.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

/// The time that work may hang before it is begun once more beside itself: the file that it waits
/// for may be another by now.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// The number of threads that may hang.
const HANGING: usize = 4;

/// One piece of work, done now and again.
#[derive(Debug)]
pub(crate) struct SingleFlight<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    running: Option<Running<T>>,
    /// The work that was begun before and hangs.
    given_up: Vec<Running<T>>,
}

#[derive(Debug)]
struct Running<T> {
    since: Instant,
    outcome: watch::Receiver<Option<T>>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Mutex::new(State { running: None, given_up: Vec::new() }))
    }
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Returns the result of the work under way, else of work begun now. `None` when it takes longer
    /// than the limit since its beginning: a file may hang, and then nobody waits for it again.
    pub(crate) async fn get(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (left, mut outcome) = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.let_go();
            let under_way = state.running.take().or_else(|| begin(work))?;
            let left = limit.saturating_sub(under_way.since.elapsed());
            (left, state.running.insert(under_way).outcome.clone())
        };
        let made = timeout(left, outcome.wait_for(Option::is_some)).await.ok()?.ok()?;
        made.clone()
    }
}

fn begin<T: Send + Sync + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<Running<T>> {
    let (send, outcome) = watch::channel(None);
    let thread = thread::Builder::new().name("single-flight".into());
    let begun = thread.spawn(move || send.send_replace(Some(work())).is_some());
    begun.ok().map(|_| Running { since: Instant::now(), outcome })
}

impl<T> State<T> {
    /// Forgets what is over, and waits no longer for what hangs.
    fn let_go(&mut self) {
        self.given_up.retain(|one| !one.is_over());
        self.running = self.running.take().filter(|one| !one.is_over());
        if self.given_up.len() + 1 < HANGING {
            self.given_up.extend(self.running.take_if(|one| one.since.elapsed() >= GIVEN_UP));
        }
    }
}

impl<T> Running<T> {
    /// True when it has a result, or never will.
    fn is_over(&self) -> bool {
        self.outcome.borrow().is_some() || self.outcome.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::sync::{Arc, mpsc};

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn those_who_want_it_at_the_same_time_share_it() {
        let (flight, times) = (SingleFlight::default(), Arc::new(AtomicU32::new(0)));
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let work = || {
            let (times, wait) = (Arc::clone(&times), Arc::clone(&wait));
            move || {
                wait.lock().unwrap().recv().unwrap();
                times.fetch_add(1, Relaxed)
            }
        };
        let all = join_all((0..20).map(|_| flight.get(LONG, work())));
        // Once all have asked.
        let (all, ()) = tokio::join!(all, async { go.send(()).unwrap() });
        assert_eq!(all, vec![Some(0); 20]);
        go.send(()).unwrap();
        assert_eq!(flight.get(LONG, work()).await, Some(1), "what is over is begun again");
    }

    #[tokio::test]
    async fn what_hangs_is_waited_for_once() {
        let (flight, limit) = (SingleFlight::default(), Duration::from_millis(300));
        let (hang, wait) = mpsc::channel::<()>();
        assert_eq!(flight.get(limit, move || wait.recv().is_ok()).await, None);
        let began = Instant::now();
        assert_eq!(flight.get(limit, || true).await, None);
        assert!(began.elapsed() < limit);
        drop(hang);
        while flight.get(limit, || true).await.is_none() {}
    }

    #[tokio::test]
    async fn what_panics_makes_nothing_and_can_be_begun_again() {
        let flight = SingleFlight::default();
        assert_eq!(flight.get(LONG, || panic!("it is broken")).await, None::<u8>);
        assert_eq!(flight.get(LONG, || 7).await, Some(7));
    }
}
