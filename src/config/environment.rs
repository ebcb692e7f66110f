//! Variables that other programs know too: `DATABASE_URL`, `LOG_LEVEL`, and `postgres_exporter`'s
//! `DATA_SOURCE_*` and `PG_EXPORTER_*`, so that poolwatch can be put in its place.

use std::path::Path;

use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::variable::meant;
use super::{Config, Environment, LogLevel};
use crate::collectors::DEFAULT_METRICS;
use crate::files;
use crate::postgres::Secret;
use crate::state::Role;
use crate::yaml::Refusal;

/// The server that the environment names.
const PRIMARY: &str = "primary";

/// The settings that the variables make.
pub(super) struct Settings {
    urls: Vec<String>,
    /// libpq's own variables say where a server is.
    has_standard: bool,
    level: Option<LogLevel>,
    telemetry_path: Option<String>,
    /// Collectors that are switched off.
    off: Vec<&'static str>,
}

/// `postgres_exporter`'s variables that switch off collectors, and those.
const SWITCHES: [(&str, &[&str]); 2] = [
    ("PG_EXPORTER_DISABLE_DEFAULT_METRICS", &DEFAULT_METRICS),
    ("PG_EXPORTER_DISABLE_SETTINGS_METRICS", &["settings"]),
];

pub(super) fn settings(environment: &Environment) -> Result<Settings, String> {
    let urls = match variable(environment, "DATABASE_URL") {
        Some(url) => vec![url.to_owned()],
        None => data_sources(environment)?,
    };
    let telemetry_path = variable(environment, "PG_EXPORTER_WEB_TELEMETRY_PATH").map(str::to_owned);
    let is_on = |name: &str| {
        variable(environment, name)
            .is_some_and(|value| matches!(value.to_lowercase().as_str(), "1" | "t" | "true"))
    };
    let off = SWITCHES.iter().filter(|(name, _)| is_on(name)).flat_map(|(_, off)| *off);
    let off = off.copied().collect();
    let given = |name: &&str| variable(environment, name).is_some();
    let has_standard = ["PGHOST", "PGHOSTADDR", "PGSERVICE"].iter().any(given);
    Ok(Settings { urls, has_standard, level: level(environment)?, telemetry_path, off })
}

impl Settings {
    /// A notice that the servers of the variables are ignored, where they name any.
    pub(super) fn ignored(&self) -> Option<String> {
        (!self.urls.is_empty()).then(|| {
            "DATABASE_URL, or DATA_SOURCE_*, is ignored: a sidecar opens no connection to a database"
                .to_owned()
        })
    }
}

pub(super) fn apply(settings: &Settings, config: &mut Config) {
    if config.role == Role::Sidecar {
        return apply_others(settings, config);
    }
    for (at, url) in settings.urls.iter().enumerate() {
        let name = if at == 0 { PRIMARY.to_owned() } else { format!("server{}", at + 1) };
        config.servers.entry(name).or_default().url = Secret::from(url.clone());
    }
    // They are for every program; those that are for poolwatch alone stand above them.
    let named = config.servers.get(PRIMARY);
    let is_open =
        named.map_or(config.servers.is_empty(), |primary| primary.url.reveal().is_empty());
    if settings.has_standard && is_open {
        let primary = config.servers.entry(PRIMARY.to_owned()).or_default();
        primary.url = Secret::from("postgresql://".to_owned());
    }
    apply_others(settings, config);
}

/// What is about no server.
fn apply_others(settings: &Settings, config: &mut Config) {
    config.log.level = settings.level.unwrap_or(config.log.level);
    if let Some(path) = &settings.telemetry_path {
        config.web.telemetry_path.clone_from(path);
    }
    for name in &settings.off {
        config.collectors.entry((*name).to_owned()).or_default().enabled = Some(false);
    }
}

fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn level(environment: &Environment) -> Result<Option<LogLevel>, String> {
    let Some(level) = variable(environment, "LOG_LEVEL") else { return Ok(None) };
    match level.to_lowercase().as_str() {
        // Python's words too, for the application may share the variable.
        "critical" => Ok(Some(LogLevel::Error)),
        "warning" => Ok(Some(LogLevel::Warn)),
        word => LogLevel::deserialize(word.into_deserializer())
            .map(Some)
            .map_err(|refusal: Refusal| format!("LOG_LEVEL: {refusal}")),
    }
}

/// The settings that variables seem to mean that are none, for they lack an underscore.
pub(super) fn warnings(environment: &Environment) -> Vec<String> {
    let mut warnings: Vec<_> = environment
        .keys()
        .filter_map(|name| {
            let rest = name.strip_prefix("POOLWATCH_").filter(|rest| !rest.starts_with('_'))?;
            let meant = meant(rest)?;
            Some(format!("the variable {name} is not read; {meant} is, with two underscores each"))
        })
        .collect();
    warnings.sort();
    warnings
}

/// `DATA_SOURCE_NAME`, several by commas; else the three parts, each by itself or from a file.
fn data_sources(environment: &Environment) -> Result<Vec<String>, String> {
    if let Some(names) = variable(environment, "DATA_SOURCE_NAME") {
        return Ok(names.split(',').map(|name| name.trim().to_owned()).collect());
    }
    let Some(uri) = part(environment, "URI")? else { return Ok(Vec::new()) };
    let encode = |text: &str| {
        url::form_urlencoded::byte_serialize(text.as_bytes())
            .collect::<String>()
            .replace('+', "%20")
    };
    let user = part(environment, "USER")?.map(|user| encode(&user));
    let password = part(environment, "PASS")?.map(|password| format!(":{}", encode(&password)));
    Ok(vec![match user {
        Some(user) => format!("postgresql://{user}{}@{uri}", password.unwrap_or_default()),
        None => format!("postgresql://{uri}"),
    }])
}

fn part(environment: &Environment, name: &str) -> Result<Option<String>, String> {
    let file = format!("DATA_SOURCE_{name}_FILE");
    match variable(environment, &file) {
        Some(path) => files::read_to_string_blocking(Path::new(path))
            .map(|text| Some(text.trim().to_owned()))
            .map_err(|error| format!("{file}: cannot read {path}: {error}")),
        None => Ok(variable(environment, &format!("DATA_SOURCE_{name}")).map(str::to_owned)),
    }
}
