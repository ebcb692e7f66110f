//! Checkouts as they may have come within each second, from what a worker's reports say of it.

use super::bursts::{Mix, split};
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
/// the one is kept whose peak is that of the report. Where it turns out that those who come at once
/// hold connections for longer than the others do, all is drawn again with the holds of each.
pub(super) fn replay(
    demands: &[Demand],
    capacity: Option<u64>,
    holds: &Holds,
    random: &mut fastrand::Rng,
) -> (Vec<Checkout>, Micros) {
    let mix = Mix { bursts: holds, others: holds };
    let first = Replayed::new(demands, capacity, mix, random);
    let replayed = match split(demands, &first.together, holds) {
        Some((bursts, others)) => {
            let mix = Mix { bursts: &bursts, others: &others };
            Replayed::new(demands, capacity, mix, random)
        }
        None => first,
    };
    (replayed.trace, replayed.period)
}

/// Checkouts as they may have come.
struct Replayed {
    trace: Vec<Checkout>,
    /// The most that come at the same moment in each second.
    together: Vec<u64>,
    period: Micros,
}

impl Replayed {
    fn new(
        demands: &[Demand],
        capacity: Option<u64>,
        mix: Mix<'_>,
        random: &mut fastrand::Rng,
    ) -> Self {
        let mut replayed = Self { trace: Vec::new(), together: Vec::new(), period: 0 };
        let mut queue = Queue::new(capacity);
        for demand in demands {
            let span =
                replayed.period..replayed.period + micros(demand.elapsed.as_secs_f64()).max(1);
            replayed.period = span.end;
            let best = arrange(demand, span, &queue, capacity, mix, random);
            let Some(Arranged { together, trace, queue: after, .. }) = best else {
                replayed.together.push(0);
                continue;
            };
            replayed.together.push(together);
            replayed.trace.extend(trace);
            queue = after;
        }
        replayed
    }
}

/// Checkouts as they may have come within one second.
struct Arranged {
    /// By how much their peak differs from that of the report.
    distance: u64,
    /// The most that come at the same moment.
    together: u64,
    trace: Vec<Checkout>,
    /// The pool at the end of the second.
    queue: Queue,
}

/// The arrangement of one second whose peak is nearest to that of the report.
fn arrange(
    demand: &Demand,
    span: std::ops::Range<Micros>,
    before: &Queue,
    capacity: Option<u64>,
    mix: Mix<'_>,
    random: &mut fastrand::Rng,
) -> Option<Arranged> {
    let mut best: Option<Arranged> = None;
    let target = target(demand, before.clone().present(span.start), capacity);
    let close = target / 40;
    let mut is_below = false;
    // Clumps have the holds of all.
    let bursts = random.bool() || !std::ptr::eq(mix.bursts, mix.others);
    for pattern in patterns(demand.callers, bursts) {
        // Where independent callers were too few at once, regular ones are fewer still; where they
        // were too many, so are clumps.
        match pattern {
            Pattern::Regular if is_below => continue,
            Pattern::Clumps(_) | Pattern::Burst(_) if !is_below => break,
            _ => {}
        }
        let trace = draw(pattern, demand.callers, &span, mix, random);
        let mut queue = before.clone();
        let mut peak = queue.present(span.start);
        for checkout in &trace {
            queue.check_out(*checkout);
            peak = peak.max(queue.present(checkout.at));
        }
        let distance = peak.abs_diff(target);
        is_below = peak < target;
        if best.as_ref().is_none_or(|best| distance < best.distance) {
            best = Some(Arranged { distance, together: pattern.together(), trace, queue });
        }
        if best.as_ref().is_some_and(|best| best.distance <= close) {
            break;
        }
    }
    best
}

impl Pattern {
    /// The most callers that come at the same moment.
    fn together(self) -> u64 {
        match self {
            Self::Regular | Self::Independent => 1,
            Self::Clumps(callers) | Self::Burst(callers) => callers,
        }
    }
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
    mix: Mix<'_>,
    random: &mut fastrand::Rng,
) -> Vec<Checkout> {
    let length = span.end - span.start;
    let mut burst = None;
    let mut times: Vec<Micros> = match pattern {
        Pattern::Regular => {
            let step = length / callers.max(1);
            let phase = random.u64(0..=step);
            (0..callers).map(|number| phase + number * step).collect()
        }
        Pattern::Independent => (0..callers).map(|_| random.u64(0..length)).collect(),
        Pattern::Burst(count) => {
            let at = random.u64(0..length);
            let count = count.min(callers);
            burst = Some(at);
            let others = (count..callers).map(|_| random.u64(0..length));
            (0..count).map(|_| at).chain(others).collect()
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
    let checkout = |at| {
        let holds = if burst == Some(at) { mix.bursts } else { mix.others };
        Checkout { at: span.start + at, hold: holds.draw(random) }
    };
    times.into_iter().map(checkout).collect()
}
