use super::*;
use poolwatch_client::report::ConnectionTarget;

/// Time passes with each reading of the sessions.
struct Server {
    claims: SessionClaims,
    now: Instant,
    /// The sessions of silent workers at the last reading.
    silent: Vec<i32>,
}

impl Server {
    fn new() -> Self {
        Self { claims: SessionClaims::default(), now: Instant::now(), silent: Vec::new() }
    }

    /// The numbers of sessions held by a worker, orphaned, and strange, after three seconds.
    fn read(&mut self, owners: &[ConnectionOwner], sessions: &[(i32, &str)]) -> Option<[u64; 3]> {
        self.now += Duration::from_secs(3);
        let sessions = sessions.iter().map(session).collect();
        let sessions = ClientSessions { taken_at: self.now, sessions };
        let places = [target("app").server()];
        let judged = self.claims.judge(owners, &sessions, &places)?;
        let count = |owner| {
            let groups = judged.groups.iter().filter(|group| group.owner == owner);
            groups.map(|group| group.sessions).sum()
        };
        let counted: usize = judged.counted.iter().map(|one| one.orphans).sum();
        let found = judged.orphans.len() + judged.silent.len() + counted;
        assert_eq!(found as u64, count(SessionOwner::Orphan));
        self.silent = judged.silent.iter().map(|session| session.pid).collect();
        Some([SessionOwner::Worker, SessionOwner::Orphan, SessionOwner::Stranger].map(count))
    }
}

fn session((pid, started): &(i32, &str)) -> ClientSession {
    ClientSession {
        pid: *pid,
        started: (*started).to_owned(),
        age_seconds: 60.0,
        database: "app".into(),
        user: "web".into(),
        ..ClientSession::default()
    }
}

fn target(database: &str) -> ConnectionTarget {
    ConnectionTarget::new("db", 5432, Some(database), Some("web")).unwrap()
}

fn worker(id: &str, pids: &[i32]) -> ConnectionOwner {
    let pids = Some(pids.to_vec());
    let targets = vec![target("app")];
    ConnectionOwner { id: id.into(), pids, targets, ..ConnectionOwner::default() }
}

/// One that connects through a proxy, or to another server.
fn proxied(id: &str, pids: &[i32]) -> ConnectionOwner {
    let targets = ConnectionTarget::new("proxy", 6000, Some("app"), Some("web"));
    ConnectionOwner { targets: targets.into_iter().collect(), ..worker(id, pids) }
}

fn ended(owner: &ConnectionOwner) -> ConnectionOwner {
    ConnectionOwner { ended: true, ..owner.clone() }
}

const ALL: &[(i32, &str)] = &[(1, "a"), (2, "b"), (3, "c"), (9, "z")];

#[test]
fn sessions_of_a_worker_that_ended_are_orphans_once_they_had_time_to_end() {
    let (mut server, one, other) = (Server::new(), worker("one", &[1, 2]), worker("two", &[3]));
    assert_eq!(server.read(&[], ALL), None, "nobody reports");
    assert_eq!(server.read(&[one.clone(), other.clone()], ALL), Some([3, 0, 1]));
    let killed = [ended(&one), other];
    assert_eq!(server.read(&killed, ALL), Some([3, 0, 1]));
    assert_eq!(server.read(&killed, ALL), Some([1, 2, 1]));
    assert_eq!(server.read(&killed[1..], ALL), Some([1, 2, 1]), "it is forgotten, they stay");
    assert_eq!(server.read(&killed[1..], &ALL[1..]), Some([1, 1, 1]));
    assert_eq!(server.read(&killed[1..], &ALL[2..]), Some([1, 0, 1]));
}

#[test]
fn a_connection_that_its_pool_lost_is_an_orphan_and_one_that_is_closed_is_not() {
    let mut server = Server::new();
    server.read(&[worker("one", &[1, 2])], ALL);
    server.read(&[worker("one", &[1])], ALL);
    assert_eq!(server.read(&[worker("one", &[1])], ALL), Some([1, 1, 2]));
    assert_eq!(server.read(&[worker("one", &[1, 2])], ALL), Some([2, 0, 2]), "it is back");
    let closed = [(1, "a"), (3, "c"), (9, "z")];
    for _ in 0..3 {
        assert_eq!(server.read(&[worker("one", &[1])], &closed), Some([1, 0, 2]));
    }
}

#[test]
fn of_an_uncertain_server_all_that_a_worker_reports_must_be_there_and_twice() {
    let mut server = Server::new();
    for owner in [proxied("one", &[1]), proxied("two", &[1, 2, 77])] {
        for _ in 0..3 {
            assert_eq!(server.read(std::slice::from_ref(&owner), ALL), None, "{}", owner.id);
        }
    }
    assert_eq!(server.read(&[proxied("one", &[1, 2])], ALL), None);
    assert_eq!(server.read(&[proxied("other", &[2, 3])], ALL), None, "each only once");
    let three = proxied("three", &[2, 3]);
    server.read(std::slice::from_ref(&three), ALL);
    assert_eq!(server.read(std::slice::from_ref(&three), ALL), Some([2, 0, 2]));
    server.read(&[ended(&three)], ALL);
    assert_eq!(server.read(&[ended(&three)], ALL), Some([0, 2, 2]));
}

#[test]
fn what_is_not_certain_is_no_orphan() {
    let mut server = Server::new();
    server.read(&[worker("one", &[1, 2])], ALL);
    let too_many = ConnectionOwner { pids: None, ..worker("one", &[]) };
    for _ in 0..3 {
        assert_eq!(server.read(std::slice::from_ref(&too_many), ALL), Some([0, 0, 4]));
    }
    server.read(&[worker("one", &[1, 2])], ALL);
    for _ in 0..3 {
        assert_eq!(server.read(&[], ALL), Some([0, 0, 4]), "nobody said that it ended");
    }
}

#[test]
fn sessions_of_a_worker_that_is_only_silent_are_not_certain_to_have_none() {
    let (mut server, one) = (Server::new(), worker("one", &[1, 2]));
    let silent = |one: &ConnectionOwner| ConnectionOwner { is_silent: true, ..ended(one) };
    server.read(&[worker("one", &[1, 2, 3])], ALL);
    server.read(std::slice::from_ref(&one), ALL);
    for _ in 0..2 {
        server.read(&[silent(&one)], ALL);
    }
    assert_eq!(server.read(&[silent(&one)], ALL), Some([0, 3, 1]));
    assert_eq!(server.silent, [1, 2], "the third was lost while it reported");
    assert_eq!(server.read(&[], ALL), Some([0, 3, 1]), "it is forgotten, they stay");
    assert_eq!(server.silent, [1, 2]);
    server.read(&[worker("two", &[1])], ALL);
    assert_eq!(server.read(&[ended(&one), worker("two", &[1])], ALL), Some([1, 2, 1]));
    assert_eq!(server.silent, [0; 0], "its process is gone");
    server.read(&[silent(&one)], ALL);
    assert_eq!(server.read(&[one], ALL), Some([2, 1, 1]), "it reports again");
}

#[test]
fn sessions_that_were_counted_are_never_certain_although_no_worker_has_any() {
    let sessions: Vec<_> = ALL.iter().map(session).collect();
    let counted = vec![CountedSessions { orphans: sessions.len(), sessions: sessions.clone() }];
    let sessions = ClientSessions { taken_at: Instant::now(), sessions };
    let judged = SessionClaims::default().owners(&sessions, counted.clone());
    assert_eq!((judged.orphans, judged.counted), (vec![], counted));
}

#[test]
fn a_process_that_came_again_is_another_session() {
    let mut server = Server::new();
    server.read(&[worker("one", &[1, 2])], ALL);
    let again = [(1, "a"), (2, "later")];
    assert_eq!(server.read(&[worker("one", &[1, 2])], &again), Some([1, 0, 1]));
    for _ in 0..3 {
        let dropped = [worker("one", &[1])];
        assert_eq!(server.read(&dropped, &again), Some([1, 0, 1]), "it never held that one");
    }
}

#[test]
fn processes_of_a_pooler_another_server_or_another_role_are_nobodys_here() {
    let mut server = Server::new();
    let through_pooler = worker("one", &[1_804_289_383, 846_930_886, 1]);
    assert_eq!(server.read(&[through_pooler], ALL), None);
    let owner =
        |database| ConnectionOwner { targets: vec![target(database)], ..worker("one", &[1, 2]) };
    assert_eq!(server.read(&[owner("other")], ALL), None);
    assert_eq!(server.read(&[owner("app")], ALL), Some([2, 0, 2]));
}

#[test]
fn the_smallest_groups_are_one_and_the_sum_stays() {
    let sums: Vec<_> = (0..80).map(|number| format!("app{number:02}")).collect();
    let of = |owner| sums.iter().map(move |name| ((owner, name.as_str(), "local"), 2));
    let sums = of(SessionOwner::Stranger).chain(of(SessionOwner::Worker)).collect();
    let groups = bounded(sums);
    assert_eq!(groups.len(), GROUPS + 2);
    assert_eq!(groups.iter().map(|group| group.sessions).sum::<u64>(), 320);
}
