//! `postgres_exporter`'s flags for its collectors, understood for every collector that there is:
//! `--collector.NAME`, `--no-collector.NAME` and `--collector.stat_statements.…`.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::collectors::{ALL, Collector};
use crate::config::Config;

/// Collectors of `postgres_exporter` for servers that are no longer supported: nothing is read.
const GONE: [&str; 1] = ["xlog_location"];

/// What the flags say of collectors, in the order given.
#[derive(Clone, Debug, Default)]
pub(super) struct CollectorFlags {
    enabled: Vec<(String, bool)>,
    include_query: Option<bool>,
    query_length: Option<u32>,
    limit: Option<u32>,
    exclude_databases: Option<Vec<String>>,
    exclude_users: Option<Vec<String>>,
}

impl CollectorFlags {
    /// Puts what was said on top of the settings.
    pub(super) fn apply(&self, config: &mut Config) {
        for (name, enabled) in &self.enabled {
            config.collectors.entry(name.clone()).or_default().enabled = Some(*enabled);
        }
        if self.says_of_statements() {
            let settings = config.collectors.entry(Collector::STATEMENTS.to_owned()).or_default();
            settings.include_query = self.include_query.or(settings.include_query);
            settings.query_length = self.query_length.or(settings.query_length);
            settings.limit = self.limit.or(settings.limit);
            if let Some(names) = &self.exclude_databases {
                settings.exclude_databases.clone_from(names);
            }
            if let Some(names) = &self.exclude_users {
                settings.exclude_users.clone_from(names);
            }
        }
    }

    fn says_of_statements(&self) -> bool {
        self.include_query.is_some()
            || self.query_length.is_some()
            || self.limit.is_some()
            || self.exclude_databases.is_some()
            || self.exclude_users.is_some()
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|collector| collector.name).chain(GONE)
}

fn on(name: &str) -> String {
    format!("collector.{name}")
}

fn off(name: &str) -> String {
    format!("no-collector.{name}")
}

fn of_statements(name: &str) -> String {
    format!("collector.{}.{name}", Collector::STATEMENTS)
}

/// Shown by `--help` alone, for there are many.
fn flag(id: String) -> Arg {
    Arg::new(id.clone())
        .long(id)
        .global(true)
        .hide_short_help(true)
        .help_heading("Collectors, as postgres_exporter has them")
}

impl Args for CollectorFlags {
    fn augment_args(command: Command) -> Command {
        let switches = names().flat_map(|name| {
            let (on, off) = (on(name), off(name));
            let help = format!("Read the collector {name}; --{off} not to");
            [
                flag(on.clone()).action(ArgAction::SetTrue).overrides_with(off.clone()).help(help),
                flag(off).action(ArgAction::SetTrue).overrides_with(on).hide(true),
            ]
        });
        command.args(switches).args([
            flag(of_statements("include_query"))
                .action(ArgAction::SetTrue)
                .help("Show the texts of statements"),
            flag(of_statements("query_length"))
                .value_parser(value_parser!(u32))
                .value_name("CHARACTERS")
                .help("How much of a text is shown"),
            flag(of_statements("limit"))
                .value_parser(value_parser!(u32))
                .value_name("COUNT")
                .help("How many statements are shown by themselves"),
            flag(of_statements("exclude_databases"))
                .value_delimiter(',')
                .value_name("NAMES")
                .help("Databases whose statements are left out, by commas"),
            flag(of_statements("exclude_users"))
                .value_delimiter(',')
                .value_name("NAMES")
                .help("Roles whose statements are left out, by commas"),
        ])
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CollectorFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let known = ALL.iter().map(|collector| collector.name);
        let said = known.flat_map(|name| [(on(name), name, true), (off(name), name, false)]);
        self.enabled = said
            .filter(|(flag, ..)| matches.get_flag(flag))
            .map(|(_, name, enabled)| (name.to_owned(), enabled))
            .collect();
        let number = |name: &str| matches.get_one::<u32>(&of_statements(name)).copied();
        let list = |name: &str| {
            let values = matches.get_many::<String>(&of_statements(name))?;
            Some(values.filter(|value| !value.is_empty()).cloned().collect())
        };
        self.include_query = matches.get_flag(&of_statements("include_query")).then_some(true);
        self.query_length = number("query_length");
        self.limit = number("limit");
        self.exclude_databases = list("exclude_databases");
        self.exclude_users = list("exclude_users");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn config(arguments: &[&str]) -> Config {
        let command = CollectorFlags::augment_args(Command::new("poolwatch"));
        let matches = command.get_matches_from([&["poolwatch"], arguments].concat());
        let mut config = Config::load(None, &Environment::new()).unwrap();
        CollectorFlags::from_arg_matches(&matches).unwrap().apply(&mut config);
        config
    }

    #[test]
    fn a_collector_is_switched_by_its_name_and_the_last_word_counts() {
        let config = config(&[
            "--no-collector.locks",
            "--collector.process_idle",
            "--no-collector.wal",
            "--collector.wal",
            "--no-collector.xlog_location",
        ]);
        let enabled = |name: &str| config.collectors[name].enabled;
        assert_eq!((enabled("locks"), enabled("process_idle")), (Some(false), Some(true)));
        assert_eq!(enabled("wal"), Some(true));
        assert!(!config.collectors.contains_key("database"));
    }

    #[test]
    fn statements_have_flags_of_their_own() {
        let config = config(&[
            "--collector.stat_statements.include_query",
            "--collector.stat_statements.limit=20",
            "--collector.stat_statements.exclude_databases=a,b",
        ]);
        let settings = &config.collectors["stat_statements"];
        assert_eq!((settings.include_query, settings.limit), (Some(true), Some(20)));
        assert_eq!(settings.exclude_databases, ["a", "b"]);
    }
}
