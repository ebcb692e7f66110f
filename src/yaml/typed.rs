//! A value as the settings that it describes.
//!
//! As from the environment, a text that reads as a number or as yes and no is taken for it where one
//! is due. An empty section is one with nothing in it.

use config::{Map, Value, ValueKind};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_path_to_error::Segment;

use super::{Expected, Found, Path, Refusal};

/// A refusal, and its place.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {refusal}")]
pub(crate) struct Refused {
    /// The keys that lead to it.
    pub path: Path,
    /// The refusal.
    pub refusal: Refusal,
}

impl Refused {
    /// The keys that lead to what has to be changed.
    pub(crate) fn place(&self) -> Path {
        match &self.refusal {
            Refusal::UnknownKey { key, .. } => self.path.join(key),
            _ => self.path.clone(),
        }
    }
}

/// A value as settings.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Refused> {
    serde_path_to_error::deserialize(Typed(value)).map_err(|error| {
        let path: Path = error.path().iter().filter_map(key).collect();
        let refusal = error.into_inner();
        // Its path leads to the key that is not known, and not to the map.
        let is_key =
            matches!(&refusal, Refusal::UnknownKey { key, .. } if path.last() == Some(key));
        Refused { path: path.parent().filter(|_| is_key).unwrap_or(path), refusal }
    })
}

fn key(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(format!("[{index}]")),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

/// A share, from 0 to 1.
pub(crate) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(D::Error::invalid_value(Unexpected::Float(share), &"a share from 0 to 1"))
}

struct Typed(Value);

impl Typed {
    fn refuse<T>(&self, expected: Expected) -> Result<T, Refusal> {
        Err(Refusal::Unfit { found: Found::from(&self.0.kind), expected })
    }

    fn whole<T: TryFrom<i128>>(&self, least: i128, most: i128) -> Result<T, Refusal> {
        let number = match &self.0.kind {
            ValueKind::I64(number) => Some(i128::from(*number)),
            ValueKind::U64(number) => Some(i128::from(*number)),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => self.refuse(Expected::Whole { least, most }),
        }
    }

    fn number(&self) -> Result<f64, Refusal> {
        let number = match &self.0.kind {
            ValueKind::I64(number) => Some(*number as f64),
            ValueKind::U64(number) => Some(*number as f64),
            ValueKind::Float(number) => Some(*number),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite()).map_or_else(|| self.refuse(Expected::Number), Ok)
    }

    fn truth(&self) -> Result<bool, Refusal> {
        match &self.0.kind {
            ValueKind::Boolean(value) => Ok(*value),
            ValueKind::I64(number @ 0..=1) => Ok(*number == 1),
            ValueKind::String(text) => match text.trim().to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => self.refuse(Expected::Truth),
            },
            _ => self.refuse(Expected::Truth),
        }
    }

    fn text(self) -> Result<String, Refusal> {
        match self.0.kind {
            ValueKind::String(text) => Ok(text),
            ValueKind::I64(number) => Ok(number.to_string()),
            ValueKind::U64(number) => Ok(number.to_string()),
            ValueKind::Float(number) => Ok(number.to_string()),
            _ => self.refuse(Expected::Text),
        }
    }

    fn map(self) -> Result<Map<String, Value>, Refusal> {
        match self.0.kind {
            ValueKind::Table(table) => Ok(table),
            ValueKind::Nil => Ok(Map::new()),
            _ => self.refuse(Expected::Map),
        }
    }
}

impl From<&ValueKind> for Found {
    fn from(kind: &ValueKind) -> Self {
        match kind {
            ValueKind::Nil => Self::Nothing,
            ValueKind::Boolean(value) => Self::Truth(*value),
            ValueKind::I64(number) => Self::Number(number.to_string()),
            ValueKind::I128(number) => Self::Number(number.to_string()),
            ValueKind::U64(number) => Self::Number(number.to_string()),
            ValueKind::U128(number) => Self::Number(number.to_string()),
            ValueKind::Float(number) => Self::Number(number.to_string()),
            ValueKind::String(text) => Self::Text(text.clone()),
            ValueKind::Table(_) => Self::Map,
            ValueKind::Array(_) => Self::List,
        }
    }
}

/// The entries in the order of their keys, so that of two that are wrong it is always the same that
/// is told of.
fn entries(table: Map<String, Value>) -> impl Iterator<Item = (String, Typed)> {
    let mut entries: Vec<_> = table.into_iter().map(|(key, value)| (key, Typed(value))).collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries.into_iter()
}

/// The one entry that says which of a few variants is meant, besides those that have no value.
fn choice(
    table: Map<String, Value>,
    known: &'static [&'static str],
) -> Result<(String, Typed), Refusal> {
    let mut all: Vec<_> = entries(table).collect();
    if all.len() > 1 {
        all.retain(|(_, value)| value.0.kind != ValueKind::Nil);
    }
    match all.pop() {
        Some(one) if all.is_empty() => Ok(one),
        last => {
            let found = all.into_iter().chain(last).map(|(key, _)| key).collect();
            Err(Refusal::NotOne { found, known })
        }
    }
}

macro_rules! whole {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            visitor.$visit(self.whole::<$type>(<$type>::MIN.into(), <$type>::MAX.into())?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Typed {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(value) => visitor.visit_bool(value),
            ValueKind::I64(number) => visitor.visit_i64(number),
            ValueKind::I128(number) => visitor.visit_i128(number),
            ValueKind::U64(number) => visitor.visit_u64(number),
            ValueKind::U128(number) => visitor.visit_u128(number),
            ValueKind::Float(number) => visitor.visit_f64(number),
            ValueKind::String(text) => visitor.visit_string(text),
            ValueKind::Table(table) => visitor.visit_map(MapDeserializer::new(entries(table))),
            ValueKind::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Typed)))
            }
        }
    }

    whole! {
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_bool(self.truth()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_f64(self.number()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_f64(self.number()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0.kind {
            ValueKind::Array(_) => self.deserialize_any(visitor),
            _ => self.refuse(Expected::List),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_map(MapDeserializer::new(entries(self.map()?)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let chosen = match self.0.kind {
            ValueKind::Table(table) => choice(table, known)?,
            ValueKind::Nil => choice(Map::new(), known)?,
            _ => (self.text()?, Self(Value::new(None, ValueKind::Nil))),
        };
        visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new([chosen].into_iter())))
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Refusal> for Typed {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::yaml::parse;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        on: bool,
        size: u8,
        share: f64,
        name: Option<String>,
        names: Vec<String>,
        inner: BTreeMap<String, Kind>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Plain,
        Named(Inner),
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        size: u8,
    }

    fn read(text: &str) -> Result<Settings, Refused> {
        from_value(parse(text).unwrap().to_value())
    }

    #[test]
    fn what_is_written_as_another_kind_is_taken_for_what_is_due() {
        let read = read("{on: 'yes', size: '7', share: 1, name: 12, inner: }").unwrap();
        let name = Some("12".to_owned());
        assert_eq!(read, Settings { on: true, size: 7, share: 1.0, name, ..Settings::default() });
    }

    #[test]
    fn a_choice_is_a_word_or_a_map_with_one_key() {
        let read =
            read("inner: {a: plain, b: {named: {size: 1}}, c: {named: }, d: {named: {}, plain: }}");
        let kinds: Vec<_> = read.unwrap().inner.into_values().collect();
        let named = |size| Kind::Named(Inner { size });
        assert_eq!(kinds, [Kind::Plain, named(1), named(0), named(0)]);
    }

    #[test]
    fn what_is_refused_is_told_with_its_path() {
        for (text, expected) in [
            ("on: maybe", "on: found the text `maybe`, expected true or false"),
            ("size: 300", "size: found the number `300`, expected a whole number from 0 to 255"),
            ("size: 1.5", "size: found the number `1.5`, expected a whole number from 0 to 255"),
            ("share: []", "share: found a list, expected a number"),
            ("name: true", "name: found `true`, expected a text"),
            ("names: a", "names: found the text `a`, expected a list"),
            ("names: [a, {}]", "names[1]: found a map, expected a text"),
            ("inner: []", "inner: found a list, expected a map"),
            ("inner: {a: {named: {size: x}}}", "inner.a.named.size: found the text `x`"),
            ("inner: {a: {named: {sze: 1}}}", "inner.a.named: `sze` is not known; did you mean"),
            ("inner: {a: {nmed: {}}}", "inner.a: `nmed` is not known; did you mean `named`?"),
            ("inner: {a: other}", "inner.a: `other` is not known; known are: plain, named"),
            ("inner: {a: {}}", "inner.a: must have exactly one of plain, named; found none"),
            (
                "inner: {a: {plain: 1, named: 2}}",
                "inner.a: must have exactly one of plain, named; found named and plain",
            ),
            ("nmae: 1", ": `nmae` is not known; did you mean `name`?"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
