//! Twelve applications of several statements each, whose durations change while they run: the truth is
//! that of all their calls, whatever statement they were of.

use std::collections::HashMap;

use crate::record::Record;
use crate::simulated::{Chance, moments};

const SECONDS: usize = 60;

/// One statement of an application.
struct Statement {
    /// The number of calls in a second.
    calls: fn(usize) -> usize,
    /// The duration of a call in that second.
    draw: fn(&mut Chance, usize) -> f64,
    /// The seconds after which it is another statement to the server, such as one with another
    /// list of values.
    renamed_each: usize,
}

const fn statement(calls: fn(usize) -> usize, draw: fn(&mut Chance, usize) -> f64) -> Statement {
    Statement { calls, draw, renamed_each: usize::MAX }
}

const APPLICATIONS: [(&str, &[Statement]); 12] = [
    (
        "an ORM's page",
        &[
            statement(|_| 40, |chance, _| chance.log_normal(0.002, 0.4)),
            statement(|_| 10, |chance, _| chance.log_normal(0.008, 0.7)),
            statement(|_| 2, |chance, _| chance.log_normal(0.09, 0.5)),
        ],
    ),
    (
        "a cache that is cold at first",
        &[statement(
            |_| 30,
            |chance, second| {
                let cold = 0.3 * (-(second as f64) / 8.0).exp();
                chance.log_normal(0.004 + cold, 0.5)
            },
        )],
    ),
    (
        "a convoy each ten seconds",
        &[statement(
            |_| 25,
            |chance, second| {
                let waits = if second % 10 == 4 { chance.share() } else { 0.0 };
                waits + chance.log_normal(0.003, 0.3)
            },
        )],
    ),
    (
        "a batch beside the traffic",
        &[
            statement(|_| 50, |chance, _| chance.log_normal(0.005, 0.6)),
            statement(|second| usize::from(second % 5 == 0), |chance, _| 3.0 + chance.share()),
        ],
    ),
    (
        "a bulk load",
        &[
            statement(|_| 100, |chance, _| chance.log_normal(0.0005, 0.3)),
            statement(
                |second| usize::from(second % 20 == 9),
                |chance, _| 8.0 + 12.0 * chance.share(),
            ),
        ],
    ),
    (
        "many that are seldom called",
        &[
            statement(|second| usize::from(second % 3 == 0), seldom),
            statement(|second| usize::from(second % 4 == 1), seldom),
            statement(|second| usize::from(second % 5 == 2), seldom),
            statement(|second| usize::from(second % 7 == 3), seldom),
            statement(|second| usize::from(second % 11 == 4), seldom),
        ],
    ),
    (
        "a plan that changes",
        &[statement(
            |_| 20,
            |chance, second| chance.log_normal(if second < 33 { 0.005 } else { 0.5 }, 0.2),
        )],
    ),
    (
        "two tenants of one statement",
        &[statement(
            |_| 40,
            |chance, _| {
                let large = chance.share() < 0.05;
                if large { 0.4 + 0.2 * chance.share() } else { 0.002 + 0.002 * chance.share() }
            },
        )],
    ),
    (
        "one that is another every seven seconds",
        &[Statement {
            calls: |_| 15,
            draw: |chance, _| chance.log_normal(0.06, 0.9),
            renamed_each: 7,
        }],
    ),
    (
        "a timeout at one second",
        &[statement(|second| 5 + second % 20, |chance, _| chance.log_normal(0.15, 1.5).min(1.0))],
    ),
    (
        "one that is called now and then",
        &[statement(now_and_then, |chance, _| chance.log_normal(0.06, 1.0))],
    ),
    (
        "two that are called now and then",
        &[statement(now_and_then, seldom), statement(nearly_never, seldom)],
    ),
];

/// From three to six calls in ten seconds.
fn now_and_then(second: usize) -> usize {
    usize::from((second.pow(3) + 5 * second) % 29 < 11)
}

/// From one to four calls in ten seconds.
fn nearly_never(second: usize) -> usize {
    usize::from(second.pow(2) % 7 == second / 20)
}

fn seldom(chance: &mut Chance, _: usize) -> f64 {
    let slow = chance.share() < 0.3;
    chance.log_normal(if slow { 0.6 } else { 0.02 }, 0.3)
}

/// Every application as it would have been recorded.
pub(crate) fn all() -> Vec<Record> {
    let mut chance = Chance::new(2027);
    let record = |(name, statements): &(&str, &[Statement])| record(name, statements, &mut chance);
    APPLICATIONS.iter().map(record).collect()
}

fn record(name: &str, statements: &[Statement], chance: &mut Chance) -> Record {
    let mut of_each: HashMap<String, Vec<f64>> = HashMap::new();
    let mut looks = vec![HashMap::new()];
    for second in 0..SECONDS {
        for (number, statement) in statements.iter().enumerate() {
            let key = format!("{number}/{}", second / statement.renamed_each);
            let calls = (0..(statement.calls)(second)).map(|_| (statement.draw)(chance, second));
            of_each.entry(key).or_default().extend(calls.collect::<Vec<_>>());
        }
        let called = of_each.iter().filter(|(_, durations)| !durations.is_empty());
        looks.push(called.map(|(key, calls)| (key.clone(), moments(calls))).collect());
    }
    let mut durations: Vec<f64> = of_each.into_values().flatten().collect();
    durations.sort_by(f64::total_cmp);
    Record { name: name.to_owned(), durations, looks }
}
