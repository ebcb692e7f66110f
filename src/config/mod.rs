//! The settings: the YAML file with the environment on top. It only joins the parts' own
//! `Settings`; what a setting means is said where it is used.

mod address;
mod complaint;
mod environment;
mod log;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::collectors::{Collector, Pace};
use crate::sources::{activity, app_health, collector, pgbouncer, server_log, workers};
use crate::state::Thresholds;
use crate::{advice, files, http, indexes, postgres};

pub use complaint::Error;
pub use log::{Log, LogFormat, LogLevel};

/// Every setting.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Databases by the operator's names.
    pub databases: BTreeMap<String, postgres::Settings>,
    /// Pools by the operator's names.
    pub pools: BTreeMap<String, Pool>,
    /// The socket that workers report to.
    pub workers: workers::Settings,
    /// How often things are read.
    pub sampling: Sampling,
    /// The server's statistics, by collector.
    pub collectors: BTreeMap<String, collector::Settings>,
    /// The marks everything is judged by.
    pub thresholds: Thresholds,
    /// The rules of advice.
    pub advice: advice::Settings,
    /// The indexes that are expected.
    pub indexes: indexes::Settings,
    /// The server's log.
    pub logs: server_log::Settings,
    /// The HTTP server.
    pub web: http::Settings,
    /// Logging.
    pub log: Log,
}

/// Where one pool's figures come from: exactly one of these.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// Reported by the workers themselves.
    pub workers: Option<Nothing>,
    /// The application's health endpoint.
    pub app_health: Option<app_health::Settings>,
    /// `PgBouncer`'s console.
    pub pgbouncer: Option<pgbouncer::Settings>,
    /// Inferred from the server's sessions.
    pub activity: Option<activity::Settings>,
}

/// A section without settings.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// How often things are read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Pools.
    #[serde(with = "humantime_serde")]
    pub pools: Duration,
    /// Sessions, and whether the server answers.
    #[serde(with = "humantime_serde")]
    pub activity: Duration,
    /// Statements.
    #[serde(with = "humantime_serde")]
    pub statements: Duration,
    /// The server's statistics.
    #[serde(with = "humantime_serde")]
    pub server: Duration,
    /// Statistics of each table and index.
    #[serde(with = "humantime_serde")]
    pub tables: Duration,
    /// Sizes, which walk the disk: never more than once in five minutes.
    #[serde(with = "humantime_serde")]
    pub sizes: Duration,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            pools: Duration::from_secs(1),
            activity: Duration::from_secs(1),
            statements: Duration::from_secs(10),
            server: Duration::from_secs(15),
            tables: Duration::from_secs(60),
            sizes: Duration::from_secs(300),
        }
    }
}

impl Sampling {
    /// The timer of a collector's pace.
    pub fn of(&self, pace: Pace) -> Duration {
        match pace {
            Pace::Activity => self.activity,
            Pace::Server => self.server,
            Pace::Statements => self.statements,
            Pace::Tables => self.tables,
            Pace::Slow | Pace::Sizes => self.sizes,
        }
    }
}

/// Variables of the environment.
pub type Environment = std::collections::HashMap<String, String>;

impl Config {
    /// Reads the file, if one is named, and the environment on top of it.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, Error> {
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            let text = files::read_to_string_blocking(path)
                .map_err(|reason| Error::Unreadable { path: path.to_owned(), reason })?;
            builder = builder.add_source(config::File::from_str(&text, config::FileFormat::Yaml));
        }
        let settings = environment::settings(environment).map_err(Error::Environment)?;
        let [texts, lists] = environment::sources(environment);
        let read = builder
            .add_source(texts)
            .add_source(lists)
            .build()
            .and_then(config::Config::try_deserialize::<Self>);
        let mut config = read.map_err(|error| complaint::explain(&error, file, environment))?;
        environment::apply(&settings, &mut config);
        config.check().map_err(|reason| Error::Wrong { place: place(file), reason })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        self.check_thresholds()?;
        self.check_intervals()?;
        self.pools.iter().try_for_each(|(name, pool)| self.check_pool(name, pool))?;
        self.databases.keys().try_for_each(|name| check_name("databases", name))?;
        self.check_addresses()?;
        self.check_database("indexes.database", self.indexes.database.as_deref())?;
        self.check_database("logs.database", self.logs.database.as_deref())?;
        self.logs.check().map_err(|error| error.to_string())?;
        self.collectors.iter().try_for_each(|(name, settings)| check_collector(name, settings))
    }

    fn check_addresses(&self) -> Result<(), String> {
        let databases = self
            .databases
            .iter()
            .map(|(name, settings)| (format!("databases.{name}.url"), settings.url.reveal()));
        let consoles = self.pools.iter().filter_map(|(name, pool)| {
            Some((format!("pools.{name}.pgbouncer.url"), pool.pgbouncer.as_ref()?.url.as_ref()))
        });
        let wrong = databases.chain(consoles).find_map(|(key, address)| {
            address::complaint(address).map(|reason| format!("{key} {reason}"))
        });
        wrong.map_or(Ok(()), Err)
    }

    fn check_database(&self, key: &str, database: Option<&str>) -> Result<(), String> {
        match database {
            Some(database) if !self.databases.contains_key(database) => {
                let known = self.databases.keys().map(String::as_str);
                Err(complaint::unknown(key, database, known))
            }
            _ => Ok(()),
        }
    }

    fn check_thresholds(&self) -> Result<(), String> {
        let Thresholds { warning, critical, .. } = self.thresholds;
        if !(warning > 0.0 && warning <= critical && critical <= 1.0) {
            return Err(format!(
                "thresholds.warning ({warning}) and thresholds.critical ({critical}) must be \
                 above 0, at most 1, and warning not above critical"
            ));
        }
        Ok(())
    }

    fn check_intervals(&self) -> Result<(), String> {
        let Sampling { pools, activity, statements, server, tables, sizes } = self.sampling;
        let minimum = Duration::from_millis(100);
        let named = [
            ("pools", pools, minimum),
            ("activity", activity, minimum),
            ("statements", statements, Duration::from_secs(1)),
            ("server", server, Duration::from_secs(1)),
            ("tables", tables, Duration::from_secs(1)),
            ("sizes", sizes, Duration::from_secs(300)),
        ];
        match named.iter().find(|(_, interval, minimum)| interval < minimum) {
            Some((name, interval, minimum)) => Err(format!(
                "sampling.{name} is {}, which is below the least of {}",
                humantime::format_duration(*interval),
                humantime::format_duration(*minimum)
            )),
            None => Ok(()),
        }
    }

    fn check_pool(&self, name: &str, pool: &Pool) -> Result<(), String> {
        check_name("pools", name)?;
        let given = [
            pool.workers.is_some(),
            pool.app_health.is_some(),
            pool.pgbouncer.is_some(),
            pool.activity.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(format!(
                "pools.{name} must have exactly one of workers, app_health, pgbouncer, activity"
            ));
        }
        match &pool.activity {
            Some(activity) if !self.databases.contains_key(&activity.database) => {
                Err(complaint::unknown(
                    &format!("pools.{name}.activity.database"),
                    &activity.database,
                    self.databases.keys().map(String::as_str),
                ))
            }
            _ => Ok(()),
        }
    }
}

fn check_collector(name: &str, settings: &collector::Settings) -> Result<(), String> {
    let Some(collector) = Collector::named(name) else {
        let known = crate::collectors::ALL.iter().map(|collector| collector.name);
        return Err(complaint::unknown(&format!("collectors.{name}"), name, known));
    };
    if settings.is_of_statements() && name != Collector::STATEMENTS {
        return Err(format!(
            "collectors.{name}: include_query, query_length, exclude_databases and exclude_users \
             are for collectors.{} alone",
            Collector::STATEMENTS
        ));
    }
    if settings.limit.is_some() && collector.tables.iter().all(|table| table.bound.is_none()) {
        return Err(format!("collectors.{name}.limit: this collector has nothing to limit"));
    }
    let least = match collector.pace {
        Pace::Sizes => Duration::from_mins(5),
        Pace::Activity => Duration::from_millis(100),
        _ => Duration::from_secs(1),
    };
    match settings.interval {
        Some(interval) if interval < least => Err(format!(
            "collectors.{name}.interval is {}, which is below the least of {}",
            humantime::format_duration(interval),
            humantime::format_duration(least)
        )),
        _ => Ok(()),
    }
}

/// A name becomes a label on every series and a part of others.
fn check_name(section: &str, name: &str) -> Result<(), String> {
    let fits = !name.is_empty() && name.len() <= 63 && !name.contains(char::is_control);
    if name.contains("://") {
        return Err(format!(
            "{section}: a name there is an address; a space must follow its colon"
        ));
    }
    if fits {
        return Ok(());
    }
    Err(format!("{section}: the name {name:?} must have 1 to 63 bytes and no control characters"))
}

fn place(file: Option<&Path>) -> String {
    file.map_or_else(|| "the environment".to_owned(), |path| path.display().to_string())
}

/// Where the settings are looked for when nobody says: nowhere, if none of these is there.
pub fn usual_file() -> Option<PathBuf> {
    let path = PathBuf::from("/etc/poolwatch/poolwatch.yml");
    // One that cannot even be looked at is there: reading it tells what is wrong.
    files::is_file_blocking(&path).unwrap_or(true).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn load(text: &str, pairs: &[(&str, &str)]) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("poolwatch.yml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), &environment(pairs))
    }

    fn complaint(text: &str) -> String {
        load(text, &[]).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = load("", &[]).unwrap();
        assert_eq!(config.sampling, Sampling::default());
        assert!(config.databases.is_empty());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_the_nearest_valid_one() {
        let text = complaint("databases:\n  primary:\n    urll: postgresql://h/d\n");
        for part in ["poolwatch.yml", "databases.primary", "urll", "did you mean `url`"] {
            assert!(text.contains(part), "{text}");
        }
        let text = complaint("smapling:\n  pools: 1s\n");
        assert!(text.contains("did you mean `sampling`"), "{text}");
        let text = complaint("collectors:\n  stat_databse: {enabled: false}\n");
        assert!(text.contains("did you mean `stat_database`"), "{text}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key() {
        let text = complaint("sampling:\n  pools: soon\n");
        assert!(text.contains("sampling.pools") && text.contains("poolwatch.yml"), "{text}");
        let text = complaint("sampling:\n  pools: 1ms\n");
        assert!(text.contains("sampling.pools is 1ms"), "{text}");
        let text = complaint("sampling: [1\n");
        assert!(text.contains("poolwatch.yml") && text.contains("line"), "{text}");
    }

    #[test]
    fn a_wrong_word_is_named_with_those_that_are_known() {
        let text = complaint("log: {level: verbose}\n");
        assert!(
            text.contains("log.level: `verbose` is not known; known are: error, warn,"),
            "{text}"
        );
        let text = complaint("log: {format: jsno}\n");
        assert!(text.contains("did you mean `json`"), "{text}");
        let text = complaint("logs: {path: /log, format: csv}\n");
        assert!(text.contains("known are: auto, stderr, csvlog, jsonlog"), "{text}");
        let health = "app_health: {url: 'http://localhost/', preset: go}";
        let text = complaint(&format!("pools: {{api: {{{health}}}}}\n"));
        assert!(text.contains("known are: sqlalchemy, go_sql"), "{text}");
    }

    #[test]
    fn what_walks_the_disk_is_not_read_more_often_and_the_rest_is() {
        let text = complaint("collectors: {database_size: {interval: 1m}}\n");
        assert!(text.contains("collectors.database_size.interval is 1m"), "{text}");
        let config = load("collectors: {settings: {interval: 15s}}\n", &[]).unwrap();
        assert_eq!(config.collectors["settings"].interval, Some(Duration::from_secs(15)));
    }

    #[test]
    fn a_pool_has_exactly_one_source() {
        let text = complaint("pools:\n  web: {}\n");
        assert!(text.contains("pools.web must have exactly one of"), "{text}");
        let config = load("pools:\n  web: {workers: {}}\n", &[]).unwrap();
        assert!(config.pools["web"].workers.is_some());
    }

    #[test]
    fn the_environment_stands_above_the_file() {
        let text = "databases:\n  primary: {url: 'postgresql://file/d'}\n  other: {url: 'postgresql://o/d'}\n";
        let config = load(
            text,
            &[
                ("DATABASE_URL", "postgresql://environment/d"),
                ("POOLWATCH__SAMPLING__POOLS", "2s"),
                ("POOLWATCH__THRESHOLDS__WARNING", "0.5"),
                ("LOG_LEVEL", "DEBUG"),
            ],
        )
        .unwrap();
        assert_eq!(config.databases["primary"].url.reveal(), "postgresql://environment/d");
        assert_eq!(config.databases["other"].url.reveal(), "postgresql://o/d");
        assert_eq!(config.sampling.pools, Duration::from_secs(2));
        assert_eq!((config.thresholds.warning, config.log.level), (0.5, LogLevel::Debug));
    }

    #[test]
    fn a_list_in_the_environment_is_parted_by_commas() {
        let given = [
            ("POOLWATCH__WEB__LISTEN_ADDRESSES", "127.0.0.1:9,[::1]:9"),
            ("POOLWATCH__COLLECTORS__STAT_STATEMENTS__EXCLUDE_USERS", "backup"),
            ("POOLWATCH__WEB__TELEMETRY_PATH", "/a,b"),
        ];
        let config = load("web: {listen_addresses: [':1']}\n", &given).unwrap();
        assert_eq!(config.web.listen_addresses, ["127.0.0.1:9", "[::1]:9"]);
        assert_eq!(config.web.telemetry_path, "/a,b");
        assert_eq!(config.collectors["stat_statements"].exclude_users, ["backup"]);
    }

    #[test]
    fn a_password_of_digits_stays_as_it_is() {
        let text = "databases:\n  primary: {url: 'host=h user=u password=007'}\n";
        let config = load(text, &[]).unwrap();
        assert!(config.databases["primary"].url.reveal().ends_with("007"));
    }

    #[test]
    fn postgres_exporters_environment_is_understood() {
        let pairs = [
            ("DATA_SOURCE_URI", "db:5433/app?sslmode=disable"),
            ("DATA_SOURCE_USER", "watch"),
            ("DATA_SOURCE_PASS", "p@ss/word"),
        ];
        let config = Config::load(None, &environment(&pairs)).unwrap();
        let url = config.databases["primary"].url.reveal();
        assert_eq!(url, "postgresql://watch:p%40ss%2Fword@db:5433/app?sslmode=disable");
        let pairs = [
            ("PG_EXPORTER_WEB_TELEMETRY_PATH", "/pg"),
            ("PG_EXPORTER_DISABLE_SETTINGS_METRICS", "true"),
            ("PG_EXPORTER_DISABLE_DEFAULT_METRICS", "false"),
        ];
        let config = Config::load(None, &environment(&pairs)).unwrap();
        assert_eq!(config.web.telemetry_path, "/pg");
        let off: Vec<_> =
            config.collectors.iter().map(|(name, it)| (&**name, it.enabled)).collect();
        assert_eq!(off, [("settings", Some(false))]);
    }

    #[test]
    fn thresholds_out_of_order_are_refused() {
        let text = complaint("thresholds: {warning: 0.95, critical: 0.9}\n");
        assert!(text.contains("thresholds.warning (0.95)"), "{text}");
    }

    #[test]
    fn an_address_in_the_wrong_place_is_not_repeated() {
        let address = "postgresql://u:s3cret@h/d";
        for text in [
            format!("databases: {address}\n"),
            format!("databases:\n  primary: {address}\n"),
            format!("databases:\n  primary:\n    url:{address}\n"),
            format!("databases:\n  primary: {{url:{address}}}\n"),
            format!("databases: {{primary:{address}}}\n"),
            format!("databases: {{'primary:{address}': {{}}}}\n"),
            format!("databases: [{address}]\n"),
            format!("pools: {{api: {{app_health: {address}}}}}\n"),
            format!("pools: {{api: {{activity: {{database: '{address}'}}}}}}\n"),
            "pools: {api: {app_health: {headers: s3cret}}}\n".to_owned(),
            format!("log: {{level: '{address}'}}\n"),
            format!("{address}\n"),
            format!("{address}: 1\n"),
            format!("sampling: {{pools: '{address}'}}\n"),
            format!("sampling: {{pools: '\", expected for key `{address}'}}\n"),
        ] {
            let text = complaint(&text);
            assert!(text.contains("poolwatch.yml") && !text.contains("s3cret"), "{text}");
        }
        let given = [("POOLWATCH__DATABASES__PRIMARY", address)];
        let text = Config::load(None, &environment(&given)).unwrap_err().to_string();
        assert!(text.contains("DATABASES__PRIMARY") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn settings_never_show_a_password() {
        let config =
            load("databases:\n  primary: {url: 'postgresql://u:s3cret@h/d'}\n", &[]).unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
