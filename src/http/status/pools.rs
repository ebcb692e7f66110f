//! Pools and their workers on the status page: the worst first, and those that are well in a line.

use std::cmp::{Ordering, Reverse};

use maud::{Markup, Render, html};

use super::figures::{
    Bar, Maybe, Name, Percent, Seconds, Shown, Text, Word, colour, count, encoded,
};
use super::holders;
use super::table::{Column, number, table};
use crate::http::health::{
    Badness, Detailed, Latency, PoolBody, SizingBody, ThresholdsBody, WorkerBody, percent,
};
use poolwatch_client::pool_figures::MaxOverflow;

/// The pools that are shown unfolded, at most.
const UNFOLDED: usize = 3;
/// The pools that are listed, at most: of more, those that are well have one line together.
const LISTED: usize = 8;
/// The workers of each pool that are shown, the busiest; `/health/database/pool` has all.
const WORKERS: usize = 20;
/// The share of a time from which what was seen in it counts as all of it.
const WHOLE: f64 = 0.9;
/// The most workers that are shown unfolded.
const UNFOLDED_WORKERS: usize = 8;

/// The place of a pool on the page, for links to it.
pub(super) fn id(pool: &str) -> String {
    format!("pool-{}", encoded(pool))
}

/// All pools, the worst first. Of many, those that are well are folded together; those of which no
/// worker is left are only named.
pub(super) fn pools(known: &Detailed<'_>) -> Markup {
    let (mut there, left): (Vec<_>, Vec<_>) = known.pools.iter().partition(|pool| is_there(pool));
    // Stable: those that are well keep their order, whatever they do.
    there.sort_by(|a, b| badness(b).partial_cmp(&badness(a)).unwrap_or(Ordering::Equal));
    let alone = there.len() == 1;
    let folded = if there.len() > LISTED {
        there.split_off(there.partition_point(|pool| is_bad(pool)))
    } else {
        Vec::new()
    };
    let card = |pool, open| Card { pool, thresholds: &known.thresholds, open };
    html! {
        @for (place, pool) in there.into_iter().enumerate() {
            (card(pool, alone || is_bad(pool) && place < UNFOLDED))
        }
        @if !folded.is_empty() {
            details.more.card #well-pools {
                summary #of-well-pools {
                    (count(folded.len(), "pool")) ", none at warning or critical"
                }
                @for pool in folded { (card(pool, false)) }
            }
        }
        @if !left.is_empty() {
            details.more.card #left-pools {
                summary #of-left-pools { (count(left.len(), "pool")) " without a worker" }
                p { @for pool in left { span id=(id(pool.pool)) { (Name(pool.pool)) } " " } }
            }
        }
    }
}

/// Where no pool is known: the ways to show one.
pub(super) fn none() -> Markup {
    html! {
        p.card.quiet {
            "none is known yet; " code { "plugin=poolwatch" }
            " in the URL of SQLAlchemy shows the pools of the application's workers, and "
            code { "pools" } " in the settings names others"
        }
    }
}

/// Returns false when all of its workers have gone.
fn is_there(pool: &PoolBody<'_>) -> bool {
    pool.worker_count != Some(0) || pool.figures.0.checked_out > Some(0)
}

fn is_bad(pool: &PoolBody<'_>) -> bool {
    matches!(pool.status, "critical" | "warning")
}

/// Those that are well have one place, for the page would change all the time.
fn badness(pool: &PoolBody<'_>) -> Badness {
    if is_bad(pool) { pool.badness } else { (pool.badness.0, None, None, None) }
}

/// A percentage as something to sort by.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
fn rank(percent: Option<f64>) -> u64 {
    percent.map_or(0, |percent| 1 + (100.0 * percent) as u64)
}

/// One pool as a card that folds to its first line.
struct Card<'a> {
    pool: &'a PoolBody<'a>,
    thresholds: &'a ThresholdsBody,
    open: bool,
}

impl Render for Card<'_> {
    fn render(&self) -> Markup {
        let (pool, id) = (self.pool, id(self.pool.pool));
        html! {
            details.card.pool id=(id) open[self.open] {
                summary id={ "of-" (id) } {
                    div.row {
                        h3 { (Name(pool.pool)) " " span.note { (pool.source) } }
                        (Word(pool.status))
                        (self.usage())
                    }
                }
                (self.facts())
                (holders::holds(&id, &pool.holds))
                (holders::endpoints(&id, &pool.endpoints))
                (latency(&id, &pool.latency))
                @if let Some(sizing) = &pool.sizing { (size(sizing)) }
                (self.workers(&id))
                @for note in &pool.notes { p.note { (Name(note)) } }
            }
        }
    }
}

impl Card<'_> {
    fn bar(&self, percent: f64, peak: Option<f64>, status: &str) -> Bar {
        Bar { percent, peak, thresholds: self.thresholds.percents(), colour: colour(status) }
    }

    /// The bar of the busiest worker, by which the pool is judged, and its figures.
    fn usage(&self) -> Markup {
        let (pool, figures) = (self.pool, &self.pool.figures.0);
        let taken = Maybe(figures.checked_out.map(Shown));
        let Some(busiest) = pool.busiest_worker_utilization_percent else {
            return html! { span {} span.usage { (taken) " checked out" } };
        };
        html! {
            (self.bar(busiest, pool.peak_utilization_percent, pool.status))
            span.usage {
                strong { (Percent(busiest)) }
                @if pool.workers.len() > 1 { " in the busiest worker" }
                " · " (taken) " of " (Maybe(figures.capacity().map(Shown)))
                @if let Some(waiting) = figures.pending.filter(|waiting| *waiting > 0) {
                    " · " strong { (waiting) " waiting" }
                }
            }
        }
    }

    fn facts(&self) -> Markup {
        let (pool, figures) = (self.pool, &self.pool.figures.0);
        let counts = [
            ("size", figures.size),
            ("max overflow", figures.max_overflow.and_then(MaxOverflow::limit)),
            ("checked in", figures.checked_in),
            ("overflow", figures.overflow),
            ("waiting", figures.pending),
            ("workers", pool.worker_count),
        ];
        let counts = counts.into_iter().filter_map(|(name, count)| Some((name, count?)));
        html! {
            dl.facts {
                @for (name, count) in counts { (fact(name, count)) }
                @if let Some(all) = percent(figures.utilization()) {
                    (fact("of all workers", Percent(all)))
                }
                @if let Some(peak) = pool.peak_utilization_percent {
                    (fact("peak of the last minute", Percent(peak)))
                }
                @if let Some(oldest) = figures.oldest_checkout {
                    (fact("longest hold", Seconds(oldest)))
                }
                @if figures.max_overflow == Some(MaxOverflow::Unlimited) {
                    (fact("capacity", "unlimited"))
                }
            }
        }
    }

    /// The busiest workers, where there are several.
    fn workers(&self, id: &str) -> Markup {
        let mut workers: Vec<_> = self.pool.workers.iter().collect();
        if workers.len() < 2 {
            return Markup::default();
        }
        let utilization = |worker: &WorkerBody<'_>| percent(worker.figures.0.utilization());
        workers.sort_by_key(|worker| {
            let figures = &worker.figures.0;
            Reverse((rank(utilization(worker)), figures.pending, figures.checked_out))
        });
        let more = workers.get(WORKERS).map(|next| (workers.len() - WORKERS, utilization(next)));
        let columns = [
            Column::Numbers("pid"),
            Column::Words("utilization"),
            Column::Numbers("checked out"),
            Column::Numbers("waiting"),
            Column::Numbers("longest hold"),
        ];
        let rows = html! { @for worker in workers.iter().take(WORKERS) { (self.worker(worker)) } };
        let label = format!("workers of {}", Text(self.pool.pool));
        html! {
            details.inner id={ "workers-" (id) } open[workers.len() <= UNFOLDED_WORKERS] {
                summary id={ "of-workers-" (id) } { (count(workers.len(), "worker")) }
                (table(&format!("table-{id}"), &label, &columns, &rows))
                @if let Some((more, percent)) = more {
                    p.note {
                        (more) " more"
                        @if let Some(percent) = percent { ", none above " (Percent(percent)) }
                        "; " a href="/health/database/pool" { "all of them" }
                    }
                }
            }
        }
    }

    fn worker(&self, worker: &WorkerBody<'_>) -> Markup {
        let figures = &worker.figures.0;
        let bar =
            percent(figures.utilization()).map(|percent| self.bar(percent, None, worker.status));
        let taken = Maybe(figures.checked_out.map(Shown));
        html! {
            tr {
                (number(Maybe(worker.pid.map(Shown))))
                td { (Maybe(bar)) }
                (number(html! { (taken) " of " (Maybe(figures.capacity().map(Shown))) }))
                (number(Maybe(figures.pending.map(Shown))))
                (number(Maybe(figures.oldest_checkout.map(|age| Shown(Seconds(age))))))
            }
        }
    }
}

/// One fact: its name below its figure.
pub(super) fn fact(name: &str, value: impl std::fmt::Display) -> Markup {
    html! { div { dt { (name) } dd { (Shown(value)) } } }
}

/// The size that each worker's pool needs, in a line.
fn size(sizing: &SizingBody) -> Markup {
    let SizingBody { pool_size, max_overflow, in_use_peak, of_busiest_hour, .. } = sizing;
    let (observed, within) = (sizing.observed_seconds, sizing.observed_within_seconds);
    html! {
        p.note {
            "each worker needs " code { "pool_size=" (pool_size) } " and "
            code { "max_overflow=" (max_overflow) } ": in "
            (Shown(Seconds(observed))) " seen"
            @if observed < WHOLE * within { " within the last " (Shown(Seconds(within))) }
            ", " @if *of_busiest_hour { "the busiest hour of it: " }
            (sizing.checkouts_per_second) "/s × "
            (Shown(Seconds(sizing.hold_seconds))) " = " (sizing.in_use) " in use on average, "
            (in_use_peak) " at most"
        }
    }
}

fn latency(id: &str, latency: &Latency) -> Markup {
    if latency.is_empty() {
        return Markup::default();
    }
    let columns = [
        Column::Words("time to"),
        Column::Numbers("p50"),
        Column::Numbers("p95"),
        Column::Numbers("p99"),
        Column::Numbers("in 5 min"),
    ];
    let rows = html! {
        @for (name, timed) in latency.named() {
            tr {
                td { (name) }
                @for quantile in [timed.p50_seconds, timed.p95_seconds, timed.p99_seconds] {
                    (number(Shown(Seconds(quantile))))
                }
                (number(html! { (timed.count) " ×" }))
            }
        }
    };
    html! { div.latency { (table(&format!("latency-{id}"), "latencies", &columns, &rows)) } }
}
