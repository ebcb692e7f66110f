//! The fold of single reports, of deaths and restarts; `happenings` has them in any order.

mod happenings;

use super::super::budget::SERIES_OF_POOL;
use super::*;
use crate::latency::{BOUNDS, Histogram};
use crate::reading::{Figures, Finding, MaxOverflow, Timings, Totals};

const SECOND: Duration = Duration::from_secs(1);

fn fold() -> Fold {
    Fold::new(&Settings::default())
}

fn histogram(count: u64) -> Histogram {
    let mut counts = vec![0; BOUNDS.len() + 1];
    counts[3] = count;
    Histogram::from_counts(BOUNDS, counts, count as f64 / 128.0).unwrap()
}

fn pool(name: &str, opened: u64) -> report::PoolReport {
    report::PoolReport {
        name: name.into(),
        figures: Figures {
            size: Some(5),
            max_overflow: Some(MaxOverflow::Limited(15)),
            checked_out: Some(2),
            ..Figures::default()
        },
        totals: Totals { opened: Some(opened), ..Totals::default() },
        timings: Timings { query: Some(histogram(opened)), ..Timings::default() },
        ..report::PoolReport::default()
    }
}

fn report(instance: &str, seq: u64, opened: u64) -> Report {
    Report {
        instance: instance.into(),
        pid: Some(7),
        seq,
        period: SECOND,
        app: None,
        is_final: false,
        pools: vec![pool("web", opened)],
        findings: Vec::new(),
    }
}

/// The pool's only sums: connections opened and statements timed.
fn sums(reading: &Reading) -> (u64, u64) {
    let pool = &reading.pools[0];
    (pool.totals.opened.unwrap(), pool.timings.query.as_ref().unwrap().count())
}

#[test]
fn workers_are_summed_and_each_is_shown() {
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(report("a", 1, 3), None, now).unwrap();
    fold.take(report("b", 1, 4), None, now).unwrap();
    let reading = fold.reading(now + SECOND);
    assert_eq!((sums(&reading), reading.pools[0].worker_count), ((7, 7), Some(2)));
    let worker = &reading.pools[0].workers[0];
    assert_eq!((worker.pid, worker.age), (Some(7), Some(SECOND)));
    assert_eq!(worker.figures.utilization(), Some(0.1));
}

#[test]
fn figures_go_after_three_missed_reports_and_counters_stay() {
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(report("a", 1, 3), None, now).unwrap();
    fold.take(Report { period: 5 * SECOND, ..report("slow", 1, 1) }, None, now).unwrap();
    assert_eq!(fold.reading(now + 3 * SECOND).pools[0].worker_count, Some(2));
    let later = fold.reading(now + SECOND * 7 / 2);
    assert_eq!((later.pools[0].worker_count, sums(&later)), (Some(1), (4, 4)));
    let last = fold.reading(now + 16 * SECOND);
    assert_eq!((last.pools[0].workers.len(), sums(&last)), (0, (4, 4)));
}

#[test]
fn a_final_report_takes_the_figures_at_once_and_keeps_its_counters() {
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(report("a", 1, 3), None, now).unwrap();
    fold.take(Report { is_final: true, ..report("a", 2, 5) }, None, now).unwrap();
    let reading = fold.reading(now);
    assert_eq!((reading.pools[0].worker_count, sums(&reading)), (Some(0), (5, 5)));
}

#[test]
fn two_processes_that_report_as_one_are_two_workers() {
    let (mut fold, now) = (fold(), Instant::now());
    let (parent, child) = (std::process::id(), std::os::unix::process::parent_id());
    fold.take(report("forked", 1, 3), Some(parent), now).unwrap();
    fold.take(report("forked", 1, 4), Some(child), now).unwrap();
    fold.take(report("forked", 2, 5), Some(child), now).unwrap();
    fold.take(report("forked", 2, 3), Some(parent), now).unwrap();
    let reading = fold.reading(now);
    assert_eq!((reading.pools[0].worker_count, sums(&reading)), (Some(2), (8, 8)));
}

#[test]
fn a_fork_is_told_once_it_has_room_and_once_a_minute() {
    let (mut fold, now) = (fold(), Instant::now());
    let parent = std::process::id();
    let tell = |fold: &mut Fold, child, seq, at| {
        let taken = fold.take(report("forked", seq, 1), Some(child), at);
        (taken.is_ok(), fold.forks_logged_at)
    };
    assert_eq!(tell(&mut fold, parent, 1, now), (true, None));
    fold.max_workers = 1;
    assert_eq!(tell(&mut fold, parent + 1, 1, now), (false, None));
    fold.max_workers = 4;
    assert_eq!(tell(&mut fold, parent + 1, 1, now), (true, Some(now)));
    let soon = now + FORKS_EVERY / 2;
    assert_eq!(tell(&mut fold, parent + 2, 1, soon), (true, Some(now)));
    let later = now + FORKS_EVERY;
    assert_eq!(tell(&mut fold, parent + 3, 1, later), (true, Some(later)));
}

#[test]
fn a_worker_whose_process_is_gone_is_not_waited_for() {
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(report("dead", 1, 3), Some(ended.id()), now).unwrap();
    fold.take(report("alive", 1, 3), Some(std::process::id()), now).unwrap();
    let reading = fold.reading(now + 2 * SECOND);
    assert_eq!(reading.pools[0].workers[0].pid, Some(std::process::id()));
    assert_eq!(reading.pools[0].worker_count, Some(1));
}

#[test]
fn the_end_of_a_worker_whose_process_cannot_be_looked_for_is_inferred_from_its_silence() {
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(report("dead", 1, 3), Some(ended.id()), now).unwrap();
    fold.take(report("alive", 1, 3), Some(std::process::id()), now).unwrap();
    fold.take(report("unseen", 1, 3), None, now).unwrap();
    let mut ends_after = |seconds: u32| {
        let owners = fold.reading(now + seconds * SECOND).owners;
        ["dead", "alive", "unseen"].map(|name| {
            let owner = owners.iter().find(|owner| owner.id.starts_with(name)).unwrap();
            (owner.ended, owner.is_silent)
        })
    };
    assert_eq!(ends_after(299), [(true, false), (false, false), (false, false)]);
    assert_eq!(ends_after(301), [(true, false), (false, false), (true, true)]);
}

#[test]
fn a_worker_that_was_only_stopped_is_not_counted_twice() {
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(report("a", 1, 3), None, now).unwrap();
    let _ = fold.reading(now + 300 * SECOND);
    fold.take(report("a", 2, 4), None, now + 300 * SECOND).unwrap();
    let reading = fold.reading(now + 300 * SECOND);
    assert_eq!((reading.pools[0].worker_count, sums(&reading)), (Some(1), (4, 4)));
}

#[test]
fn a_worker_that_stands_still_for_hours_is_not_counted_twice() {
    let (mut fold, now) = (fold(), Instant::now());
    let hours = 10 * MEMORY;
    fold.take(report("a", 1, 3), Some(std::process::id()), now).unwrap();
    assert_eq!(fold.reading(now + hours).pools[0].worker_count, Some(0));
    fold.take(report("a", 2, 4), Some(std::process::id()), now + hours).unwrap();
    let reading = fold.reading(now + hours);
    assert_eq!((reading.pools[0].worker_count, sums(&reading)), (Some(1), (4, 4)));
}

#[test]
fn a_counter_that_falls_began_again() {
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(report("a", 1, 10), None, now).unwrap();
    fold.take(report("a", 2, 4), None, now).unwrap();
    assert_eq!(sums(&fold.reading(now)), (14, 14));
}

#[test]
fn what_a_report_leaves_out_is_not_counted_again_when_it_comes_back() {
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(report("a", 1, 10), None, now).unwrap();
    fold.take(Report { pools: Vec::new(), ..report("a", 2, 0) }, None, now).unwrap();
    assert_eq!(fold.reading(now).pools[0].worker_count, Some(0));
    let bare = report::PoolReport {
        totals: Totals::default(),
        timings: Timings::default(),
        ..pool("web", 0)
    };
    fold.take(Report { pools: vec![bare], ..report("a", 3, 0) }, None, now).unwrap();
    fold.take(report("a", 4, 11), None, now).unwrap();
    let reading = fold.reading(now);
    assert_eq!((sums(&reading), reading.pools[0].worker_count), ((11, 11), Some(1)));
}

#[test]
fn too_many_workers_are_refused_until_some_are_silent() {
    let mut fold = Fold::new(&Settings { max_workers: 3, ..Settings::default() });
    let now = Instant::now();
    for name in ["a", "b", "c"] {
        fold.take(report(name, 1, 1), None, now).unwrap();
    }
    assert_eq!(fold.take(report("d", 1, 1), None, now), Err(Reason::TooManyWorkers));
    assert_eq!(
        fold.take(report("c", 2, 2), None, now),
        Ok(()),
        "those that report already still do"
    );
    for round in 1..20 {
        let now = now + round * 4 * SECOND;
        for name in ["d", "e", "f"] {
            fold.take(report(&format!("{name}{round}"), 1, 1), None, now).unwrap();
        }
        assert!(fold.instances.len() <= 6);
    }
    assert_eq!(sums(&fold.reading(now + 100 * SECOND)), (4 + 19 * 3, 4 + 19 * 3));
}

/// Of three pools these limits allow two.
fn refuses_the_third_pool(settings: &Settings) {
    let mut fold = Fold::new(settings);
    let now = Instant::now();
    let pools = ["web", "jobs", "typo"].map(|name| pool(name, 1)).to_vec();
    let refused = fold.take(Report { pools, ..report("a", 1, 1) }, None, now);
    assert_eq!(refused, Err(Reason::TooManyPools));
    assert_eq!(fold.reading(now).pools.len(), 2);
}

#[test]
fn too_many_pools_are_refused_and_the_rest_of_the_report_taken() {
    refuses_the_third_pool(&Settings { max_pools: 2, ..Settings::default() });
}

#[test]
fn a_pool_that_no_worker_has_any_more_makes_room() {
    let mut fold = Fold::new(&Settings { max_pools: 2, ..Settings::default() });
    let named = |name: &str, seq, is_final| Report {
        pools: vec![pool(name, 1)],
        is_final,
        ..report(name, seq, 1)
    };
    let now = Instant::now();
    fold.take(named("web", 1, false), None, now).unwrap();
    for (second, name) in (1..).zip(["a", "b", "c", "d"]) {
        let now = now + second * SECOND;
        fold.take(named("web", u64::from(second) + 1, false), None, now).unwrap();
        fold.take(named(name, 1, false), None, now).unwrap();
        let refused = fold.take(named("typo", u64::from(second), false), None, now);
        assert_eq!(refused, Err(Reason::TooManyPools), "while all have a worker");
        fold.take(named(name, 2, true), None, now).unwrap();
        let names: Vec<_> = fold.reading(now).pools.into_iter().map(|pool| pool.name).collect();
        assert_eq!(names, [name, "web"]);
    }
    let silent = now + 5 * SECOND + MEMORY;
    fold.take(named("jobs", 1, false), None, silent).unwrap();
    fold.take(named("more", 1, false), None, silent).unwrap();
}

#[test]
fn silent_workers_are_forgotten_and_their_counters_are_not() {
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(report("a", 1, 10), None, now).unwrap();
    let reading = fold.reading(now + MEMORY);
    assert_eq!((fold.instances.len(), sums(&reading)), (0, (10, 10)));
}

#[test]
fn findings_are_shown_once() {
    let (mut fold, now) = (fold(), Instant::now());
    let finding = Finding {
        pool: "web".into(),
        kind: "n_plus_one".into(),
        sql: "SELECT".into(),
        count: 11,
        rows: 11,
        location: None,
    };
    for name in ["a", "b"] {
        let findings = vec![finding.clone(), finding.clone()];
        fold.take(Report { findings, ..report(name, 1, 1) }, None, now).unwrap();
    }
    assert_eq!(fold.reading(now).findings, [finding]);
}

fn holding(instance: &str, seq: u64, endpoints: &[(&str, u64, u64)]) -> Report {
    let endpoint = |&(name, checked_out, checkouts): &(&str, u64, u64)| report::Endpoint {
        name: name.into(),
        checked_out,
        totals: report::EndpointTotals { checkouts, held: checkouts as f64, hold: None },
    };
    let hold = report::Hold { age: seq as f64, ..report::Hold::default() };
    let mut report = report(instance, seq, 0);
    report.pools[0].endpoints = endpoints.iter().map(endpoint).collect();
    report.pools[0].holds = vec![hold];
    report
}

#[test]
fn endpoints_are_summed_over_workers_and_outlive_them() {
    let (mut fold, now) = (fold(), Instant::now());
    fold.take(holding("a", 1, &[("GET /a", 2, 5), ("other", 1, 1)]), None, now).unwrap();
    fold.take(holding("b", 2, &[("GET /a", 3, 4), ("GET /b", 1, 1)]), None, now).unwrap();
    let shown = |fold: &mut Fold| {
        let holders = fold.reading(now).pools.remove(0).holders;
        let rows = holders.endpoints.into_iter();
        let rows = rows.map(|one| (one.name, one.checked_out, one.totals.checkouts));
        (rows.collect::<Vec<_>>(), holders.holds.iter().map(|one| one.hold.age).collect::<Vec<_>>())
    };
    let row = |name: &str, checked_out, checkouts| (name.to_owned(), checked_out, checkouts);
    let all = vec![row("GET /a", 5, 9), row("GET /b", 1, 1), row("other", 1, 1)];
    assert_eq!(shown(&mut fold), (all, vec![2.0, 1.0]));
    let last = Report { is_final: true, ..holding("a", 3, &[("GET /a", 0, 7)]) };
    fold.take(last, None, now).unwrap();
    let rest = vec![row("GET /a", 3, 11), row("GET /b", 1, 1), row("other", 0, 1)];
    assert_eq!(shown(&mut fold), (rest, vec![2.0]));
}

/// The names of the endpoints of each pool.
fn endpoints(reading: &Reading) -> Vec<Vec<&str>> {
    let of_pools = reading.pools.iter().map(|pool| &pool.holders.endpoints);
    of_pools.map(|all| all.iter().map(|one| one.name.as_str()).collect()).collect()
}

#[test]
fn endpoints_beyond_the_budget_are_summed_and_counted() {
    let of_pool = SERIES_OF_POOL + SERIES_OF_ENDPOINT;
    let max_series = of_pool + 2 * SERIES_OF_ENDPOINT;
    let mut fold = Fold::new(&Settings { max_series, ..Settings::default() });
    let now = Instant::now();
    let all = [("GET /a", 1, 5), ("GET /b", 1, 4), ("GET /c", 0, 3), ("GET /d", 0, 2)];
    fold.take(holding("a", 1, &all), None, now).unwrap();
    let reading = fold.reading(now);
    assert_eq!(endpoints(&reading), [["GET /a", "GET /b", "other"]]);
    assert_eq!(reading.pools[0].holders.endpoints[2].totals.checkouts, 5);
    assert_eq!(reading.aggregated, 2 * SERIES_OF_ENDPOINT as u64);

    // A pool that comes later has its room, and the endpoint that did nothing for longest gives way.
    let more = Settings { max_series: max_series + of_pool - 1, ..Settings::default() };
    fold.change(&more);
    let mut second = holding("a", 2, &[("GET /a", 0, 6)]);
    second.pools.push(pool("jobs", 1));
    fold.take(second, None, now + SECOND).unwrap();
    assert_eq!(endpoints(&fold.reading(now + SECOND)), [vec![], vec!["GET /a", "other"]]);
}

#[test]
fn pools_that_do_not_fit_into_the_budget_are_refused() {
    let max_series = 3 * (SERIES_OF_POOL + SERIES_OF_ENDPOINT) - 1;
    refuses_the_third_pool(&Settings { max_series, ..Settings::default() });
}

#[test]
fn further_applications_of_a_pool_are_part_of_the_budget() {
    let max_series = SERIES_OF_POOL + 2 * SERIES_OF_ENDPOINT;
    let mut fold = Fold::new(&Settings { max_series, ..Settings::default() });
    let now = Instant::now();
    for app in ["shop", "admin"] {
        let report = Report { app: Some(app.into()), ..holding(app, 1, &[("GET /a", 1, 1)]) };
        fold.take(report, None, now).unwrap();
        let shown = endpoints(&fold.reading(now)).concat().concat();
        assert_eq!(shown == "GET /a", app == "shop", "{shown}");
    }
}

#[test]
fn the_holders_of_too_many_reports_are_not_remembered() {
    let (mut fold, now) = (fold(), Instant::now());
    let names: Vec<_> = (0..20).map(|number| format!("GET /{number}")).collect();
    let endpoints: Vec<_> = names.iter().map(|name| (name.as_str(), 1, 1)).collect();
    let mut one = holding("", 1, &endpoints);
    let web = one.pools.remove(0);
    for number in 0..16 {
        one.pools.push(report::PoolReport { name: number.to_string(), ..web.clone() });
    }
    for number in 0..1000 {
        let report = Report { instance: number.to_string(), ..one.clone() };
        fold.take(report, None, now).unwrap();
    }
    fold.reading(now);
    assert!((MOST_HOLDERS..MOST_HOLDERS + 400).contains(&fold.holders), "{}", fold.holders);
}

#[test]
fn workers_that_were_shut_down_did_not_fall_silent() {
    let (mut fold, now) = (fold(), Instant::now());
    let silent = |fold: &mut Fold, seconds| {
        fold.reading(now + seconds * SECOND);
        fold.fell_silent()
    };
    assert!(!silent(&mut fold, 0), "nobody ever reported");
    fold.take(report("killed", 1, 1), None, now).unwrap();
    fold.take(report("stays", 1, 1), None, now + 9 * SECOND).unwrap();
    assert!(!silent(&mut fold, 10), "one lives");
    let last = Report { is_final: true, ..report("stays", 2, 1) };
    fold.take(last, None, now + 11 * SECOND).unwrap();
    assert!(!silent(&mut fold, 12), "the last one said so");
    fold.take(report("killed", 2, 1), None, now + 20 * SECOND).unwrap();
    assert!(!silent(&mut fold, 21));
    assert!(silent(&mut fold, 40), "the last one did not");
    assert!(silent(&mut fold, 4000), "long after it was forgotten");
}
