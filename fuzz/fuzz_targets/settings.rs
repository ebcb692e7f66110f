//! Whatever the settings are, they are read or refused, and no complaint repeats a password.
#![no_main]

use std::collections::HashMap;
use std::io::Write;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use poolwatch::config::{Config, Environment};
use poolwatch::postgres;
use poolwatch::sources::app_health;
use tempfile::NamedTempFile;

const PASSWORD: &str = "hunter2";
const VARIABLES: [&str; 8] = [
    "POOLWATCH__SERVERS",
    "POOLWATCH__SERVERS__PRIMARY",
    "POOLWATCH__SERVERS__PRIMARY__LOCK_TIMEOUT",
    "POOLWATCH__POOLS__WEB__APP_HEALTH",
    "POOLWATCH__POOLS__WEB__APP_HEALTH__PRESET",
    "POOLWATCH__THRESHOLDS__WARNING",
    "POOLWATCH__LOG",
    "DATABASE_URL",
];

static FILE: LazyLock<NamedTempFile> =
    LazyLock::new(|| NamedTempFile::new().expect("there is room for a file"));

fuzz_target!(|input: &[u8]| {
    let Some((which, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    // What stands before the secret, and behind it.
    let (before, after) = text.split_once('\0').unwrap_or((text, ""));
    if before.contains(PASSWORD) || after.contains(PASSWORD) {
        return;
    }
    let address = format!("postgresql://u:{PASSWORD}@h/d");
    let said = match *which {
        0..128 => file(&format!("{before}{address}{after}")),
        128..160 => {
            let variable = VARIABLES[usize::from(*which) % VARIABLES.len()];
            load(HashMap::from([(variable.to_owned(), format!("{before}{address}{after}"))]))
        }
        160..180 => database(format!("{before} password={PASSWORD}{after}")),
        180..200 => database(format!("password='{PASSWORD}{after}' {before}")),
        200..228 => database(format!("postgresql://{before}:{PASSWORD}{after}")),
        228.. => {
            let user: String = before.chars().filter(char::is_ascii_alphanumeric).collect();
            health(format!("http://{user}:{PASSWORD}@{after}"))
        }
    };
    // A file that is not there is named, and so is a pattern that is none.
    let named = said.contains("logs.path") || said.contains("cannot read");
    assert!(named || !said.contains(PASSWORD), "{said}");
});

fn file(text: &str) -> String {
    let mut file = FILE.as_file();
    let written = std::io::Seek::rewind(&mut file)
        .and_then(|()| file.set_len(0))
        .and_then(|()| file.write_all(text.as_bytes()));
    written.expect("a file can be written");
    outcome(Config::load(Some(FILE.path()), &Environment::new()))
}

fn load(environment: Environment) -> String {
    outcome(Config::load(None, &environment))
}

fn outcome(read: Result<Config, poolwatch::config::Error>) -> String {
    match read {
        Ok(config) => {
            for (name, settings) in &config.servers {
                if let Err(error) = settings.open(name) {
                    return format!("{error} {error:?}");
                }
            }
            format!("{:?}", config.servers.values().collect::<Vec<_>>())
        }
        Err(error) => format!("{error} {error:?}"),
    }
}

fn database(url: String) -> String {
    let settings = postgres::Settings { url: url.into(), ..postgres::Settings::default() };
    match settings.open("primary") {
        Ok(database) => format!("{settings:?} {database:?}"),
        Err(error) => format!("{settings:?} {error} {error:?}"),
    }
}

fn health(url: String) -> String {
    let settings = app_health::Settings { url, ..app_health::Settings::default() };
    match settings.open("web") {
        Ok(endpoint) => format!("{settings:?} {endpoint:?}"),
        Err(error) => format!("{settings:?} {error} {error:?}"),
    }
}
