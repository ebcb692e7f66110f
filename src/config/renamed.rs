//! Settings that were called something else before. The old names work until 1.0, with a warning.

use config::{Map, Value, ValueKind};

use super::error::Unsound;
use super::layer::Layer;
use super::{Place, example};
use crate::yaml::Path;

/// Old settings, and what the last key of each is now. A `*` is any name.
pub(super) const RENAMED: [(&str, &str); 10] = [
    ("advice.connection_leak.rise", "min_growth"),
    ("advice.connection_leak.held", "min_held"),
    ("advice.query_latency.least", "min_samples"),
    ("advice.statement_latency.least", "min_samples"),
    ("advice.slow_queries.least", "min_samples"),
    ("advice.slow_queries.looks", "min_slow_samples"),
    ("advice.n_plus_one.least", "min_samples"),
    ("advice.unpaginated.least", "min_samples"),
    ("advice.n_plus_one_suspected.least", "min_samples"),
    ("advice.time_to_scale.seen", "min_observed"),
];

/// A setting that has its old name somewhere.
pub(super) struct Renamed {
    old: Path,
    new: Path,
    origin: Option<String>,
}

impl Renamed {
    /// Tells of it.
    pub(super) fn warning(&self, place: impl FnOnce(&str) -> Place) -> String {
        let place = self.origin.as_deref().map_or(Place::Environment, place);
        let new = match &place {
            Place::Variable(_) => example::variable(&self.new),
            _ => self.new.to_string(),
        };
        format!("{place}: {} is now called {new}; the old name works until 1.0", self.old)
    }
}

/// Gives each setting of a layer its present name. That one has both names is an error.
pub(super) fn rename(layer: &mut Layer) -> Result<Vec<Renamed>, Unsound> {
    let mut renamed = Vec::new();
    for (old, new) in RENAMED {
        let keys: Vec<&str> = old.split('.').collect();
        rename_in(&mut layer.0, &Path::default(), &keys, new, &mut renamed)?;
    }
    Ok(renamed)
}

fn rename_in(
    table: &mut Map<String, Value>,
    at: &Path,
    keys: &[&str],
    new: &str,
    renamed: &mut Vec<Renamed>,
) -> Result<(), Unsound> {
    match keys {
        [old] => {
            let Some(value) = table.remove(*old) else { return Ok(()) };
            let (old, origin) = (at.join(*old), value.origin().map(str::to_owned));
            if table.contains_key(new) {
                return Err(both(old, new));
            }
            table.insert(new.to_owned(), value);
            renamed.push(Renamed { old, new: at.join(new), origin });
            Ok(())
        }
        [key, rest @ ..] => {
            for (name, value) in table.iter_mut().filter(|(name, _)| *key == "*" || name == key) {
                if let ValueKind::Table(within) = &mut value.kind {
                    rename_in(within, &at.join(name), rest, new, renamed)?;
                }
            }
            Ok(())
        }
        [] => Ok(()),
    }
}

fn both(old: Path, new: &str) -> Unsound {
    let reason = format!("{old} is the old name of {new}, which is set too; leave out the old one");
    Unsound { path: old, reason }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Environment};
    use super::*;

    /// A file with a setting that has the value of the example.
    fn file(path: &Path, keys: &[&str]) -> String {
        let section: Vec<_> = path.parent().unwrap_or_default().keys().to_vec();
        let set: Vec<_> = keys.iter().map(|key| format!("{key}: {}", value(path))).collect();
        let (open, close) = (section.join(": {"), "}".repeat(section.len()));
        format!("{open}: {{{}{close}\n", set.join(", "))
    }

    fn value(present: &Path) -> String {
        let example = example::variable_line(present).expect("the example has each setting");
        example.split_once('=').expect("it is a variable").1.to_owned()
    }

    fn load(text: &str, environment: &Environment) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("poolwatch.yml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), environment).map_err(|error| error.to_string())
    }

    fn paths() -> impl Iterator<Item = (Path, Path)> {
        RENAMED.iter().map(|(old, new)| {
            let old: Path = old.split('.').collect();
            let present = old.parent().unwrap_or_default().join(*new);
            (old, present)
        })
    }

    #[test]
    fn an_old_name_works_with_a_warning_that_has_the_new_one() {
        for (old, present) in paths() {
            let text = file(&present, &[old.last().unwrap()]);
            let config = load(&text, &Environment::new()).unwrap();
            assert_eq!(config.advice, crate::advice::Settings::default(), "{text}");
            let warning = format!("poolwatch.yml, line 1: {old} is now called {present};");
            assert!(config.warnings()[0].contains(&warning), "{:?}", config.warnings());
            let config = load(&file(&present, &[present.last().unwrap()]), &Environment::new());
            assert_eq!(config.unwrap().warnings(), [""; 0]);
        }
    }

    #[test]
    fn both_names_in_one_file_are_an_error() {
        for (old, present) in paths() {
            let text = file(&present, &[old.last().unwrap(), present.last().unwrap()]);
            let error = load(&text, &Environment::new()).unwrap_err();
            let expected = format!("line 1: {old} is the old name of {}", present.last().unwrap());
            assert!(error.contains(&expected), "{error}");
        }
    }

    #[test]
    fn a_variable_with_an_old_name_stands_above_the_file() {
        for (old, present) in paths() {
            let variable = example::variable(&old);
            let environment = Environment::from([(variable.clone(), value(&present))]);
            let text = file(&present, &[present.last().unwrap()]).replace(&value(&present), "7s");
            let text = if value(&present).ends_with('s') || value(&present).ends_with('m') {
                text
            } else {
                text.replace("7s", "7")
            };
            let config = load(&text, &environment).unwrap();
            assert_eq!(config.advice, crate::advice::Settings::default(), "{text}");
            let new = example::variable(&present);
            let warning = format!("{variable}: {old} is now called {new};");
            assert!(config.warnings()[0].starts_with(&warning), "{:?}", config.warnings());
        }
    }
}
