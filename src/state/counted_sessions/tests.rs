use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A worker that connects to the server alone and does not tell its processes.
#[derive(Clone, Default)]
struct Worker {
    id: u64,
    pids: Vec<i32>,
    opened: u64,
    ended: bool,
}

/// A server, its workers, and what is found of them.
struct World {
    counts: SessionCounts,
    now: Instant,
    workers: Vec<Worker>,
    /// The sessions by their processes.
    sessions: BTreeSet<i32>,
    orphans: BTreeSet<i32>,
    strangers: BTreeSet<i32>,
    next: i32,
}

impl World {
    fn new() -> Self {
        Self {
            counts: SessionCounts::default(),
            now: Instant::now(),
            workers: Vec::new(),
            sessions: BTreeSet::new(),
            orphans: BTreeSet::new(),
            strangers: BTreeSet::new(),
            next: 1,
        }
    }

    fn session(&mut self) -> i32 {
        self.next += 1;
        self.sessions.insert(self.next);
        self.next
    }

    fn start(&mut self, connections: usize) -> u64 {
        let id = self.workers.last().map_or(1, |last| last.id + 1);
        self.workers.push(Worker { id, ..Worker::default() });
        for _ in 0..connections {
            self.open(id);
        }
        id
    }

    fn worker(&mut self, id: u64) -> &mut Worker {
        self.workers.iter_mut().find(|worker| worker.id == id).unwrap()
    }

    fn open(&mut self, id: u64) {
        let pid = self.session();
        let worker = self.worker(id);
        worker.pids.push(pid);
        worker.opened += 1;
    }

    /// Closes the connection that was opened first; the session is still there for a moment.
    fn close(&mut self, id: u64) -> Option<i32> {
        let pids = &mut self.worker(id).pids;
        (!pids.is_empty()).then(|| pids.remove(0))
    }

    /// Ends a worker whose sessions stay.
    fn lose(&mut self, id: u64) {
        let worker = self.worker(id);
        worker.ended = true;
        let pids = std::mem::take(&mut worker.pids);
        self.orphans.extend(pids);
    }

    fn stranger(&mut self) {
        let pid = self.session();
        self.strangers.insert(pid);
    }

    fn end(&mut self, pids: impl IntoIterator<Item = i32>) {
        for pid in pids {
            self.sessions.remove(&pid);
            self.orphans.remove(&pid);
            self.strangers.remove(&pid);
        }
    }

    /// The orphans that are found three seconds later, by the reports of these workers.
    fn read_with(&mut self, workers: &[Worker]) -> Option<usize> {
        self.now += 3 * SECOND;
        let owners: Vec<_> = workers.iter().map(owner).collect();
        self.judge(&owners)
    }

    fn judge(&mut self, owners: &[ConnectionOwner]) -> Option<usize> {
        let sessions = self.sessions.iter().map(|pid| session(*pid)).collect();
        let sessions = ClientSessions { taken_at: self.now, sessions };
        let owners: Vec<_> = owners.iter().collect();
        let found = self.counts.judge(&owners, &sessions, &[target("web").server()]);
        assert!(found.len() <= 1);
        found.first().map(|found| found.orphans)
    }

    fn read(&mut self) -> Option<usize> {
        let workers = self.workers.clone();
        self.read_with(&workers)
    }

    /// After so many readings without a change.
    fn calm(&mut self) -> Option<usize> {
        for _ in 0..STEADY {
            self.read();
        }
        self.read()
    }

    /// Two workers, whose start was seen.
    fn with_two_workers(first: usize, second: usize) -> (Self, u64, u64) {
        let mut world = Self::new();
        let one = world.start(first);
        assert_eq!(world.calm(), None, "it may be a coincidence");
        let two = world.start(second);
        assert_eq!(world.calm(), Some(0));
        (world, one, two)
    }
}

fn target(role: &str) -> ConnectionTarget {
    ConnectionTarget::new("db", 5432, Some("app"), Some(role)).unwrap()
}

fn owner(worker: &Worker) -> ConnectionOwner {
    let (open, opened) = (worker.pids.len() as u64, worker.opened);
    ConnectionOwner {
        id: format!("{}", worker.id),
        ended: worker.ended,
        targets: vec![target("web")],
        counts: Some(ConnectionCounts { open, opened, connecting: 0 }),
        ..ConnectionOwner::default()
    }
}

fn session(pid: i32) -> ClientSession {
    ClientSession {
        pid,
        started: pid.to_string(),
        database: "app".into(),
        user: "web".into(),
        ..ClientSession::default()
    }
}

#[test]
fn sessions_of_a_worker_that_ended_are_counted_also_once_another_takes_its_place() {
    let (mut world, one, two) = World::with_two_workers(3, 2);
    world.lose(one);
    assert_eq!(world.read(), Some(0), "they have a moment to end");
    assert_eq!(world.read(), Some(3));
    let three = world.start(4);
    assert_eq!(world.read(), Some(3));
    assert_eq!(world.calm(), Some(3));
    world.lose(three);
    assert_eq!(world.calm(), Some(7));
    let ended: Vec<_> = world.orphans.iter().copied().take(2).collect();
    world.end(ended);
    assert_eq!(world.calm(), Some(5));
    world.lose(two);
    assert_eq!(world.calm(), Some(7), "all there are");
    let all = world.sessions.clone();
    world.end(all);
    assert_eq!(world.read(), None);
}

#[test]
fn other_clients_of_the_role_are_no_orphans_whenever_they_come() {
    let (mut world, one, _) = World::with_two_workers(3, 2);
    for _ in 0..4 {
        world.stranger();
    }
    assert_eq!(world.calm(), Some(0));
    world.lose(one);
    assert_eq!(world.calm(), Some(3));

    let mut before = World::new();
    before.stranger();
    before.start(3);
    assert_eq!(before.calm(), None);
    let two = before.start(2);
    assert_eq!(before.calm(), None);
    before.lose(two);
    assert_eq!(before.calm(), None, "nobody knows whose they are");
}

#[test]
fn strangers_in_the_place_of_connections_that_are_broken_are_not_taken_for_these() {
    let (mut world, one, _) = World::with_two_workers(3, 2);
    let all = world.sessions.clone();
    world.end(all);
    for _ in 0..5 {
        world.stranger();
    }
    assert_eq!(world.calm(), None);
    world.worker(one).pids.clear();
    assert_eq!(world.calm(), None);
}

#[test]
fn without_certainty_about_everybody_nothing_is_counted() {
    let mut others =
        [ConnectionOwner::default(), owner(&Worker::default()), ConnectionOwner::default()];
    others[1].pids = Some(vec![1, 2]);
    others[2].targets = vec![ConnectionTarget::new("proxy", 1, Some("app"), None).unwrap()];
    for other in others {
        let (mut world, one, two) = World::with_two_workers(3, 2);
        world.lose(one);
        for _ in 0..4 {
            world.now += 3 * SECOND;
            let mut owners: Vec<_> = world.workers.iter().map(owner).collect();
            owners.push(ConnectionOwner { id: "other".into(), ..other.clone() });
            assert_eq!(world.judge(&owners), None, "{other:?}");
        }
        world.workers.retain(|worker| worker.id == two);
        assert_eq!(world.calm(), None);
    }
    let (mut world, one, _) = World::with_two_workers(3, 2);
    world.workers.retain(|worker| worker.id != one);
    assert_eq!(world.calm(), None, "nobody said that it ended");
}

#[test]
fn a_worker_that_was_only_silent_has_no_orphans_once_it_reports_again() {
    let (mut world, one, _) = World::with_two_workers(3, 2);
    world.worker(one).ended = true;
    assert_eq!(world.calm(), Some(3));
    world.worker(one).ended = false;
    world.read();
    assert_eq!(world.calm(), Some(0));
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Does something that happens to workers and sessions; returns sessions that end a moment later.
fn happens(world: &mut World, random: &mut Random, with_strangers: bool) -> Vec<i32> {
    let living: Vec<_> = world.workers.iter().filter(|one| !one.ended).map(|one| one.id).collect();
    let one = living.get(random.below(living.len().max(1))).copied();
    match (random.below(12), one) {
        (0 | 1, _) | (_, None) => _ = world.start(random.below(4)),
        (2..=4, Some(one)) => world.open(one),
        (5 | 6, Some(one)) => return world.close(one).into_iter().collect(),
        (7, Some(one)) => {
            world.worker(one).ended = true;
            return std::mem::take(&mut world.worker(one).pids);
        }
        (8, Some(one)) => world.lose(one),
        (9, _) if with_strangers => world.stranger(),
        (9, _) => return world.strangers.iter().copied().take(1).collect(),
        _ => return world.orphans.iter().copied().take(1).collect(),
    }
    Vec::new()
}

#[test]
fn whatever_happens_no_more_are_counted_than_there_are() {
    let (mut exact, mut some) = (0, 0);
    for seed in 0..60 {
        let (mut world, mut random) = (World::new(), Random(seed));
        let mut reported = Vec::new();
        for _ in 0..80 {
            let mut ending = Vec::new();
            for _ in 0..random.below(4) {
                ending.extend(happens(&mut world, &mut random, seed % 3 == 0));
            }
            // A report may be late by one reading, and a session may end after the next.
            let newest = world.workers.clone();
            let is_late = random.below(3) == 0;
            let found = world.read_with(if is_late { &reported } else { &newest });
            reported = newest;
            assert!(found.unwrap_or(0) <= world.orphans.len(), "{found:?} with seed {seed}");
            world.end(ending);
            if random.below(3) == 0 {
                let found = world.calm();
                let orphans = world.orphans.len();
                assert!(found.unwrap_or(0) <= orphans, "{found:?} with seed {seed}");
                some += usize::from(orphans > 0);
                exact += usize::from(orphans > 0 && found == Some(orphans));
            }
        }
    }
    assert!(exact > 9, "{exact} of {some}: it finds nothing");
}
