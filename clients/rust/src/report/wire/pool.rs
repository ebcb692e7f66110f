//! One pool of a report: its name, and a key for each row of the table of figures.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::super::bounds::{Bounds, CountedBy};
use super::super::{PIDS, PoolReport, Reason};
use super::holders::{Endpoint, Hold};
use super::target::Target;
use super::{LONGEST, MOST_COUNTED, name};
use crate::histogram::Histogram;
use crate::pool_figures::{
    Cumulative, Figures, Gauge, GaugeKind, MaxOverflow, Row, Timings, Totals, Value,
};

/// More connections than any pool has.
const MOST_CONNECTIONS: u64 = u32::MAX as u64;

/// A pool as it is written. Its histograms are checked when the bounds are known, which may follow.
#[derive(Debug, Default)]
pub(super) struct Pool {
    name: String,
    figures: Figures,
    totals: Totals,
    timed: Vec<(&'static TimingRow, Counts)>,
    endpoints: Vec<Endpoint>,
    holds: Vec<Hold>,
    targets: Vec<Target>,
    pids: Option<Vec<i64>>,
}

type TotalRow = Row<Totals, u64>;
type TimingRow = Row<Timings, Histogram>;

/// The counts of a histogram, over bounds that stand elsewhere in the report.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Counts {
    sum: f64,
    counts: Vec<u64>,
}

impl Pool {
    /// The pool, when it may be believed.
    pub(super) fn checked(mut self, counted_by: CountedBy) -> Result<PoolReport, Reason> {
        if !self.is_plausible() {
            return Err(Reason::Malformed);
        }
        self.figures.overflow = overflow(&self.figures);
        let mut timings = Timings::default();
        for (row, counts) in self.timed {
            let by = counted_by.for_bounds(row.bounds).ok_or(Reason::Bounds)?;
            *(row.get_mut)(&mut timings) = Some(counts.checked(by, row.bounds)?);
        }
        let mut pool = PoolReport {
            name: name(self.name)?,
            figures: self.figures,
            totals: self.totals,
            timings,
            ..PoolReport::default()
        };
        for endpoint in self.endpoints {
            pool.add_endpoint(endpoint.checked(counted_by)?);
        }
        let holds = self.holds.into_iter().map(Hold::checked).collect::<Result<Vec<_>, _>>()?;
        pool.join_holders(&[], &holds);
        pool.backend_pids = self.pids.and_then(plausible_pids);
        let targets: Vec<_> = self.targets.into_iter().filter_map(Target::checked).collect();
        pool.join_targets(&targets);
        Ok(pool)
    }

    /// True when the figures of many such pools can be summed.
    fn is_plausible(&self) -> bool {
        let mut gauges = Figures::ROWS.iter().filter_map(|row| (row.get)(&self.figures));
        let mut totals = Totals::ROWS.iter().filter_map(|row| *(row.get)(&self.totals));
        gauges.all(is_plausible) && totals.all(|count| count <= MOST_COUNTED)
    }

    fn read_gauge<'de, A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
        row: &'static Gauge,
    ) -> Result<(), A::Error> {
        let value = match row.kind {
            GaugeKind::Count => map.next_value::<Option<u64>>()?.map(Value::Count),
            // Missing is unknown, null is unlimited.
            GaugeKind::Limit => {
                let limit = map.next_value::<Option<u64>>()?;
                Some(Value::Limit(limit.map_or(MaxOverflow::Unlimited, MaxOverflow::Limited)))
            }
            GaugeKind::Seconds | GaugeKind::Share => {
                let seconds = map.next_value::<Option<f64>>()?;
                let is_limit = matches!(row.wire, Some("timeout" | "recycle"));
                let is_told = |seconds: &f64| !is_limit || (0.0..LONGEST_LIMIT).contains(seconds);
                seconds.filter(is_told).map(Value::Seconds)
            }
        };
        if let Some((set, value)) = row.set.zip(value) {
            set(&mut self.figures, value);
        }
        Ok(())
    }
}

/// An odd setting of an application, below 0 or of so many seconds, is none, and no reason to refuse
/// the report.
const LONGEST_LIMIT: f64 = 1e9;

fn is_plausible(value: Value) -> bool {
    match value {
        Value::Count(count) | Value::Limit(MaxOverflow::Limited(count)) => {
            count <= MOST_CONNECTIONS
        }
        Value::Seconds(seconds) => (0.0..=LONGEST).contains(&seconds),
        Value::Limit(MaxOverflow::Unlimited) | Value::Share(_) => true,
    }
}

/// Open connections above the size; a pool without size and limit has none.
fn overflow(figures: &Figures) -> Option<u64> {
    match (figures.size?, figures.max_overflow.and_then(MaxOverflow::limit)) {
        (0, None) => Some(0),
        (size, _) => {
            Some(figures.checked_in?.saturating_add(figures.checked_out?).saturating_sub(size))
        }
    }
}

/// The processes; `None` where they are more than a client reports, for they are not all then. A
/// pooler gives numbers that no process has, which are left out.
fn plausible_pids(pids: Vec<i64>) -> Option<Vec<i32>> {
    let positive = |pid| i32::try_from(pid).ok().filter(|pid| *pid > 0);
    (pids.len() <= PIDS).then(|| pids.into_iter().filter_map(positive).collect())
}

impl Counts {
    /// The histogram over our bounds. What a client with fewer counted above all of its own is above
    /// all of ours, too.
    pub(super) fn checked(self, by: Bounds, bounds: &'static [f64]) -> Result<Histogram, Reason> {
        let Self { sum, mut counts } = self;
        let reported = by.values().len();
        if counts.len() != reported + 1 {
            return Err(Reason::Bounds);
        }
        counts.splice(reported..reported, std::iter::repeat_n(0, bounds.len() - reported));
        let plausible = sum <= LONGEST && counts.iter().all(|count| *count <= MOST_COUNTED);
        let histogram = Histogram::from_counts(bounds, counts, sum);
        histogram.filter(|_| plausible).ok_or(Reason::Malformed)
    }
}

impl From<&Histogram> for Counts {
    fn from(histogram: &Histogram) -> Self {
        Self { sum: histogram.sum(), counts: histogram.counts().to_vec() }
    }
}

impl From<&PoolReport> for Pool {
    fn from(pool: &PoolReport) -> Self {
        let timed = Timings::ROWS.iter().filter_map(|row| {
            let histogram = (row.get)(&pool.timings).as_ref()?;
            Some((row, histogram.into()))
        });
        Self {
            name: pool.name.clone(),
            figures: pool.figures,
            totals: pool.totals,
            timed: timed.collect(),
            endpoints: pool.endpoints.iter().map(Endpoint::from).collect(),
            holds: pool.holds.iter().map(Hold::from).collect(),
            targets: pool.targets.iter().map(Target::from).collect(),
            pids: pool
                .backend_pids
                .as_ref()
                .map(|pids| pids.iter().copied().map(i64::from).collect()),
        }
    }
}

/// A key of a pool.
enum Key {
    Name,
    Gauge(&'static Gauge),
    Total(&'static TotalRow),
    Timing(&'static TimingRow),
    Endpoints,
    Holds,
    Targets,
    Pids,
    /// Of a client that is newer.
    Unknown,
}

impl From<&str> for Key {
    fn from(key: &str) -> Self {
        match key {
            "name" => return Self::Name,
            "endpoints" => return Self::Endpoints,
            "holds" => return Self::Holds,
            "targets" => return Self::Targets,
            "pids" => return Self::Pids,
            _ => {}
        }
        let gauge = || Figures::ROWS.iter().find(|row| row.wire == Some(key)).map(Self::Gauge);
        let total = || Totals::ROWS.iter().find(|row| row.wire == key).map(Self::Total);
        let timing = || Timings::ROWS.iter().find(|row| row.wire == key).map(Self::Timing);
        gauge().or_else(total).or_else(timing).unwrap_or(Self::Unknown)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl Visitor<'_> for Keys {
            type Value = Key;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a figure")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
                Ok(key.into())
            }
        }

        deserializer.deserialize_identifier(Keys)
    }
}

impl<'de> Deserialize<'de> for Pool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pools;

        impl<'de> Visitor<'de> for Pools {
            type Value = Pool;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the figures of a pool")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pool, A::Error> {
                let (mut pool, mut name) = (Pool::default(), None);
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::Name => name = Some(map.next_value()?),
                        Key::Gauge(row) => pool.read_gauge(&mut map, row)?,
                        Key::Total(row) => *(row.get_mut)(&mut pool.totals) = map.next_value()?,
                        Key::Timing(row) => {
                            pool.timed.retain(|(before, _)| before.wire != row.wire);
                            pool.timed.extend(map.next_value::<Option<_>>()?.map(|one| (row, one)));
                        }
                        Key::Endpoints => {
                            pool.endpoints = map.next_value::<Option<_>>()?.unwrap_or_default();
                        }
                        Key::Holds => {
                            pool.holds = map.next_value::<Option<_>>()?.unwrap_or_default();
                        }
                        Key::Targets => {
                            pool.targets = map.next_value::<Option<_>>()?.unwrap_or_default();
                        }
                        Key::Pids => pool.pids = map.next_value()?,
                        Key::Unknown => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                pool.name = name.ok_or_else(|| A::Error::missing_field("name"))?;
                Ok(pool)
            }
        }

        deserializer.deserialize_map(Pools)
    }
}

impl Serialize for Pool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        for row in Figures::ROWS {
            let Some((key, value)) = row.wire.zip((row.get)(&self.figures)) else { continue };
            match value {
                Value::Count(count) => map.serialize_entry(key, &count)?,
                // A limit that no pool can reach is none.
                Value::Limit(limit) => {
                    let limit = limit.limit().filter(|limit| *limit <= MOST_CONNECTIONS);
                    map.serialize_entry(key, &limit)?;
                }
                Value::Seconds(value) | Value::Share(value) => map.serialize_entry(key, &value)?,
            }
        }
        for row in Totals::ROWS {
            if let Some(count) = (row.get)(&self.totals) {
                map.serialize_entry(row.wire, count)?;
            }
        }
        for (row, counts) in &self.timed {
            map.serialize_entry(row.wire, counts)?;
        }
        if !self.endpoints.is_empty() {
            map.serialize_entry("endpoints", &self.endpoints)?;
        }
        if !self.holds.is_empty() {
            map.serialize_entry("holds", &self.holds)?;
        }
        if !self.targets.is_empty() {
            map.serialize_entry("targets", &self.targets)?;
        }
        if let Some(pids) = &self.pids {
            map.serialize_entry("pids", pids)?;
        }
        map.end()
    }
}
