//! Checkouts as they may have come within each second, from what a worker's reports say of it.

use super::holds::Holds;
use super::queue::{Checkout, Micros, Queue, micros};
use crate::reading::Demand;

/// The numbers of callers that are tried to come at the same moment, where those who come
/// independently of each other would not make up the peak.
const CLUMPS: [u64; 13] = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256];
/// The number of times that independent callers are tried.
const TRIES: usize = 8;
/// The number of times that callers are tried who come at equal intervals, or in clumps of a number.
const OTHER_TRIES: usize = 3;

/// The order in which callers come.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    /// At equal intervals.
    Regular,
    /// Independent of each other: a Poisson process.
    Independent,
    /// So many at a time, each time independent of the others.
    Clumps(u64),
    /// So many at one time, and the others independent.
    Burst(u64),
}

/// One worker's demand of each second, as checkouts that fit it, and the time that they cover.
///
/// The number of callers of each second is as reported, and their holds are drawn from those that
/// were measured. The moments at which they came are not known. Several arrangements are drawn, and
/// the one is kept whose peak is that of the report.
pub(super) fn replay(
    demands: &[Demand],
    capacity: Option<u64>,
    holds: &Holds,
    random: &mut fastrand::Rng,
) -> (Vec<Checkout>, Micros) {
    let (mut trace, mut began) = (Vec::new(), 0);
    let mut queue = Queue::new(capacity);
    for demand in demands {
        let length = micros(demand.elapsed.as_secs_f64()).max(1);
        let (best, after) = arrange(demand, began..began + length, &queue, capacity, holds, random);
        trace.extend(best);
        queue = after;
        began += length;
    }
    (trace, began)
}

/// The arrangement of one second whose peak is nearest to that of the report.
fn arrange(
    demand: &Demand,
    span: std::ops::Range<Micros>,
    before: &Queue,
    capacity: Option<u64>,
    holds: &Holds,
    random: &mut fastrand::Rng,
) -> (Vec<Checkout>, Queue) {
    let mut best: Option<(u64, Vec<Checkout>, Queue)> = None;
    let target = target(demand, before.clone().present(span.start), capacity);
    let close = target / 40;
    let mut is_below = false;
    let bursts = random.bool();
    for pattern in patterns(demand.callers, bursts) {
        // Where independent callers were too few at once, regular ones are fewer still; where they
        // were too many, so are clumps.
        match pattern {
            Pattern::Regular if is_below => continue,
            Pattern::Clumps(_) | Pattern::Burst(_) if !is_below => break,
            _ => {}
        }
        let trace = draw(pattern, demand.callers, &span, holds, random);
        let mut queue = before.clone();
        let mut peak = queue.present(span.start);
        for checkout in &trace {
            queue.check_out(*checkout);
            peak = peak.max(queue.present(checkout.at));
        }
        let distance = peak.abs_diff(target);
        is_below = peak < target;
        if best.as_ref().is_none_or(|(least, ..)| distance < *least) {
            best = Some((distance, trace, queue));
        }
        if best.as_ref().is_some_and(|(least, ..)| *least <= close) {
            break;
        }
    }
    best.map_or_else(|| (Vec::new(), before.clone()), |(_, trace, queue)| (trace, queue))
}

/// The peak that an arrangement should have. Where callers waited before, the queue in front of
/// them is what it is, and only its growth is of this second.
fn target(demand: &Demand, present: u64, capacity: Option<u64>) -> u64 {
    match capacity {
        Some(capacity) if demand.waiting > 0 => demand
            .peak
            .saturating_add(present)
            .saturating_sub(capacity.saturating_add(demand.waiting)),
        _ => demand.peak,
    }
}

/// The patterns that are tried, with the more usual first.
fn patterns(callers: u64, bursts: bool) -> impl Iterator<Item = Pattern> {
    let independent = [Pattern::Independent; TRIES].into_iter();
    let regular = [Pattern::Regular; OTHER_TRIES].into_iter();
    let clumps = CLUMPS.into_iter().filter(move |clump| *clump < 2 * callers);
    let clumps = clumps.flat_map(move |clump| {
        let pattern = if bursts { Pattern::Burst(clump) } else { Pattern::Clumps(clump) };
        [pattern; OTHER_TRIES]
    });
    independent.chain(regular).chain(clumps)
}

fn draw(
    pattern: Pattern,
    callers: u64,
    span: &std::ops::Range<Micros>,
    holds: &Holds,
    random: &mut fastrand::Rng,
) -> Vec<Checkout> {
    let length = span.end - span.start;
    let mut times: Vec<Micros> = match pattern {
        Pattern::Regular => {
            let step = length / callers.max(1);
            let phase = random.u64(0..=step);
            (0..callers).map(|number| phase + number * step).collect()
        }
        Pattern::Independent => (0..callers).map(|_| random.u64(0..length)).collect(),
        Pattern::Burst(burst) => {
            let at = random.u64(0..length);
            let burst = burst.min(callers);
            let others = (burst..callers).map(|_| random.u64(0..length));
            (0..burst).map(|_| at).chain(others).collect()
        }
        Pattern::Clumps(clump) => {
            let mut times = Vec::new();
            while (times.len() as u64) < callers {
                let at = random.u64(0..length);
                let more = clump.min(callers - times.len() as u64);
                times.extend((0..more).map(|_| at));
            }
            times
        }
    };
    times.sort_unstable();
    let checkout = |at| Checkout { at: span.start + at, hold: holds.draw(random) };
    times.into_iter().map(checkout).collect()
}
