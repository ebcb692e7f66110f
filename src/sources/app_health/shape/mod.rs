//! The places of the figures in an answer, and the reading they make.

use std::collections::BTreeMap;

use serde_json::Value;

use super::figure::{AnswerProblem, Figure, FoundNumber, found, keys, kind};
use super::presets::{BASES, Preset};
use crate::metric::Family;
use crate::reading::{
    Cumulative, Figures, Holders, MaxOverflow, Origin, Pool, Reading, Timings, Totals, Worker,
};

/// The place of each figure.
pub(super) struct AnswerShape {
    preset: Option<Preset>,
    pointers: BTreeMap<Figure, String>,
}

/// No pool has more, and sums of it cannot overflow.
const MOST_CONNECTIONS: u64 = 1_000_000_000;
/// Above this a JSON number may not be exact.
const MOST_COUNTED: u64 = 1 << 53;
/// More seconds than any application has run, all its workers together.
const LONGEST: f64 = 1e15;

impl AnswerShape {
    pub(super) fn new(
        preset: Option<Preset>,
        pointers: &BTreeMap<Figure, String>,
    ) -> Result<Self, String> {
        for (figure, pointer) in pointers {
            let whole = pointer.is_empty() && *figure == Figure::Workers;
            if !whole && !pointer.starts_with('/') {
                let meant = pointer.trim_start_matches(['$', '.']).replace('.', "/");
                return Err(format!(
                    "pointers: {figure}: {pointer:?} is not a JSON pointer: write \"/{meant}\""
                ));
            }
        }
        let preset = preset.or_else(|| pointers.is_empty().then_some(Preset::Sqlalchemy));
        Ok(Self { preset, pointers: pointers.clone() })
    }

    /// The reading in an answer.
    pub(super) fn parse(&self, pool: &str, answer: &Value) -> Result<Reading, AnswerProblem> {
        let all = self.workers(answer)?;
        let views: Vec<WorkerAnswer<'_>> =
            all.iter().map(|whole| WorkerAnswer::new(self, whole)).collect();
        let mut totals = Totals::default();
        for view in &views {
            totals.merge(&view.totals()?);
        }
        let pool = Pool {
            name: pool.to_owned(),
            origin: Origin::AppHealth,
            workers: views.iter().map(WorkerAnswer::worker).collect::<Result<_, _>>()?,
            worker_count: self.pointers.get(&Figure::Workers).and(u64::try_from(all.len()).ok()),
            totals,
            timings: Timings::default(),
            holders: Holders::default(),
            targets: Vec::new(),
        };
        let families = waits(&pool.name, &views)?;
        Ok(Reading { pools: vec![pool], families, ..Reading::default() })
    }

    fn workers<'a>(&self, answer: &'a Value) -> Result<&'a [Value], AnswerProblem> {
        let figure = Figure::Workers;
        let Some(pointer) = self.pointers.get(&figure) else {
            return Ok(std::slice::from_ref(answer));
        };
        match answer.pointer(pointer) {
            Some(Value::Array(all)) => Ok(all),
            None => Err(AnswerProblem::Missing { figure, found: keys(answer) }),
            Some(other) => Err(AnswerProblem::Type {
                figure,
                pointer: pointer.clone(),
                found: kind(other),
                wanted: "a list",
            }),
        }
    }
}

/// One worker's part of an answer.
struct WorkerAnswer<'a> {
    shape: &'a AnswerShape,
    whole: &'a Value,
    /// The object that has the preset's keys.
    base: &'a Value,
}

impl<'a> WorkerAnswer<'a> {
    fn new(shape: &'a AnswerShape, whole: &'a Value) -> Self {
        let mut view = Self { shape, whole, base: whole };
        let Some(preset) = shape.preset else { return view };
        let keys = |base: &Value| {
            preset.places().iter().filter(|(_, key, _)| base.pointer(key).is_some()).count()
        };
        // Of equals the first: the order of BASES is from the outside in.
        for base in BASES.iter().filter_map(|base| whole.pointer(base)) {
            if keys(base) > keys(view.base) {
                view.base = base;
            }
        }
        view
    }

    /// A figure's number; null is as good as absent.
    fn find(&self, figure: Figure) -> Result<Option<FoundNumber<'a>>, AnswerProblem> {
        let own =
            self.shape.pointers.get(&figure).map(|pointer| (self.whole, pointer.as_str(), 1.0));
        let places = self.shape.preset.map_or(&[][..], Preset::places).iter();
        let preset = places.filter(|place| place.0 == figure);
        let all = own.into_iter().chain(preset.map(|(_, key, unit)| (self.base, *key, *unit)));
        for (from, pointer, unit) in all {
            match from.pointer(pointer) {
                None | Some(Value::Null) => {}
                Some(value) => return found(figure, pointer, value, unit).map(Some),
            }
        }
        Ok(None)
    }

    fn count(&self, figure: Figure, most: u64) -> Result<Option<u64>, AnswerProblem> {
        self.find(figure)?.map(|found| found.count(most)).transpose()
    }

    fn connections(&self, figure: Figure) -> Result<Option<u64>, AnswerProblem> {
        self.count(figure, MOST_CONNECTIONS)
    }

    fn seconds(&self, figure: Figure) -> Result<Option<f64>, AnswerProblem> {
        let Some(found) = self.find(figure)? else { return Ok(None) };
        let may_be = (0.0..=LONGEST).contains(&found.value);
        if may_be { Ok(Some(found.value)) } else { Err(found.untrue()) }
    }

    fn overflow(&self) -> Result<Option<u64>, AnswerProblem> {
        let Some(mut found) = self.find(Figure::Overflow)? else { return Ok(None) };
        found.value = found.value.max(0.0);
        found.count(MOST_CONNECTIONS).map(Some)
    }

    /// A limit, of which −1 says that there is none.
    fn limit(&self, figure: Figure) -> Result<Option<MaxOverflow>, AnswerProblem> {
        let Some(found) = self.find(figure)? else { return Ok(None) };
        let limit = FoundNumber { value: found.value.max(0.0), ..found }.count(MOST_CONNECTIONS)?;
        match limit {
            _ if (found.value + 1.0).abs() < f64::EPSILON => Ok(Some(MaxOverflow::Unlimited)),
            _ if found.value < 0.0 => Err(found.untrue()),
            0 if figure == Figure::Capacity => Ok(Some(MaxOverflow::Unlimited)),
            limit => Ok(Some(MaxOverflow::Limited(limit))),
        }
    }

    /// Size and max overflow, by way of the capacity where only that is given.
    fn limits(&self) -> Result<(Option<u64>, Option<MaxOverflow>), AnswerProblem> {
        use MaxOverflow::{Limited, Unlimited};
        let (size, more) = (self.connections(Figure::Size)?, self.limit(Figure::MaxOverflow)?);
        Ok(match (size, more, self.limit(Figure::Capacity)?) {
            (size, None, Some(Unlimited)) => (size, Some(Unlimited)),
            (Some(size), None, Some(Limited(all))) => {
                (Some(size), Some(Limited(all.saturating_sub(size))))
            }
            (None, more, Some(Limited(all))) => {
                let more = more.and_then(MaxOverflow::limit).unwrap_or(0);
                (Some(all.saturating_sub(more)), Some(Limited(more)))
            }
            (size, more, _) => (size, more),
        })
    }

    fn checked_out(&self, checked_in: Option<u64>) -> Result<u64, AnswerProblem> {
        if let Some(checked_out) = self.connections(Figure::CheckedOut)? {
            return Ok(checked_out);
        }
        let open = self.connections(Figure::Open)?.zip(checked_in);
        let taken = open.map(|(open, checked_in)| open.saturating_sub(checked_in));
        taken.ok_or_else(|| AnswerProblem::Missing {
            figure: Figure::CheckedOut,
            found: keys(self.base),
        })
    }

    fn worker(&self) -> Result<Worker, AnswerProblem> {
        let pid = self.count(Figure::Pid, u64::from(u32::MAX))?;
        let pid = pid.and_then(|pid| u32::try_from(pid).ok());
        Ok(Worker { pid, figures: self.figures()?, ..Worker::default() })
    }

    fn figures(&self) -> Result<Figures, AnswerProblem> {
        let (size, max_overflow) = self.limits()?;
        let checked_in = self.connections(Figure::CheckedIn)?;
        let checked_out = self.checked_out(checked_in)?;
        let above = checked_in
            .zip(size.filter(|size| *size > 0))
            .map(|(resting, size)| (resting + checked_out).saturating_sub(size));
        Ok(Figures {
            size,
            max_overflow,
            checked_in,
            checked_out: Some(checked_out),
            overflow: self.overflow()?.or(above),
            pending: self.connections(Figure::Pending)?,
            peak: self.connections(Figure::Peak)?,
            oldest_checkout: self.seconds(Figure::OldestCheckout)?,
            ..Figures::default()
        })
    }

    fn totals(&self) -> Result<Totals, AnswerProblem> {
        let total = |figure| self.count(figure, MOST_COUNTED);
        Ok(Totals {
            timeouts: total(Figure::Timeouts)?,
            acquire_errors: total(Figure::AcquireErrors)?,
            opened: total(Figure::Opened)?,
            invalidated: total(Figure::Invalidated)?,
            ..Totals::default()
        })
    }
}

fn waits(pool: &str, views: &[WorkerAnswer<'_>]) -> Result<Vec<Family>, AnswerProblem> {
    let (mut waits, mut seconds) = (None, None);
    for view in views {
        let more = view.count(Figure::Waits, MOST_COUNTED)?.map(|count| count as f64);
        waits = crate::reading::both(waits, more, |a, b| a + b);
        let more = view.seconds(Figure::WaitSeconds)?;
        seconds = crate::reading::both(seconds, more, |a, b| a + b);
    }
    let mut counted = Family::counter(
        "db_pool_acquire_waits_total",
        "Acquires that had to wait for a connection.",
    );
    counted.sample(&[("pool", pool)], waits);
    let mut timed = Family::counter(
        "db_pool_acquire_wait_seconds_total",
        "How long acquires waited for a connection in all.",
    );
    timed.sample(&[("pool", pool)], seconds);
    Ok([counted, timed].into_iter().filter(|family| !family.is_empty()).collect())
}

#[cfg(test)]
mod tests;
