//! The reports that a worker would send of its pool: one each second.

use std::time::Duration;

use poolwatch::latency::{ACQUIRE_BOUNDS, HOLD_BOUNDS, Histogram};
use poolwatch::reading::{Figures, MaxOverflow};
use poolwatch_client::report::{PoolReport, Report};

use super::pool::Call;
use super::workload::Micros;

const SECOND: Micros = 1_000_000;
/// To take a connection that is there, in seconds.
const TO_TAKE_ONE: f64 = 20e-6;

/// The size and the overflow of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) size: u64,
    pub(crate) overflow: u64,
}

/// What happens to one caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// First, for who returns a connection makes way for who waits.
    Returned {
        held: Micros,
    },
    Came,
    Acquired {
        waited: Micros,
        held: Micros,
    },
}

/// The reports of a worker with these callers.
pub(crate) fn reports(worker: u32, calls: &[Call], capacity: Capacity) -> Vec<Report> {
    let mut events: Vec<_> = calls.iter().flat_map(events).collect();
    events.sort_unstable();
    let mut events = events.into_iter().peekable();
    let last = calls.last().map_or(0, |call| call.came) / SECOND;
    let mut pool = PoolReport { name: "web".into(), ..PoolReport::default() };
    pool.figures.size = Some(capacity.size);
    pool.figures.max_overflow = Some(MaxOverflow::Limited(capacity.overflow));
    let (mut out, mut waiting, mut peak, mut most_waiting) = (0, 0_u64, 0, 0);
    let mut acquire = Histogram::new(ACQUIRE_BOUNDS);
    let mut hold = Histogram::new(HOLD_BOUNDS);
    let mut reports = Vec::new();
    for second in 0..=last {
        while let Some((at, event)) = events.next_if(|next| next.0 < (second + 1) * SECOND) {
            match event {
                Event::Came => waiting += 1,
                Event::Acquired { waited, held } => {
                    waiting -= 1;
                    acquire.observe(waited as f64 / 1e6 + TO_TAKE_ONE);
                    out += u64::from(held > 0);
                }
                Event::Returned { held } => {
                    out -= 1;
                    hold.observe(held as f64 / 1e6);
                }
            }
            peak = peak.max(out);
            // Who gets a connection at once has not waited.
            if events.peek().is_none_or(|next| next.0 != at) {
                most_waiting = most_waiting.max(waiting);
            }
        }
        pool.figures = Figures {
            checked_out: Some(out),
            checked_in: Some(capacity.size.saturating_sub(out)),
            peak: Some(peak),
            pending: Some(waiting),
            pending_peak: Some(most_waiting),
            ..pool.figures
        };
        (peak, most_waiting) = (out, waiting);
        pool.timings.acquire = Some(acquire.clone());
        pool.timings.hold = Some(hold.clone());
        reports.push(Report {
            instance: format!("worker {worker}"),
            pid: Some(worker),
            seq: second + 1,
            period: Duration::from_secs(1),
            app: None,
            is_final: false,
            pools: vec![pool.clone()],
            findings: Vec::new(),
        });
    }
    reports
}

fn events(call: &Call) -> impl Iterator<Item = (Micros, Event)> {
    let (waited, held) = (call.waited(), call.returned - call.acquired);
    let returned = (held > 0).then_some((call.returned, Event::Returned { held }));
    let others = [(call.came, Event::Came), (call.acquired, Event::Acquired { waited, held })];
    others.into_iter().chain(returned)
}
