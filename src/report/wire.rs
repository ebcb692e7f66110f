//! The JSON of a report, field by field.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::bounds::Bounds;
use super::{FINDINGS, NAME, POOLS, Reason, STATEMENT};
use crate::latency::{self, ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS};
use crate::reading::{self, Figures, MaxOverflow, Timings, Totals};

const VERSION: u64 = 1;

/// More connections than any pool has.
const MOST_CONNECTIONS: u64 = u32::MAX as u64;

/// More than a worker counts in ten years at 30,000 a second, and far from what could overflow.
const MOST_COUNTED: u64 = 10_000_000_000_000;

/// More seconds than any application has run, all its statements together.
const LONGEST: f64 = 1e15;

#[derive(Deserialize, Serialize)]
pub(super) struct Report {
    v: u64,
    inst: String,
    #[serde(default)]
    pid: Option<u32>,
    seq: u64,
    #[serde(default = "one")]
    period: f64,
    #[serde(default)]
    app: Option<String>,
    #[serde(default)]
    bye: bool,
    #[serde(default)]
    bounds: Option<Bounds>,
    #[serde(default)]
    hold_bounds: Option<Bounds>,
    #[serde(default)]
    acquire_bounds: Option<Bounds>,
    pools: Vec<Pool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize, Serialize)]
#[expect(clippy::option_option, reason = "missing is unknown, null is unlimited")]
struct Pool {
    name: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    max_overflow: Option<Option<u64>>,
    #[serde(default)]
    checked_in: Option<u64>,
    #[serde(default)]
    checked_out: Option<u64>,
    #[serde(default)]
    pending: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_peak: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connecting: Option<u64>,
    #[serde(default)]
    peak: Option<u64>,
    #[serde(default)]
    oldest: Option<f64>,
    #[serde(default)]
    timeouts: Option<u64>,
    #[serde(default)]
    acquire_errors: Option<u64>,
    #[serde(default)]
    opened: Option<u64>,
    #[serde(default)]
    invalidated: Option<u64>,
    #[serde(default)]
    inherited: Option<u64>,
    #[serde(default)]
    query_errors: Option<u64>,
    #[serde(default)]
    n_plus_one: Option<u64>,
    #[serde(default)]
    unpaginated: Option<u64>,
    #[serde(default)]
    query: Option<Histogram>,
    #[serde(default)]
    commit: Option<Histogram>,
    #[serde(default)]
    acquire: Option<Histogram>,
    #[serde(default)]
    hold: Option<Histogram>,
}

#[derive(Deserialize, Serialize)]
struct Histogram {
    sum: f64,
    counts: Vec<u64>,
}

#[derive(Deserialize, Serialize)]
struct Finding {
    #[serde(default)]
    pool: Option<String>,
    kind: String,
    sql: String,
    #[serde(default)]
    count: u64,
    #[serde(default)]
    rows: u64,
    #[serde(default, rename = "where")]
    location: Option<String>,
}

#[expect(clippy::option_option, reason = "missing is unknown, null is unlimited")]
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Why a datagram is no report: a version to come may look quite different, but says so.
pub(super) fn reason(datagram: &[u8]) -> Reason {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    match serde_json::from_slice::<Version>(datagram) {
        Ok(Version { v }) if v != VERSION => Reason::Version,
        _ => Reason::Malformed,
    }
}

impl Report {
    /// The report, when it may be believed.
    pub(super) fn checked(self) -> Result<super::Report, Reason> {
        if self.v != VERSION {
            return Err(Reason::Version);
        }
        if self.pools.len() > POOLS {
            return Err(Reason::TooManyPools);
        }
        let bounds = self.bounds()?;
        let pools = pools(self.pools, bounds)?;
        let first = pools.first().map_or("", |pool| pool.name.as_str());
        let findings =
            self.findings.into_iter().filter_map(|one| one.checked(first)).take(FINDINGS).collect();
        Ok(super::Report {
            instance: name(self.inst)?,
            pid: self.pid,
            seq: self.seq,
            period: period(self.period)?,
            app: self.app.filter(|app| !app.is_empty()).map(|app| cut(app, NAME)),
            bye: self.bye,
            pools,
            findings,
        })
    }

    /// By which bounds holds and acquires are counted. Counts over other bounds than ours cannot be
    /// added to ours.
    fn bounds(&self) -> Result<(Bounds, Bounds), Reason> {
        let (hold, acquire) = (self.hold_bounds.or(self.bounds), self.acquire_bounds);
        let any = |timed: fn(&Pool) -> bool| self.pools.iter().any(timed);
        let missing = self.bounds.is_none()
            && any(|pool| pool.query.is_some() || pool.commit.is_some())
            || hold.is_none() && any(|pool| pool.hold.is_some())
            || acquire.is_none() && any(|pool| pool.acquire.is_some());
        let other = self.bounds.is_some_and(|bounds| bounds != Bounds::QUERY)
            || hold.is_some_and(|bounds| !bounds.fit_holds())
            || acquire.is_some_and(|bounds| !bounds.fit_acquires());
        if missing || other {
            return Err(Reason::Bounds);
        }
        Ok((hold.unwrap_or(Bounds::HOLD), acquire.unwrap_or(Bounds::ACQUIRE)))
    }

    pub(super) fn of(report: &super::Report) -> Self {
        Self {
            v: VERSION,
            inst: report.instance.clone(),
            pid: report.pid,
            seq: report.seq,
            period: report.period.as_secs_f64(),
            app: report.app.clone(),
            bye: report.bye,
            bounds: Some(Bounds::QUERY),
            hold_bounds: Some(Bounds::HOLD),
            acquire_bounds: Some(Bounds::ACQUIRE),
            pools: report.pools.iter().map(Pool::of).collect(),
            findings: report.findings.iter().map(Finding::of).collect(),
        }
    }
}

fn pools(reported: Vec<Pool>, bounds: (Bounds, Bounds)) -> Result<Vec<super::Pool>, Reason> {
    let mut pools: Vec<super::Pool> = Vec::with_capacity(reported.len());
    for pool in reported {
        let pool = pool.checked(bounds)?;
        match pools.iter_mut().find(|known| known.name == pool.name) {
            Some(known) => known.join(&pool),
            None => pools.push(pool),
        }
    }
    Ok(pools)
}

fn name(name: String) -> Result<String, Reason> {
    let fits = !name.is_empty() && (name.len() <= NAME || name.chars().count() <= NAME);
    if fits { Ok(name) } else { Err(Reason::Malformed) }
}

fn cut(text: String, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

fn period(seconds: f64) -> Result<Duration, Reason> {
    if seconds.is_finite() && seconds > 0.0 {
        Ok(Duration::from_secs_f64(seconds.clamp(0.1, 60.0)))
    } else {
        Err(Reason::Malformed)
    }
}

impl Pool {
    fn checked(self, (hold, acquire): (Bounds, Bounds)) -> Result<super::Pool, Reason> {
        let (figures, totals) = (self.figures(), self.totals());
        if !self.is_plausible() {
            return Err(Reason::Malformed);
        }
        let timings = Timings {
            acquire: Histogram::checked(self.acquire, acquire, ACQUIRE_BOUNDS)?,
            hold: Histogram::checked(self.hold, hold, HOLD_BOUNDS)?,
            query: Histogram::checked(self.query, Bounds::QUERY, BOUNDS)?,
            commit: Histogram::checked(self.commit, Bounds::QUERY, BOUNDS)?,
        };
        Ok(super::Pool { name: name(self.name)?, figures, totals, timings })
    }

    /// Whether the figures of many such pools can be summed.
    fn is_plausible(&self) -> bool {
        let figures = [
            self.size,
            self.max_overflow.flatten(),
            self.checked_in,
            self.checked_out,
            self.pending,
            self.pending_peak,
            self.connecting,
            self.peak,
        ];
        let few = figures.into_iter().flatten().all(|figure| figure <= MOST_CONNECTIONS);
        let counted = [
            self.timeouts,
            self.acquire_errors,
            self.opened,
            self.invalidated,
            self.inherited,
            self.query_errors,
            self.n_plus_one,
            self.unpaginated,
        ];
        few && counted.into_iter().flatten().all(|count| count <= MOST_COUNTED)
            && self.oldest.is_none_or(|oldest| (0.0..=LONGEST).contains(&oldest))
    }

    fn figures(&self) -> Figures {
        Figures {
            size: self.size,
            max_overflow: self
                .max_overflow
                .map(|limit| limit.map_or(MaxOverflow::Unlimited, MaxOverflow::Limited)),
            checked_in: self.checked_in,
            checked_out: self.checked_out,
            overflow: self.overflow(),
            pending: self.pending,
            pending_peak: self.pending_peak,
            connecting: self.connecting,
            peak: self.peak,
            oldest_checkout: self.oldest,
        }
    }

    /// Open connections above the size; a pool without size and limit has none.
    fn overflow(&self) -> Option<u64> {
        match (self.size?, self.max_overflow.flatten()) {
            (0, None) => Some(0),
            (size, _) => {
                Some(self.checked_in?.saturating_add(self.checked_out?).saturating_sub(size))
            }
        }
    }

    fn totals(&self) -> Totals {
        Totals {
            timeouts: self.timeouts,
            acquire_errors: self.acquire_errors,
            opened: self.opened,
            invalidated: self.invalidated,
            inherited: self.inherited,
            query_errors: self.query_errors,
            n_plus_one: self.n_plus_one,
            unpaginated: self.unpaginated,
        }
    }

    fn of(pool: &super::Pool) -> Self {
        let (figures, totals, timings) = (&pool.figures, &pool.totals, &pool.timings);
        Self {
            name: pool.name.clone(),
            size: figures.size,
            max_overflow: figures.max_overflow.map(limit),
            checked_in: figures.checked_in,
            checked_out: figures.checked_out,
            pending: figures.pending,
            pending_peak: figures.pending_peak,
            connecting: figures.connecting,
            peak: figures.peak,
            oldest: figures.oldest_checkout,
            timeouts: totals.timeouts,
            acquire_errors: totals.acquire_errors,
            opened: totals.opened,
            invalidated: totals.invalidated,
            inherited: totals.inherited,
            query_errors: totals.query_errors,
            n_plus_one: totals.n_plus_one,
            unpaginated: totals.unpaginated,
            query: timings.query.as_ref().map(Histogram::of),
            commit: timings.commit.as_ref().map(Histogram::of),
            acquire: timings.acquire.as_ref().map(Histogram::of),
            hold: timings.hold.as_ref().map(Histogram::of),
        }
    }
}

/// A limit that no pool can reach is none.
fn limit(more: MaxOverflow) -> Option<u64> {
    more.limit().filter(|limit| *limit <= MOST_CONNECTIONS)
}

impl Histogram {
    /// The histogram over our bounds. What a client with fewer counted above all of its own is above
    /// all of ours, too.
    fn checked(
        reported: Option<Self>,
        by: Bounds,
        bounds: &'static [f64],
    ) -> Result<Option<latency::Histogram>, Reason> {
        let Some(Self { sum, mut counts }) = reported else { return Ok(None) };
        let known = by.values().len();
        if counts.len() != known + 1 {
            return Err(Reason::Bounds);
        }
        counts.splice(known..known, std::iter::repeat_n(0, bounds.len() - known));
        let plausible = sum <= LONGEST && counts.iter().all(|count| *count <= MOST_COUNTED);
        let histogram = latency::Histogram::from_counts(bounds, counts, sum);
        histogram.filter(|_| plausible).map(Some).ok_or(Reason::Malformed)
    }

    fn of(histogram: &latency::Histogram) -> Self {
        Self { sum: histogram.sum(), counts: histogram.counts().to_vec() }
    }
}

impl Finding {
    /// The finding, when its kind is a word and its figures can be; it belongs to the first pool
    /// unless it says another.
    fn checked(self, first: &str) -> Option<reading::Finding> {
        let is_word = self.kind.len() <= 32
            && !self.kind.is_empty()
            && self.kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let pool = self.pool.unwrap_or_else(|| first.to_owned());
        let plausible = self.count.max(self.rows) <= MOST_COUNTED;
        (is_word && plausible).then(|| reading::Finding {
            pool: cut(pool, NAME),
            kind: self.kind,
            sql: cut(self.sql, STATEMENT),
            count: self.count,
            rows: self.rows,
            location: self.location.map(|location| cut(location, 2 * NAME)),
        })
    }

    fn of(finding: &reading::Finding) -> Self {
        Self {
            pool: Some(finding.pool.clone()),
            kind: finding.kind.clone(),
            sql: finding.sql.clone(),
            count: finding.count,
            rows: finding.rows,
            location: finding.location.clone(),
        }
    }
}
