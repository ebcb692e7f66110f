//! The connections that are open: as many as allowed, of which one gives way to one more.
//!
//! Whoever rests gives way first, then whoever is slow, then whoever was answered a moment ago, and
//! of these one of the client that has the most: many connections of one client cannot shut out
//! another, however busy they are. Where all have just come and nobody has more than the newcomer,
//! as in a burst of requests, a new one waits until one is answered, or has become slow.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::client::Client;
use super::timeouts::{Phase, Progress};

/// The time in one phase after which a connection rests or is slow.
const SOON: Duration = Duration::from_secs(1);
/// The time between two searches for one that rests or is slow by now.
const AGAIN: Duration = Duration::from_millis(20);

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Places {
    limit: usize,
    open: Mutex<OpenConnections>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    client: Client,
    progress: Progress,
    leave: Arc<Notify>,
}

/// One connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
}

impl ConnectionPermit {
    /// Ends when this connection has to give way.
    pub(super) async fn given_up(&self) {
        self.leave.notified().await;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.places.open().taken.remove(&self.number);
        self.places.freed.notify_one();
    }
}

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: limit.max(1), open: Mutex::default(), freed: Notify::new() })
    }

    /// A place for one more connection, for which another gives way where there is none.
    pub(super) async fn take(
        self: &Arc<Self>,
        client: Client,
        progress: Progress,
    ) -> ConnectionPermit {
        loop {
            if let Some(place) = self.try_take(client, &progress) {
                return place;
            }
            // Whichever comes first: in a second at most one is slow.
            let _ = timeout(AGAIN, self.freed.notified()).await;
        }
    }

    fn try_take(self: &Arc<Self>, client: Client, progress: &Progress) -> Option<ConnectionPermit> {
        let mut open = self.open();
        if open.taken.len() >= self.limit {
            let connections = open.connections();
            let of = |client: &Client| connections.get(client).copied().unwrap_or(0);
            let fair = of(&client) + 1;
            open.give_up(|one, rank| rank < ConnectionRank::Busy || of(&one.client) > fair)
                .then_some(())?;
        }
        let (number, leave) = (open.next, Arc::new(Notify::new()));
        open.next += 1;
        let progress = progress.clone();
        open.taken.insert(number, Taken { client, progress, leave: Arc::clone(&leave) });
        Some(ConnectionPermit { places: Arc::clone(self), number, leave })
    }

    /// Has the connection give way that takes its answer most slowly; `false` when none is slow.
    pub(super) fn give_up_a_slow_one(&self) -> bool {
        self.open().give_up(|one, rank| {
            rank == ConnectionRank::Slow && one.progress.phase() == Phase::Answered
        })
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The order in which connections give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ConnectionRank {
    Resting,
    Slow,
    /// Answered a moment ago: it may ask once more.
    Idle,
    /// Gives way to a client that has fewer connections, and to no other.
    Busy,
}

impl ConnectionRank {
    fn from_progress(progress: &Progress) -> Self {
        match (progress.phase(), progress.age() >= SOON) {
            (Phase::Fresh | Phase::Head | Phase::Idle, true) => Self::Resting,
            (Phase::Answering | Phase::Answered, true) => Self::Slow,
            (Phase::Idle, false) => Self::Idle,
            (_, false) => Self::Busy,
        }
    }
}

impl OpenConnections {
    /// The number of connections that each client has.
    fn connections(&self) -> HashMap<Client, usize> {
        let mut connections = HashMap::new();
        self.taken.values().for_each(|one| *connections.entry(one.client).or_default() += 1);
        connections
    }

    /// Of those that may give way, the ones of the lowest rank: of these the oldest of the client
    /// with most of them.
    fn give_up(&mut self, may: impl Fn(&Taken, ConnectionRank) -> bool) -> bool {
        let ranked = self.taken.iter().map(|(number, one)| {
            let rank = ConnectionRank::from_progress(&one.progress);
            (rank, *number, one)
        });
        let mut ranked: Vec<_> = ranked.filter(|(rank, _, one)| may(one, *rank)).collect();
        let lowest = ranked.iter().map(|(rank, ..)| *rank).min();
        ranked.retain(|(rank, ..)| Some(*rank) == lowest);
        let mut of_client: HashMap<Client, usize> = HashMap::new();
        for (_, _, one) in &ranked {
            *of_client.entry(one.client).or_default() += 1;
        }
        let chosen = ranked.iter().min_by_key(|(_, _, one)| {
            (Reverse(of_client[&one.client]), Reverse(one.progress.age()))
        });
        let Some(number) = chosen.map(|(_, number, _)| *number) else { return false };
        // Counted no longer, though it takes a moment to end.
        let gone = self.taken.remove(&number).expect("it was chosen among these");
        gone.leave.notify_one();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::time::{Instant, advance, sleep};

    const ONE: Client = client(1);
    const OTHER: Client = client(2);

    const fn client(last: u8) -> Client {
        Client(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, last)))
    }

    fn is_given_up(place: &ConnectionPermit) -> bool {
        place.given_up().now_or_never().is_some()
    }

    fn working() -> Progress {
        let progress = Progress::default();
        progress.enter(Phase::Answering);
        progress
    }

    async fn connection(places: &Arc<Places>, client: Client, phase: Phase) -> ConnectionPermit {
        let progress = Progress::default();
        let place = places.take(client, progress.clone()).await;
        progress.enter(phase);
        advance(SOON).await;
        place
    }

    #[tokio::test(start_paused = true)]
    async fn who_rests_longest_gives_way() {
        let places = Places::new(3);
        let working = connection(&places, ONE, Phase::Answering).await;
        let longest = connection(&places, ONE, Phase::Idle).await;
        let later = connection(&places, ONE, Phase::Head).await;
        let new = connection(&places, ONE, Phase::Fresh).await;
        let given_up = [&working, &longest, &later, &new].map(is_given_up);
        assert_eq!(given_up, [false, true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_cannot_shut_out_another() {
        let places = Places::new(4);
        let scraper = connection(&places, OTHER, Phase::Idle).await;
        let mut kept = Vec::new();
        for _ in 0..100 {
            // Each is kept open by its client, whether it is given up or not.
            kept.push(connection(&places, ONE, Phase::Fresh).await);
        }
        assert!(!is_given_up(&scraper));
        assert_eq!(kept.iter().filter(|place| is_given_up(place)).count(), 97);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_waits_until_one_is_answered() {
        let places = Places::new(2);
        let [answered, other] =
            [places.try_take(ONE, &working()), places.try_take(ONE, &working())]
                .map(Option::unwrap);
        let began = Instant::now();
        let (new, ()) = tokio::join!(places.take(ONE, working()), async {
            sleep(SOON / 4).await;
            drop(answered);
        });
        assert!(began.elapsed() < SOON / 2, "{:?}", began.elapsed());
        assert!(!is_given_up(&other) && !is_given_up(&new));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_client_cannot_shut_out_another() {
        let places = Places::new(8);
        let idle = Progress::default();
        idle.enter(Phase::Idle);
        for progress in [working(), idle] {
            // Each connection has asked something a moment ago.
            let busy: Vec<_> = (0..8)
                .map(|_| places.try_take(ONE, &progress).expect("they fit, or give way"))
                .collect();
            let probe = places.try_take(OTHER, &working()).expect("one gives way");
            assert_eq!(busy.iter().filter(|place| is_given_up(place)).count(), 1);
            assert!(!is_given_up(&probe));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fair_share_does_not_give_way() {
        let places = Places::new(2);
        let own = places.try_take(ONE, &working()).unwrap();
        let other = places.try_take(OTHER, &working()).unwrap();
        assert!(places.try_take(ONE, &working()).is_none());
        assert!(places.try_take(client(3), &working()).is_none());
        assert!(!is_given_up(&own) && !is_given_up(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_work_the_slowest_gives_way() {
        let places = Places::new(2);
        let slow = connection(&places, ONE, Phase::Answering).await;
        let other = connection(&places, ONE, Phase::Answered).await;
        let new = connection(&places, ONE, Phase::Fresh).await;
        assert!(is_given_up(&slow) && !is_given_up(&other) && !is_given_up(&new));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_slow_one_gives_way_to_a_request() {
        let places = Places::new(9);
        let own = connection(&places, ONE, Phase::Answering).await;
        let progress = Progress::default();
        let taking = places.try_take(ONE, &progress).unwrap();
        progress.enter(Phase::Answered);
        assert!(!places.give_up_a_slow_one());
        advance(SOON).await;
        assert!(places.give_up_a_slow_one());
        assert!(is_given_up(&taking) && !is_given_up(&own));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_free_when_its_connection_ends() {
        let places = Places::new(1);
        for _ in 0..3 {
            let place = connection(&places, ONE, Phase::Answering).await;
            assert!(!is_given_up(&place));
        }
        assert!(places.open().taken.is_empty());
    }
}
