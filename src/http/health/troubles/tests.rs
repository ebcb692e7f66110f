use std::time::Instant;

use super::super::Headline;
use super::super::examples::{NOW, database, empty, full, pool, worker};
use super::*;
use crate::advice::{Cause, Observed};
use crate::reading::Origin;
use crate::state::Health;

fn advice(rule: &'static str, severity: Severity, subject: &str, present: Present) -> Advice {
    let now = Instant::now();
    Advice {
        rule,
        severity,
        subject: subject.into(),
        message: format!("{rule} of {subject}"),
        remedy: "do".into(),
        sql: Vec::new(),
        tables: Vec::new(),
        explained_by: None,
        observed: Some(Observed { since: now, shown: now, present }),
    }
}

fn over() -> Present {
    Present::Over(Instant::now())
}

#[test]
fn a_trouble_that_is_over_is_told_as_past_under_a_healthy_headline() {
    let mut snapshot = empty();
    snapshot.advice = vec![advice("pool_usage", Severity::Critical, "web", over())];
    let troubles = troubles(&snapshot, Moment::now());
    assert!(!troubles[0].lasts());
    let headline = Headline::new(&troubles);
    assert_eq!(headline.status, "healthy");
    let start = "nothing needs attention now; web: critical until ";
    assert!(headline.message.starts_with(start), "{}", headline.message);
}

#[test]
fn a_trouble_that_is_milder_now_says_so_and_what_it_was() {
    let mut snapshot = empty();
    let milder = Present::Milder { severity: Severity::Warning, message: "16 of 20".into() };
    snapshot.advice = vec![advice("pool_usage", Severity::Critical, "web", milder)];
    let troubles = troubles(&snapshot, Moment::now());
    assert_eq!((troubles[0].severity, &*troubles[0].message), (Severity::Warning, "16 of 20"));
    assert_eq!(troubles[0].was.as_ref().unwrap().severity, Severity::Critical);
    assert_eq!(Headline::new(&troubles).status, "warning");
}

#[test]
fn a_consequence_stands_below_its_cause_while_both_last() {
    let mut snapshot = empty();
    let cause = |present| advice("connection_leak", Severity::Warning, "web", present);
    let consequence = Advice {
        explained_by: Some(Cause { rule: "connection_leak", subject: "web".into() }),
        ..advice("pool_exhausted", Severity::Critical, "web", Present::Same)
    };
    snapshot.advice = vec![cause(Present::Same), consequence.clone()];
    let both = troubles(&snapshot, Moment::now());
    assert_eq!((both.len(), both[0].consequences.len()), (1, 1));
    assert_eq!(Headline::new(&both).status, "critical", "as the worse of both is");
    snapshot.advice = vec![cause(over()), consequence];
    let apart = troubles(&snapshot, Moment::now());
    assert_eq!((apart.len(), apart[0].rule), (2, "pool_exhausted"));
}

#[test]
fn a_pool_that_no_advice_speaks_of_yet_has_its_card() {
    let mut snapshot = empty();
    snapshot.pools = vec![pool("web", Origin::Workers, vec![worker(1, 19), worker(2, 0)])];
    let found = troubles(&snapshot, *NOW);
    assert_eq!((found[0].rule, found[0].severity), ("pool_status", Severity::Critical));
    assert!(found[0].message.starts_with("95 % of the connections"), "{}", found[0].message);
    snapshot.advice = vec![advice("pool_usage", Severity::Critical, "web", Present::Same)];
    assert_eq!(troubles(&snapshot, *NOW).len(), 1);
    snapshot.advice = vec![advice("pool_usage", Severity::Critical, "web", over())];
    assert_eq!(troubles(&snapshot, *NOW).len(), 2, "full again, and not yet advised on");
}

#[test]
fn the_headline_is_about_the_worst_pool_and_a_server_that_is_down_comes_before_it() {
    let mut snapshot = empty();
    let full = |name: &str| pool(name, Origin::Workers, vec![worker(1, 20)]);
    let mut worst = full("web");
    worst.sum.pending = Some(3);
    snapshot.pools = vec![full("api"), worst];
    let found = troubles(&snapshot, *NOW);
    assert_eq!((worst_pool(&snapshot), &*found[0].subject), (Some("web"), "web"));
    snapshot.databases = vec![database("primary", Some(false))];
    let found = troubles(&snapshot, *NOW);
    let subjects: Vec<_> = found.iter().map(|one| &*one.subject).collect();
    assert_eq!(subjects, ["primary", "web", "api"]);
}

#[test]
fn all_that_is_not_read_of_a_dead_server_is_one_card() {
    let mut snapshot = full();
    let of = |name: &str, server: &str| SourceState {
        name: format!("{server}/{name}"),
        server: Some(server.into()),
        error: Some("the server does not answer".into()),
        ..snapshot.sources[0].clone()
    };
    snapshot.sources = vec![of("probe", "replica"), of("wal", "replica"), of("wal", "primary")];
    snapshot.databases[1].address = "watch@db:5432/app".into();
    snapshot.databases[1].remedy = Some("start the server".into());
    let found = troubles(&snapshot, *NOW);
    let down: Vec<_> = found.iter().filter(|one| one.rule == "server_down").collect();
    assert_eq!(
        (down.len(), &*down[0].subject, &*down[0].remedy),
        (1, "replica", "start the server")
    );
    assert_eq!(down[0].message, "watch@db:5432/app gives no session: connection refused");
    assert!(down[0].details[0].starts_with("2 sources"), "{:?}", down[0].details);
    let failing: Vec<_> = found.iter().filter(|one| one.rule == "source_failing").collect();
    assert_eq!((failing.len(), &*failing[0].subject), (1, "primary/wal"));
}

#[test]
fn the_headline_is_never_better_than_the_health() {
    let mut warned = empty();
    warned.pools = vec![pool("web", Origin::Workers, vec![worker(1, 16)])];
    let mut down = empty();
    down.databases = vec![database("a", Some(false))];
    let mut stale = empty();
    stale.taken_at = None;
    for (snapshot, status) in
        [(empty(), "healthy"), (warned, "warning"), (down, "critical"), (full(), "critical")]
    {
        let headline = Headline::new(&troubles(&snapshot, *NOW));
        assert_eq!(headline.status, status);
        let health = match snapshot.health() {
            Health::Healthy => "healthy",
            Health::Degraded => "warning",
            Health::Unhealthy => "critical",
        };
        assert_eq!(health, status);
    }
    assert_eq!(Headline::new(&troubles(&stale, *NOW)).status, "critical");
}
