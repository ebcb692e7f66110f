//! The files that are shipped beside the program agree with it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use poolwatch::config::{Config, Log, Sampling};
use poolwatch::sources::{activity, app_health, collector, pgbouncer, server_log, workers};
use poolwatch::state::Thresholds;
use poolwatch::{advice, http, indexes, postgres};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/poolwatch.example.yml")
}

/// Every setting that a part knows, as it says itself when asked for one it does not.
fn settings_of<T: DeserializeOwned>() -> BTreeSet<String> {
    let error = serde_json::from_value::<T>(json!({"no such setting": 1}));
    let error = error.err().expect("there is no such setting").to_string();
    let (_, known) = error.split_once("expected").expect(&error);
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_example_has_every_setting_and_no_other() {
    let read: Value = yaml_serde::from_str(&std::fs::read_to_string(example()).unwrap()).unwrap();
    for (place, known) in [
        ("", settings_of::<Config>()),
        ("/servers/primary", settings_of::<postgres::Settings>()),
        ("/pools/api/app_health", settings_of::<app_health::Settings>()),
        ("/pools/bouncer/pgbouncer", settings_of::<pgbouncer::Settings>()),
        ("/pools/inferred/activity", settings_of::<activity::Settings>()),
        ("/workers", settings_of::<workers::Settings>()),
        ("/sampling", settings_of::<Sampling>()),
        ("/collectors/stat_statements", settings_of::<collector::Settings>()),
        ("/thresholds", settings_of::<Thresholds>()),
        ("/advice", settings_of::<advice::Settings>()),
        ("/indexes", settings_of::<indexes::Settings>()),
        ("/logs", settings_of::<server_log::Settings>()),
        ("/web", settings_of::<http::Settings>()),
        ("/log", settings_of::<Log>()),
    ] {
        let section = read.pointer(place).and_then(Value::as_object).expect(place);
        let shown: BTreeSet<String> = section.keys().cloned().collect();
        assert_eq!(shown, known, "{place}");
    }
}

#[test]
fn the_example_can_be_used_as_it_is() {
    let mut check = crate::support::poolwatch();
    check.args(["--config.check", "--config.file"]).arg(example());
    let output = check.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_example_shows_the_defaults() {
    let config = Config::load(Some(&example()), &HashMap::new()).unwrap();
    assert_eq!(config.sampling, Sampling::default());
    assert_eq!(config.thresholds, Thresholds::default());
    assert_eq!(config.advice, advice::Settings::default());
    assert_eq!(config.workers, workers::Settings::default());
    let logs = server_log::Settings::default();
    assert_eq!((config.logs.format, config.logs.read_limit), (logs.format, logs.read_limit));
    assert_eq!(config.web, http::Settings::default());
    assert_eq!(config.log, Log::default());
    let shown = &config.servers["primary"];
    let postgres::Settings { statement_timeout, lock_timeout, connect_timeout, .. } =
        postgres::Settings::default();
    assert_eq!(
        (shown.statement_timeout, shown.lock_timeout, shown.connect_timeout),
        (statement_timeout, lock_timeout, connect_timeout)
    );
}

#[test]
fn the_alerts_judge_by_the_same_marks() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/rules.yml");
    let rules = std::fs::read_to_string(rules).unwrap();
    let Thresholds { warning, critical, .. } = Thresholds::default();
    for (alert, mark) in
        [("PoolUtilizationWarning", warning), ("PoolUtilizationCritical", critical)]
    {
        let (_, rule) = rules.split_once(&format!("alert: {alert}\n")).expect(alert);
        let rule = rule.split("- alert:").next().unwrap();
        let judges = [">", ">="].iter().any(|sign| rule.contains(&format!("{sign} {mark}")));
        assert!(judges, "{alert}: {rule}");
    }
}
