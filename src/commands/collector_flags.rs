//! `postgres_exporter`'s flags for its collectors, understood for every collector that there is:
//! `--collector.NAME`, `--no-collector.NAME` and `--collector.stat_statements.…`; and those flags of it
//! that ask for nothing poolwatch does not do anyway.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::collectors::{ALL, Collector, DEFAULT_METRICS, RENAMED};
use crate::config::Config;

/// Collectors of `postgres_exporter` for servers that are no longer supported: nothing is read.
const GONE: [&str; 1] = ["xlog_location"];

/// Switches that switch off collectors, and those. The last went with 0.20.
const SWITCHES: [(&str, &[&str]); 2] =
    [("disable-default-metrics", &DEFAULT_METRICS), ("disable-settings-metrics", &["settings"])];

/// Every database is found anyway, and every statement has a time limit of its own.
const DISCOVER: &str = "auto-discover-databases";
const TIMEOUT: &str = "collection-timeout";

/// The flags about collectors, in the order given.
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
    /// Puts the flags on top of the settings.
    pub(super) fn apply(&self, config: &mut Config) {
        for (name, enabled) in &self.enabled {
            config.collectors.entry(name.clone()).or_default().enabled = Some(*enabled);
        }
        if self.sets_statements() {
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

    fn sets_statements(&self) -> bool {
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

/// The names that a collector's flags go by, other than its own.
fn former(name: &str) -> impl Iterator<Item = &'static str> {
    RENAMED.into_iter().filter(move |(_, now)| *now == name).map(|(before, _)| before)
}

fn off(name: &str) -> String {
    format!("no-collector.{name}")
}

fn statements_flag(name: &str) -> String {
    format!("collector.{}.{name}", Collector::STATEMENTS)
}

/// Returns true for the name of one of these flags.
pub(super) fn is_collector_flag(id: &str) -> bool {
    let others = [DISCOVER, TIMEOUT];
    id.starts_with("collector.")
        || id.starts_with("no-collector.")
        || SWITCHES.iter().any(|(switch, _)| *switch == id)
        || others.contains(&id)
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
                flag(on.clone())
                    .aliases(former(name).map(self::on))
                    .action(ArgAction::SetTrue)
                    .overrides_with(off.clone())
                    .help(help),
                flag(off)
                    .aliases(former(name).map(self::off))
                    .action(ArgAction::SetTrue)
                    .overrides_with(on)
                    .hide(true),
            ]
        });
        let include_query = statements_flag("include_query");
        let no_query = format!("no-{include_query}");
        let less = SWITCHES.map(|(switch, names)| {
            let help = format!("Do not read {}", names.join(" and "));
            flag(switch.to_owned()).action(ArgAction::SetTrue).help(help)
        });
        command.args(switches).args(less).args([
            flag(DISCOVER.to_owned())
                .action(ArgAction::SetTrue)
                .help("Does nothing: every database is found"),
            flag(TIMEOUT.to_owned())
                .value_name("DURATION")
                .help("Does nothing: every statement has a time limit"),
            flag(include_query.clone())
                .action(ArgAction::SetTrue)
                .overrides_with(no_query.clone())
                .help("Show the texts of statements"),
            flag(no_query).action(ArgAction::SetTrue).overrides_with(include_query).hide(true),
            flag(statements_flag("query_length"))
                .value_parser(value_parser!(u32))
                .value_name("CHARACTERS")
                .help("How much of a text is shown"),
            flag(statements_flag("limit"))
                .value_parser(value_parser!(u32))
                .value_name("COUNT")
                .help("How many statements are shown by themselves"),
            flag(statements_flag("exclude_databases"))
                .value_delimiter(',')
                .value_name("NAMES")
                .help("Databases whose statements are left out, by commas"),
            flag(statements_flag("exclude_users"))
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
        let names = ALL.iter().map(|collector| collector.name);
        let given = names.flat_map(|name| [(on(name), name, true), (off(name), name, false)]);
        let given = given.filter(|(flag, ..)| matches.get_flag(flag));
        let switched = SWITCHES.iter().filter(|(switch, _)| matches.get_flag(switch));
        self.enabled = switched
            .flat_map(|(_, names)| names.iter().map(|name| ((*name).to_owned(), false)))
            .chain(given.map(|(_, name, enabled)| (name.to_owned(), enabled)))
            .collect();
        let number = |name: &str| matches.get_one::<u32>(&statements_flag(name)).copied();
        let list = |name: &str| {
            let values = matches.get_many::<String>(&statements_flag(name))?;
            Some(values.filter(|value| !value.is_empty()).cloned().collect())
        };
        let include_query = statements_flag("include_query");
        let no_query = matches.get_flag(&format!("no-{include_query}")).then_some(false);
        self.include_query = matches.get_flag(&include_query).then_some(true).or(no_query);
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
    fn switches_and_names_of_other_versions_are_understood() {
        let config = config(&[
            "--disable-default-metrics",
            "--disable-settings-metrics",
            "--no-collector.replication_slot",
            "--collector.static",
            "--auto-discover-databases",
            "--collection-timeout=30s",
            "--no-collector.stat_statements.include_query",
        ]);
        let enabled = |name: &str| config.collectors[name].enabled;
        assert_eq!((enabled("settings"), enabled("replication_slots")), (Some(false), Some(false)));
        assert_eq!(
            (enabled("stat_database_conflicts"), enabled("static")),
            (Some(false), Some(true))
        );
        assert_eq!(config.collectors["stat_statements"].include_query, Some(false));
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
