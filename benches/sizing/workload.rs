//! Workloads of different shapes.

pub(crate) type Micros = u64;

/// Who comes to a pool.
pub(crate) enum Workload {
    /// Callers that come whatever the pool does: when, and for how long each holds a connection.
    Open(Vec<(Micros, Micros)>),
    /// Threads that think, hold a connection, and think again.
    Closed { threads: u64, length: Micros, think: Draw, hold: Draw, seed: u64 },
}

pub(crate) type Draw = fn(&mut Chance) -> Micros;

/// Draws by chance, the same each time.
pub(crate) struct Chance(fastrand::Rng);

impl Chance {
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn share(&mut self) -> f64 {
        self.0.f64()
    }

    /// In microseconds, as everything here.
    pub(crate) fn exponential(&mut self, mean: f64) -> Micros {
        (-mean * (1.0 - self.share()).ln()) as Micros
    }

    pub(crate) fn log_normal(&mut self, mean: f64, sigma: f64) -> Micros {
        let normal = (-2.0 * (1.0 - self.share()).ln()).sqrt()
            * (std::f64::consts::TAU * self.share()).cos();
        (mean * (sigma * normal - sigma * sigma / 2.0).exp()) as Micros
    }

    fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }
}

/// Independent callers at a rate in a second that may change with time.
fn poisson(
    length: Micros,
    most: f64,
    rate: impl Fn(Micros) -> f64,
    hold: Draw,
    chance: &mut Chance,
) -> Vec<(Micros, Micros)> {
    let (mut at, mut calls) = (0, Vec::new());
    loop {
        at += chance.exponential(1e6 / most);
        if at >= length {
            return calls;
        }
        if chance.happens(rate(at) / most) {
            calls.push((at, hold(chance)));
        }
    }
}

/// Callers at one rate.
fn steady(length: Micros, rate: f64, hold: Draw, chance: &mut Chance) -> Vec<(Micros, Micros)> {
    poisson(length, rate, |_| rate, hold, chance)
}

/// Two rates that alternate, each for an exponential time.
fn alternating(
    length: Micros,
    states: [(f64, f64); 2],
    hold: Draw,
    chance: &mut Chance,
) -> Vec<(Micros, Micros)> {
    let (mut at, mut state, mut calls) = (0, 0, Vec::new());
    while at < length {
        let (rate, lasts) = states[state % 2];
        let until = (at + chance.exponential(1e6 * lasts)).min(length);
        let more = steady(until - at, rate, hold, chance);
        calls.extend(more.into_iter().map(|(after, hold)| (at + after, hold)));
        (at, state) = (until, state + 1);
    }
    calls
}

/// So many at once, each time after a number of seconds.
fn at_once(
    length: Micros,
    every: f64,
    callers: u64,
    hold: Draw,
    chance: &mut Chance,
) -> Vec<(Micros, Micros)> {
    let every = (1e6 * every) as Micros;
    let times = (1..).map(|number| number * every).take_while(|at| *at < length);
    let mut calls = Vec::new();
    for at in times {
        calls.extend((0..callers).map(|_| (at, hold(chance))));
    }
    calls
}

fn both(mut one: Vec<(Micros, Micros)>, other: Vec<(Micros, Micros)>) -> Vec<(Micros, Micros)> {
    one.extend(other);
    one.sort_unstable();
    one
}

/// Each with its name, for so long.
#[expect(clippy::too_many_lines, reason = "a list")]
pub(crate) fn all(length: Micros, seed: u64) -> Vec<(&'static str, Workload)> {
    let chance = &mut Chance::with_seed(seed);
    let closed = |threads, think, hold| Workload::Closed { threads, length, think, hold, seed };
    let mut batches = Vec::new();
    for (at, _) in steady(length, 2.0, |_| 0, chance) {
        let size = 1 + chance.exponential(4.5);
        batches.extend((0..size).map(|_| (at, chance.exponential(50e3))));
    }
    let open = Workload::Open;
    vec![
        (
            "Poisson, 20/s, exponential 100 ms",
            open(steady(length, 20.0, |c| c.exponential(100e3), chance)),
        ),
        (
            "Poisson, 200/s, log-normal 25 ms",
            open(steady(length, 200.0, |c| c.log_normal(25e3, 1.0), chance)),
        ),
        ("Poisson, 50/s, always 40 ms", open(steady(length, 50.0, |_| 40_000, chance))),
        (
            "Poisson, 1,000/s, exponential 2 ms",
            open(steady(length, 1000.0, |c| c.exponential(2e3), chance)),
        ),
        (
            "Poisson, 1 in 2 s, log-normal 8 s",
            open(steady(length, 0.5, |c| c.log_normal(8e6, 0.7), chance)),
        ),
        (
            "Poisson, 100/s, 95 % 5 ms and 5 % 400 ms",
            open(steady(length, 100.0, |c| if c.happens(0.05) { 400_000 } else { 5_000 }, chance)),
        ),
        (
            "Poisson, 50/s, log-normal 60 ms, σ 1.8",
            open(steady(length, 50.0, |c| c.log_normal(60e3, 1.8), chance)),
        ),
        (
            "bursts of 2 s in 12 s (MMPP), 10/s and 200/s, 30 ms",
            open(alternating(
                length,
                [(10.0, 10.0), (200.0, 2.0)],
                |c| c.exponential(30e3),
                chance,
            )),
        ),
        (
            "bursts of 0.1 s in 1 s (MMPP), 10/s and 300/s, 20 ms",
            open(alternating(length, [(10.0, 0.9), (300.0, 0.1)], |c| c.exponential(20e3), chance)),
        ),
        ("batches, 2/s, of 5 on average, exponential 50 ms", open(batches)),
        (
            "cron, 20 at once each minute, always 500 ms",
            open(at_once(length, 60.0, 20, |_| 500_000, chance)),
        ),
        ("cron, 15 at once each 10 s, 100 ms, and 30/s, 20 ms", {
            let cron = at_once(length, 10.0, 15, |c| c.exponential(100e3), chance);
            open(both(cron, steady(length, 30.0, |c| c.exponential(20e3), chance)))
        }),
        ("cron, 12 at once each 7.3 s, 300 ms, and 60/s, 10 ms", {
            let cron = at_once(length, 7.3, 12, |c| c.exponential(300e3), chance);
            open(both(cron, steady(length, 60.0, |c| c.exponential(10e3), chance)))
        }),
        (
            "at equal intervals, 50/s, exponential 60 ms",
            open(at_once(length, 0.02, 1, |c| c.exponential(60e3), chance)),
        ),
        ("a day, 5/s to 100/s, exponential 50 ms", {
            let rate =
                move |at| 52.5 - 47.5 * (std::f64::consts::TAU * at as f64 / length as f64).cos();
            open(poisson(length, 100.0, rate, |c| c.exponential(50e3), chance))
        }),
        (
            "16 threads that think 200 ms, exponential 50 ms",
            closed(16, |c| c.exponential(200e3), |c| c.exponential(50e3)),
        ),
        (
            "40 threads that think 100 ms, log-normal 20 ms",
            closed(40, |c| c.exponential(100e3), |c| c.log_normal(20e3, 1.0)),
        ),
        (
            "Poisson, 100/s, log-normal 200 ms",
            open(steady(length, 100.0, |c| c.log_normal(200e3, 1.0), chance)),
        ),
        (
            "Poisson, 400/s, exponential 150 ms",
            open(steady(length, 400.0, |c| c.exponential(150e3), chance)),
        ),
    ]
}
