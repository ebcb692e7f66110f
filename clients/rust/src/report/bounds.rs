//! The bounds a client counts by, compared as they are read.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::Reason;
use crate::histogram::{ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS};

/// The number of bounds at the beginning of [`ACQUIRE_BOUNDS`] that an older client sends:
/// up to 30 s.
const SHORT_ACQUIRE: usize = 19;

/// The bounds a client says it counts by: a beginning of ours, or others, which cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// So many of [`HOLD_BOUNDS`], of which [`BOUNDS`] are the beginning.
    Hold(usize),
    /// So many of [`ACQUIRE_BOUNDS`].
    Acquire(usize),
    Other,
}

impl Bounds {
    /// The bounds of statements and commits.
    pub(super) const QUERY: Self = Self::Hold(BOUNDS.len());
    /// All bounds of holds.
    pub(super) const HOLD: Self = Self::Hold(HOLD_BOUNDS.len());
    /// All bounds of acquires.
    pub(super) const ACQUIRE: Self = Self::Acquire(ACQUIRE_BOUNDS.len());

    /// The bounds themselves.
    pub(super) fn values(self) -> &'static [f64] {
        match self {
            Self::Hold(length) => &HOLD_BOUNDS[..length],
            Self::Acquire(length) => &ACQUIRE_BOUNDS[..length],
            Self::Other => &[],
        }
    }
}

/// The bounds that one report counts by; absent where it names none.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountedBy {
    query: Option<Bounds>,
    hold: Option<Bounds>,
    acquire: Option<Bounds>,
}

impl CountedBy {
    /// The bounds, unless some are others than ours: counts over those cannot be added to ours. A
    /// client that knows no longer ones counts holds by the bounds of statements.
    pub(super) fn checked(
        query: Option<Bounds>,
        hold: Option<Bounds>,
        acquire: Option<Bounds>,
    ) -> Result<Self, Reason> {
        let fit = |bounds: Option<Bounds>, allowed: &[Bounds]| {
            bounds.is_none_or(|bounds| allowed.contains(&bounds))
        };
        let hold = hold.or(query);
        let all_fit = fit(query, &[Bounds::QUERY])
            && fit(hold, &[Bounds::QUERY, Bounds::HOLD])
            && fit(acquire, &[Bounds::ACQUIRE, Bounds::Acquire(SHORT_ACQUIRE)]);
        if all_fit { Ok(Self { query, hold, acquire }) } else { Err(Reason::Bounds) }
    }

    /// The bounds by which the report counts what is counted here by others.
    pub(super) fn for_bounds(self, bounds: &[f64]) -> Option<Bounds> {
        if bounds == HOLD_BOUNDS {
            self.hold
        } else if bounds == ACQUIRE_BOUNDS {
            self.acquire
        } else {
            self.query
        }
    }
}

impl Serialize for Bounds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Compared)
    }
}

struct Compared;

impl<'de> Visitor<'de> for Compared {
    type Value = Bounds;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of seconds")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seconds: A) -> Result<Bounds, A::Error> {
        let (mut length, mut hold, mut acquire) = (0, true, true);
        while let Some(bound) = seconds.next_element::<f64>()? {
            hold &= HOLD_BOUNDS.get(length) == Some(&bound);
            acquire &= ACQUIRE_BOUNDS.get(length) == Some(&bound);
            length += 1;
        }
        Ok(match (hold, acquire) {
            (true, false) => Bounds::Hold(length),
            (false, true) => Bounds::Acquire(length),
            _ => Bounds::Other,
        })
    }
}
