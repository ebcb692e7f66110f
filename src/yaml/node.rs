//! A value of a YAML file, with its line.

use config::{Map, Value, ValueKind};
use yaml_rust2::Yaml;

use super::Path;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// The line of its key, or its own in a list; the first is 1.
    pub line: usize,
    /// The value.
    pub content: Content,
}

/// The content of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// A number, a text, true, false or nothing.
    Scalar {
        /// As it is written, without quotes.
        text: String,
        /// True when quotes make it a text, whatever is in them.
        quoted: bool,
    },
    /// Keys and values, in the order of the file.
    Map(Vec<(String, Node)>),
    /// Values.
    List(Vec<Node>),
}

impl Node {
    /// An empty map, as which an empty file is read.
    pub(crate) fn empty() -> Self {
        Self { line: 1, content: Content::Map(Vec::new()) }
    }

    /// The value of a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The entries of a map; none, when it is no map.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The line of what a path leads to, or as far as it leads.
    pub(crate) fn line_of(&self, path: &Path) -> usize {
        let mut node = self;
        for key in path.keys() {
            let item = key.strip_prefix('[').and_then(|at| at.strip_suffix(']')?.parse().ok());
            let next = match (&node.content, item) {
                (Content::List(items), Some(at)) => items.get::<usize>(at),
                _ => node.get(key),
            };
            let Some(next) = next else { break };
            node = next;
        }
        node.line
    }

    /// Returns whether nothing stands here.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, quoted: false } if is_null(text))
    }

    /// The value, each part of it with the line as its origin.
    pub(crate) fn to_value(&self) -> Value {
        let kind = match &self.content {
            Content::Scalar { text, quoted: true } => ValueKind::String(text.clone()),
            Content::Scalar { text, quoted: false } => scalar(text),
            Content::Map(entries) => ValueKind::Table(
                entries
                    .iter()
                    .map(|(key, node)| (key.clone(), node.to_value()))
                    .collect::<Map<_, _>>(),
            ),
            Content::List(items) => ValueKind::Array(items.iter().map(Self::to_value).collect()),
        };
        Value::new(Some(&self.line.to_string()), kind)
    }
}

/// The value that YAML takes a text without quotes for.
fn scalar(text: &str) -> ValueKind {
    match Yaml::from_str(text) {
        Yaml::Null => ValueKind::Nil,
        Yaml::Boolean(value) => ValueKind::Boolean(value),
        Yaml::Integer(value) => ValueKind::I64(value),
        real @ Yaml::Real(_) => real.as_f64().map_or(ValueKind::Nil, ValueKind::Float),
        _ => ValueKind::String(text.to_owned()),
    }
}

fn is_null(text: &str) -> bool {
    Yaml::from_str(text).is_null()
}
