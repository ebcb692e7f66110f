//! The table of causes in `docs/advice.md`, pair by pair: which of them a planted trouble shows.

use std::collections::BTreeSet;

use super::locks::QUEUE;
use super::sick::{SICK, SLOWDOWN};

type Pair = (&'static str, &'static str);

/// Statements that are slow, a pool that is full, and one that is outgrown, in the rules' names.
const SLOW: &[&str] = &["slow_queries", "statement_latency", "query_latency"];
const FULL_POOL: &[&str] =
    &["pool_exhausted", "pool_usage", "overflow_churn", "pool_size", "time_to_scale"];
const OUTGROWN: &[&str] = &["overflow_churn", "pool_size", "time_to_scale"];

/// Causes with those of their consequences that no test plants: they last for longer than a test may,
/// or need a machine or a crowd that a test has not.
const UNPLANTED: &[(&str, &[&[&str]])] = &[
    (
        "lock_queue",
        &[
            &[
                "connection_leak",
                "vacuum_held_back",
                "statement_slowdown",
                "hot_worker",
                "server_full",
                "statement_latency",
                "query_latency",
            ],
            OUTGROWN,
        ],
    ),
    (
        "connection_leak",
        &[&["idle_in_transaction", "vacuum_held_back", "hot_worker", "server_full"], OUTGROWN],
    ),
    ("idle_in_transaction", &[&["vacuum_held_back", "hot_worker", "server_full"], OUTGROWN]),
    ("deadlocks", &[&["statement_slowdown", "hot_worker"], SLOW, FULL_POOL]),
    ("inherited_connections", &[&["broken_connections"]]),
    ("missing_index", &[&["table_scans"]]),
    ("invalid_index", &[&["table_scans"]]),
    ("unpaginated", &[&["server_cpu", "hot_worker"], SLOW, FULL_POOL]),
    ("table_scans", &[&["statement_slowdown", "hot_worker", "server_cpu"], SLOW, FULL_POOL]),
    ("n_plus_one", &[&["n_plus_one_suspected", "server_cpu", "hot_worker"], FULL_POOL]),
    ("statement_slowdown", &[&["hot_worker", "server_cpu"], SLOW, FULL_POOL]),
    ("slow_queries", &[&["statement_latency", "hot_worker"], OUTGROWN]),
    ("server_cpu", &[&["query_latency", "statement_latency", "hot_worker"], FULL_POOL]),
    ("connection_budget", &[&["server_full"]]),
    ("server_full", &[&["broken_connections", "hot_worker"], FULL_POOL]),
    ("hot_worker", &[OUTGROWN]),
    ("pool_exhausted", &[&["overflow_churn", "time_to_scale"]]),
    ("overflow_churn", &[&["connection_churn"]]),
    ("pool_usage", &[&["time_to_scale"]]),
    ("query_latency", &[&["time_to_scale"]]),
    ("statement_latency", &[&["time_to_scale"]]),
    ("orphaned_sessions", &[&["server_full"]]),
];

fn documented() -> Vec<Pair> {
    let document = include_str!("../../../docs/advice.md");
    let (_, table) = document.split_once("| cause | what it explains |\n").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let pairs = rows.flat_map(|row| {
        let mut cells = row.trim_matches(['|', ' ']).split(" | ");
        let (cause, consequences) = (cells.next().unwrap(), cells.next().unwrap());
        consequences.split(", ").map(move |consequence| (cause, consequence))
    });
    pairs.collect()
}

#[test]
fn each_pair_of_the_table_has_a_planted_trouble_or_is_known_to_have_none() {
    let sick = SICK.iter().map(|sick| (sick.rule, sick.consequences));
    let others = [("lock_queue", QUEUE), ("statement_slowdown", SLOWDOWN)];
    let pairs = |(cause, consequences): (&'static str, &'static [&'static str])| {
        consequences.iter().map(move |consequence| (cause, *consequence))
    };
    let planted: BTreeSet<Pair> = sick.chain(others).flat_map(pairs).collect();
    let unplanted = UNPLANTED
        .iter()
        .flat_map(|(cause, groups)| groups.iter().map(move |group| (*cause, *group)));
    let unplanted: BTreeSet<Pair> = unplanted.flat_map(pairs).collect();
    let documented: BTreeSet<Pair> = documented().into_iter().collect();
    assert_eq!(planted.intersection(&unplanted).collect::<Vec<_>>(), Vec::<&Pair>::new());
    assert_eq!(&planted | &unplanted, documented);
}
