//! The JSON of a report, field by field.

mod holders;
mod pool;
mod target;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::pool::Pool;
use super::bounds::{Bounds, CountedBy};
use super::{FINDINGS, NAME, POOLS, Reason, STATEMENT};

const VERSION: u64 = 1;

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
        let counted_by = CountedBy::checked(self.bounds, self.hold_bounds, self.acquire_bounds)?;
        let pools = pools(self.pools, counted_by)?;
        let first = pools.first().map_or("", |pool| pool.name.as_str());
        let findings =
            self.findings.into_iter().filter_map(|one| one.checked(first)).take(FINDINGS).collect();
        Ok(super::Report {
            instance: name(self.inst)?,
            pid: self.pid,
            seq: self.seq,
            period: period(self.period)?,
            app: self.app.filter(|app| !app.is_empty()).map(|app| cut(app, NAME)),
            is_final: self.bye,
            pools,
            findings,
        })
    }
}

impl From<&super::Report> for Report {
    fn from(report: &super::Report) -> Self {
        Self {
            v: VERSION,
            inst: report.instance.clone(),
            pid: report.pid,
            seq: report.seq,
            period: report.period.as_secs_f64(),
            app: report.app.clone(),
            bye: report.is_final,
            bounds: Some(Bounds::QUERY),
            hold_bounds: Some(Bounds::HOLD),
            acquire_bounds: Some(Bounds::ACQUIRE),
            pools: report.pools.iter().map(Pool::from).collect(),
            findings: report.findings.iter().map(Finding::from).collect(),
        }
    }
}

fn pools(reported: Vec<Pool>, counted_by: CountedBy) -> Result<Vec<super::PoolReport>, Reason> {
    let mut pools: Vec<super::PoolReport> = Vec::with_capacity(reported.len());
    for pool in reported {
        let pool = pool.checked(counted_by)?;
        match pools.iter_mut().find(|other| other.name == pool.name) {
            Some(other) => other.join(&pool),
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

impl Finding {
    /// The finding, when its kind is a word and its figures can be; it belongs to the first pool
    /// unless it says another.
    fn checked(self, first: &str) -> Option<super::Finding> {
        let is_word = self.kind.len() <= 32
            && !self.kind.is_empty()
            && self.kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let pool = self.pool.unwrap_or_else(|| first.to_owned());
        let plausible = self.count.max(self.rows) <= MOST_COUNTED;
        (is_word && plausible).then(|| super::Finding {
            pool: cut(pool, NAME),
            kind: self.kind,
            sql: cut(self.sql, STATEMENT),
            count: self.count,
            rows: self.rows,
            location: self.location.map(|location| cut(location, 2 * NAME)),
        })
    }
}

impl From<&super::Finding> for Finding {
    fn from(finding: &super::Finding) -> Self {
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
