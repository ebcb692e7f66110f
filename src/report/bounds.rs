//! The bounds a client counts by, compared as they are read.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::latency::{ACQUIRE_BOUNDS, BOUNDS};

/// The bounds a client says it counts by: compared as they are read, for nothing else is ever done
/// with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    Query,
    Acquire,
    Other,
}

impl Serialize for Bounds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Query => BOUNDS.serialize(serializer),
            Self::Acquire => ACQUIRE_BOUNDS.serialize(serializer),
            Self::Other => serializer.serialize_none(),
        }
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

    #[expect(clippy::float_cmp, reason = "a client with the same bounds writes the same figures")]
    fn visit_seq<A: SeqAccess<'de>>(self, mut said: A) -> Result<Bounds, A::Error> {
        let first = said.next_element::<f64>()?;
        let (ours, same) = match first {
            Some(first) if first == BOUNDS[0] => (BOUNDS, Bounds::Query),
            Some(first) if first == ACQUIRE_BOUNDS[0] => (ACQUIRE_BOUNDS, Bounds::Acquire),
            _ => (&[][..], Bounds::Other),
        };
        let mut equal = true;
        for bound in ours.iter().skip(1) {
            equal &= said.next_element::<f64>()? == Some(*bound);
        }
        while said.next_element::<IgnoredAny>()?.is_some() {
            equal = false;
        }
        Ok(if equal { same } else { Bounds::Other })
    }
}
