//! The two layers of settings, the file and the variables above it, each value with where it is set.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};

use config::{Map, Source, Value, ValueKind};

use super::variable::PREFIX;
use super::{Environment, Error, Place, example, former_names};
use crate::yaml::{self, Expected, Found, Path, Refusal, Refused};

/// Settings of one kind.
#[derive(Clone, Debug)]
pub(super) struct Layer(pub(super) Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layer {
    /// Of a file's text.
    pub(super) fn from_text(text: &str, file: &FilePath) -> Result<Self, Error> {
        let root = yaml::parse(text).map_err(|reason| Error::Malformed {
            place: Place::File(file.to_owned(), Some(reason.line())),
            reason,
        })?;
        match root.to_value().kind {
            ValueKind::Table(table) => Ok(Self(table)),
            other => {
                let (found, expected) = (Found::from(&other), Expected::Map);
                let refusal = Refusal::Unfit { found, expected };
                let refused = Refused { path: Path::default(), refusal };
                Err(Error::refused(&refused, Place::File(file.to_owned(), Some(root.line))))
            }
        }
    }

    /// Of the variables. In one of a list, commas part the values.
    pub(super) fn from_environment(environment: &Environment) -> Result<Self, Error> {
        let variables = config::Environment::default()
            .prefix(PREFIX)
            .prefix_separator("")
            .separator("__")
            .source(Some(environment.clone()));
        let internal = |error: config::ConfigError| Error::Environment(error.to_string());
        let mut values = variables.collect().map_err(internal)?;
        let names: HashMap<String, &String> =
            environment.keys().filter_map(|name| Some((setting(name)?, name))).collect();
        for (key, value) in &mut values {
            let name = names.get(key).copied();
            let text = std::mem::replace(&mut value.kind, ValueKind::Nil);
            let kind = match text {
                ValueKind::String(text) if is_list(key) => list(name, &text),
                kind => kind,
            };
            *value = Value::new(name, kind);
        }
        merge([Self(values)]).map(Self)
    }
}

fn is_list(key: &str) -> bool {
    example::is_list(&former_names::present(&key.split('.').collect()))
}

/// The key of a setting that a variable is.
fn setting(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    Some(name.strip_prefix(&PREFIX.to_lowercase())?.replace("__", "."))
}

fn list(name: Option<&String>, text: &str) -> ValueKind {
    let items = text.split(',').filter(|item| !item.is_empty());
    ValueKind::Array(items.map(|item| Value::new(name, item)).collect())
}

/// The settings of all layers, a later one above an earlier.
pub(super) fn merge(layers: impl IntoIterator<Item = Layer>) -> Result<Map<String, Value>, Error> {
    let mut builder = config::Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    let internal = |error: config::ConfigError| Error::Environment(error.to_string());
    builder.build().map_err(internal)?.collect().map_err(internal)
}

/// The place where each setting is set.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    file: Option<PathBuf>,
    places: HashMap<Path, String>,
}

impl Origins {
    pub(super) fn new(file: Option<&FilePath>, layers: &[Layer]) -> Self {
        let mut origins = Self { file: file.map(FilePath::to_owned), places: HashMap::new() };
        for Layer(values) in layers {
            for (key, value) in values {
                origins.add(&Path::from_iter([key]), value);
            }
        }
        origins
    }

    /// Adds a value and those within it. A section that several variables set is set by any of them.
    fn add(&mut self, path: &Path, value: &Value) -> Option<String> {
        let mut within = None;
        match &value.kind {
            ValueKind::Table(table) => {
                for (key, value) in table {
                    within = self.add(&path.join(key), value).or(within);
                }
            }
            ValueKind::Array(items) => {
                for (at, value) in items.iter().enumerate() {
                    self.add(&path.join(format!("[{at}]")), value);
                }
            }
            _ => {}
        }
        let is_section = matches!(value.kind, ValueKind::Table(_));
        let origin = value.origin().map(str::to_owned).or(within)?;
        if !is_section || !self.places.contains_key(path) {
            self.places.insert(path.clone(), origin.clone());
        }
        Some(origin)
    }

    /// The place where a setting is set, or the section nearest to it.
    pub(super) fn place(&self, path: &Path) -> Place {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            if let Some(origin) = self.places.get(&path) {
                return self.origin(origin);
            }
            at = path.parent();
        }
        self.file.clone().map_or(Place::Environment, |file| Place::File(file, None))
    }

    /// A line of the file, or the name of a variable.
    pub(super) fn origin(&self, origin: &str) -> Place {
        match (origin.parse(), &self.file) {
            (Ok(line), Some(file)) => Place::File(file.clone(), Some(line)),
            _ => Place::Variable(origin.to_owned()),
        }
    }
}
