//! The settings: the YAML file with the environment on top. It only joins the parts' own
//! `Settings`; the meaning of a setting is described where it is used.

mod address;
mod checks;
mod environment;
mod error;
mod example;
mod former_names;
mod layer;
mod log;
mod pools;
mod renamed;
mod sampling;
mod variable;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::ValueKind;
use serde::Deserialize;

use crate::sources::{collector, server_log, workers};
use crate::state::{Role, Thresholds};
use crate::{advice, files, http, indexes, postgres, yaml};
use error::Unsound;
use layer::{Layer, Origins};

pub use error::{Error, Place};
pub use log::{Log, LogFormat, LogLevel};
pub use pools::{Nothing, PoolSource};
pub use sampling::Sampling;

/// Every setting.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Its part among several poolwatches.
    pub role: Role,
    /// Servers by the operator's names.
    pub servers: BTreeMap<String, postgres::Settings>,
    /// Pools by the operator's names.
    pub pools: BTreeMap<String, PoolSource>,
    /// The socket that workers report to.
    pub workers: workers::Settings,
    /// The intervals of reading.
    pub sampling: Sampling,
    /// The server's statistics, by collector.
    pub collectors: BTreeMap<String, collector::Settings>,
    /// The thresholds that everything is judged by.
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
    /// The place where each of them is set.
    #[serde(skip)]
    origins: Origins,
    /// Notices of settings that work and should be written in another way.
    #[serde(skip)]
    warnings: Vec<String>,
}

/// Variables of the environment.
pub type Environment = std::collections::HashMap<String, String>;

impl Config {
    /// Reads the file, if one is named, and the environment on top of it.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, Error> {
        let mut layers = Vec::new();
        if let Some(path) = file {
            let text = files::read_to_string_blocking(path)
                .map_err(|reason| Error::Unreadable { path: path.to_owned(), reason })?;
            layers.push(Layer::from_text(&text, path)?);
        }
        let settings = environment::settings(environment).map_err(Error::Environment)?;
        layers.push(Layer::from_environment(environment)?);
        let origins = Origins::new(file, &layers);
        let warnings = present_names(&mut layers, &origins)?;
        let origins = Origins::new(file, &layers);
        let values = layer::merge(layers)?;
        let value = config::Value::new(None, ValueKind::Table(values));
        let mut config: Self = yaml::from_value(value)
            .map_err(|refused| Error::refused(&refused, origins.place(&refused.place())))?;
        config.origins = origins;
        config.warnings = [warnings, environment::warnings(environment)].concat();
        if config.role == Role::Sidecar {
            config.warnings.extend(settings.ignored());
        }
        environment::apply(&settings, &mut config);
        // Its pod is another; a socket that is named is meant.
        if config.role == Role::Watcher && config.workers.socket.is_none() {
            config.workers.enabled = false;
        }
        config.check().map_err(|unsound| config.wrong(&unsound.path, unsound.reason))?;
        Ok(config)
    }

    /// Notices of settings that work and should be written in another way.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The error that a setting, or a section of them, cannot be used.
    pub fn wrong(&self, path: &yaml::Path, reason: String) -> Error {
        Error::Wrong { place: self.origins.place(path), reason }
    }
}

/// Gives each setting its present name, and warns of each that had an old one.
fn present_names(layers: &mut [Layer], origins: &Origins) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    for layer in layers {
        let renamed = renamed::rename(layer).map_err(|Unsound { path, reason }| Error::Wrong {
            place: origins.place(&path),
            reason,
        })?;
        let warning = |one: &renamed::Renamed| one.warning(|origin| origins.origin(origin));
        warnings.extend(renamed.iter().map(warning));
    }
    Ok(warnings)
}

/// The file that is read when none is named, if it is there.
pub fn usual_file() -> Option<PathBuf> {
    let path = PathBuf::from("/etc/poolwatch/poolwatch.yml");
    // One that cannot even be looked at is there: reading it reports what is wrong.
    files::is_file_blocking(&path).unwrap_or(true).then_some(path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    fn refused(text: &str) -> String {
        load(text, &[]).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = load("", &[]).unwrap();
        assert_eq!(config.sampling, Sampling::default());
        assert!(config.servers.is_empty());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_the_nearest_valid_one() {
        let text = refused("servers:\n  primary:\n    urll: postgresql://h/d\n");
        for part in ["poolwatch.yml", "servers.primary", "urll", "did you mean `url`"] {
            assert!(text.contains(part), "{text}");
        }
        let text = refused("smapling:\n  pools: 1s\n");
        assert!(text.contains("did you mean `sampling`"), "{text}");
        let text = refused("collectors:\n  stat_databse: {enabled: false}\n");
        assert!(text.contains("did you mean `stat_database`"), "{text}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key() {
        let text = refused("sampling:\n  pools: soon\n");
        assert!(text.contains("sampling.pools") && text.contains("poolwatch.yml"), "{text}");
        let text = refused("sampling:\n  pools: 1ms\n");
        assert!(text.contains("sampling.pools is 1ms"), "{text}");
        let text = refused("sampling: [1\n");
        assert!(text.contains("poolwatch.yml") && text.contains("line"), "{text}");
    }

    #[test]
    fn a_wrong_word_is_named_with_those_that_are_known() {
        let text = refused("log: {level: verbose}\n");
        assert!(
            text.contains("log.level: `verbose` is not known; known are: error, warn,"),
            "{text}"
        );
        let text = refused("log: {format: jsno}\n");
        assert!(text.contains("did you mean `json`"), "{text}");
        let text = refused("logs: {path: /log, format: csv}\n");
        assert!(text.contains("known are: auto, stderr, csvlog, jsonlog"), "{text}");
        let health = "app_health: {url: 'http://localhost/', preset: go}";
        let text = refused(&format!("pools: {{api: {{{health}}}}}\n"));
        assert!(text.contains("known are: sqlalchemy, go_sql"), "{text}");
    }

    #[test]
    fn what_walks_the_disk_is_not_read_more_often_and_the_rest_is() {
        let text = refused("collectors: {database_size: {interval: 1m}}\n");
        assert!(text.contains("collectors.database_size.interval is 1m"), "{text}");
        let config = load("collectors: {settings: {interval: 15s}}\n", &[]).unwrap();
        assert_eq!(config.collectors["settings"].interval, Some(Duration::from_secs(15)));
    }

    #[test]
    fn a_pool_has_exactly_one_source() {
        let text = refused("pools:\n  web: {}\n");
        assert!(text.contains("pools.web must have exactly one of"), "{text}");
        let config = load("pools:\n  web: {workers: {}}\n", &[]).unwrap();
        assert_eq!(config.pools["web"], PoolSource::Workers(Nothing {}));
    }

    #[test]
    fn the_environment_stands_above_the_file() {
        let text = "servers:\n  primary: {url: 'postgresql://file/d'}\n  other: {url: 'postgresql://o/d'}\n";
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
        assert_eq!(config.servers["primary"].url.reveal(), "postgresql://environment/d");
        assert_eq!(config.servers["other"].url.reveal(), "postgresql://o/d");
        assert_eq!(config.sampling.pools, Duration::from_secs(2));
        assert_eq!((config.thresholds.warning, config.log.level), (0.5, LogLevel::Debug));
    }

    #[test]
    fn a_sidecar_has_no_server_and_ignores_those_of_the_environment() {
        let given = [("DATABASE_URL", "postgresql://u:s3cret@h/d"), ("PGHOST", "h")];
        let config = load("role: sidecar\n", &given).unwrap();
        assert!(config.servers.is_empty());
        let [warning] = config.warnings() else { panic!("{:?}", config.warnings()) };
        assert!(warning.contains("is ignored") && !warning.contains("s3cret"), "{warning}");
        assert_eq!(load("role: sidecar\n", &[]).unwrap().warnings(), [] as [&str; 0]);
        let text = refused("role: sidecar\nservers: {primary: {url: 'postgresql://h/d'}}\n");
        assert!(text.contains("servers") && text.contains("a sidecar"), "{text}");
    }

    #[test]
    fn a_watcher_has_a_server_and_listens_to_workers_only_where_a_socket_is_named() {
        let text = refused("role: watcher\n");
        assert!(text.contains("role") && text.contains("DATABASE_URL"), "{text}");
        let given = [("DATABASE_URL", "postgresql://h/d"), ("POOLWATCH__ROLE", "watcher")];
        assert!(!load("", &given).unwrap().workers.enabled);
        assert!(load("workers: {socket: /run/x.sock}\n", &given).unwrap().workers.enabled);
        assert!(refused("role: sidcar\n").contains("did you mean `sidecar`"));
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
        let text = "servers:\n  primary: {url: 'host=h user=u password=007'}\n";
        let config = load(text, &[]).unwrap();
        assert!(config.servers["primary"].url.reveal().ends_with("007"));
    }

    #[test]
    fn postgres_exporters_environment_is_understood() {
        let pairs = [
            ("DATA_SOURCE_URI", "db:5433/app?sslmode=disable"),
            ("DATA_SOURCE_USER", "watch"),
            ("DATA_SOURCE_PASS", "p@ss/word"),
        ];
        let config = Config::load(None, &environment(&pairs)).unwrap();
        let url = config.servers["primary"].url.reveal();
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
        let text = refused("thresholds: {warning: 0.95, critical: 0.9}\n");
        assert!(text.contains("thresholds.warning (0.95)"), "{text}");
    }

    #[test]
    fn an_address_in_the_wrong_place_is_not_repeated() {
        let address = "postgresql://u:s3cret@h/d";
        for text in [
            format!("servers: {address}\n"),
            format!("servers:\n  primary: {address}\n"),
            format!("servers:\n  primary:\n    url:{address}\n"),
            format!("servers:\n  primary: {{url:{address}}}\n"),
            format!("servers: {{primary:{address}}}\n"),
            format!("servers: {{'primary:{address}': {{}}}}\n"),
            format!("servers: [{address}]\n"),
            format!("pools: {{api: {{app_health: {address}}}}}\n"),
            format!("pools: {{api: {{activity: {{server: '{address}'}}}}}}\n"),
            "pools: {api: {app_health: {headers: s3cret}}}\n".to_owned(),
            format!("log: {{level: '{address}'}}\n"),
            format!("{address}\n"),
            format!("{address}: 1\n"),
            format!("sampling: {{pools: '{address}'}}\n"),
            format!("sampling: {{pools: '\", expected for key `{address}'}}\n"),
        ] {
            let text = refused(&text);
            assert!(text.contains("poolwatch.yml") && !text.contains("s3cret"), "{text}");
        }
        let given = [("POOLWATCH__SERVERS__PRIMARY", address)];
        let text = Config::load(None, &environment(&given)).unwrap_err().to_string();
        assert!(text.contains("SERVERS__PRIMARY") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn settings_never_show_a_password() {
        let config =
            load("servers:\n  primary: {url: 'postgresql://u:s3cret@h/d'}\n", &[]).unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
