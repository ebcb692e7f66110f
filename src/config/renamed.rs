//! Gives settings with former names their present ones. The former work until 1.0, with a warning.

use config::{Map, Value, ValueKind};

use super::error::Unsound;
use super::former_names::RENAMED;
use super::layer::Layer;
use super::{Place, example};
use crate::yaml::Path;

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
            let old = at.join(*old);
            if table.contains_key(new) {
                return Err(both(old, new));
            }
            tell(&old, &at.join(new), &value, renamed);
            table.insert(new.to_owned(), value);
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

/// Notes each place where a setting has its old name: the section of a file, or each of the variables.
fn tell(old: &Path, new: &Path, value: &Value, renamed: &mut Vec<Renamed>) {
    match (value.origin(), &value.kind) {
        (None, ValueKind::Table(within)) => {
            let mut within: Vec<_> = within.iter().collect();
            within.sort_by_key(|(key, _)| *key);
            for (key, value) in within {
                tell(&old.join(key), &new.join(key), value, renamed);
            }
        }
        (origin, _) => {
            let (old, new, origin) = (old.clone(), new.clone(), origin.map(str::to_owned));
            renamed.push(Renamed { old, new, origin });
        }
    }
}

fn both(old: Path, new: &str) -> Unsound {
    let reason = format!("{old} is the old name of {new}, which is set too; leave out the old one");
    Unsound { path: old, reason }
}

#[cfg(test)]
mod tests {
    use super::super::former_names::present;
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

    /// Those of the rules, each with its present path.
    fn paths() -> impl Iterator<Item = (Path, Path)> {
        let of_rules = RENAMED.iter().filter(|(old, _)| old.starts_with("advice."));
        of_rules.map(|(old, _)| {
            let old: Path = old.split('.').collect();
            let present = present(&old);
            (old, present)
        })
    }

    #[test]
    fn the_servers_may_still_be_called_databases() {
        let text = "databases:\n  a: {url: 'postgresql://h/d'}\nindexes: {database: a}\n\
                    logs: {database: a}\npools:\n  p:\n    activity:\n      database: a\n";
        let config = load(text, &Environment::new()).unwrap();
        assert_eq!(config.servers["a"].url.reveal(), "postgresql://h/d");
        let named = (config.indexes.server.as_deref(), config.logs.server.as_deref());
        assert_eq!(named, (Some("a"), Some("a")));
        let warnings: Vec<_> =
            config.warnings().iter().map(|w| w.split_once("yml, ").unwrap().1).collect();
        assert_eq!(
            warnings,
            [
                "line 1: databases is now called servers; the old name works until 1.0",
                "line 8: pools.p.activity.database is now called pools.p.activity.server; the old \
                 name works until 1.0",
                "line 3: indexes.database is now called indexes.server; the old name works until 1.0",
                "line 4: logs.database is now called logs.server; the old name works until 1.0",
            ]
        );
        let error = load(&text.replace("url:", "urll:"), &Environment::new()).unwrap_err();
        assert!(error.contains("line 2: servers.a.urll is not known"), "{error}");
        let error = load(&format!("{text}servers: {{}}\n"), &Environment::new()).unwrap_err();
        assert!(error.contains("line 1: databases is the old name of servers, which"), "{error}");
    }

    #[test]
    fn variables_may_still_call_the_servers_databases() {
        let environment = Environment::from(
            [
                ("POOLWATCH__DATABASES__A__URL", "postgresql://h/d"),
                ("POOLWATCH__DATABASES__A__PASSWORD_COMMAND", "print,a password"),
                ("POOLWATCH__POOLS__P__ACTIVITY__DATABASE", "a"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let text = "servers: {a: {url: 'postgresql://file/d', lock_timeout: 3s}}\n";
        let config = load(text, &environment).unwrap();
        assert_eq!(config.servers["a"].url.reveal(), "postgresql://h/d");
        assert_eq!(config.servers["a"].lock_timeout, std::time::Duration::from_secs(3));
        let config = load(text, &environment).unwrap();
        assert!(config.servers["a"].password_command.is_some());
        assert_eq!(
            config.warnings(),
            [
                "POOLWATCH__DATABASES__A__PASSWORD_COMMAND: databases.a.password_command is now \
                 called POOLWATCH__SERVERS__A__PASSWORD_COMMAND; the old name works until 1.0",
                "POOLWATCH__DATABASES__A__URL: databases.a.url is now called \
                 POOLWATCH__SERVERS__A__URL; the old name works until 1.0",
                "POOLWATCH__POOLS__P__ACTIVITY__DATABASE: pools.p.activity.database is now called \
                 POOLWATCH__POOLS__P__ACTIVITY__SERVER; the old name works until 1.0",
            ]
        );
        let single = [("POOLWATCH_DATABASES_MY_DB_URL".to_owned(), "postgresql://h/d".to_owned())];
        let config = load("", &Environment::from(single)).unwrap();
        assert!(
            config.warnings()[0].contains("POOLWATCH__SERVERS__MY_DB__URL is, with two"),
            "{:?}",
            config.warnings()
        );
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
