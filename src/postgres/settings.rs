//! The settings of a server: its address, its password, and timeouts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tracing::info;

use super::session::Purpose;
use super::{
    Access, Address, AddressError, Connector, Database, PASSWORD_COMMAND_TIMEOUT, PASSWORD_MAX_AGE,
    PasswordCommand, PasswordSettings, Secret, Target, connection_targets,
};
use poolwatch_client::report::ConnectionTarget;

/// One database as the operator names it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The address: a URL (`postgresql://user@host/db`) or libpq's `key=value` form.
    pub url: Secret,
    /// Other names of the server, as `host:port`, under which pools connect to it.
    pub aliases: Vec<String>,
    /// Only one of the poolwatches that have this setting reads the server.
    pub leader_election: bool,
    /// A file that holds the password, read at each connect.
    pub password_file: Option<PathBuf>,
    /// A command that prints the password, such as a token of a cloud.
    pub password_command: Option<PasswordCommand>,
    /// The timeout of the command.
    #[serde(with = "humantime_serde")]
    pub password_command_timeout: Duration,
    /// The age up to which the command's answer is used for further connections.
    #[serde(with = "humantime_serde")]
    pub password_max_age: Duration,
    /// The server gives up on a statement of poolwatch after this long.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// The server gives up waiting for a lock after this long.
    #[serde(with = "humantime_serde")]
    pub lock_timeout: Duration,
    /// The timeout of a connection attempt.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            aliases: Vec::new(),
            leader_election: false,
            password_file: None,
            password_command: None,
            password_command_timeout: PASSWORD_COMMAND_TIMEOUT,
            password_max_age: PASSWORD_MAX_AGE,
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// The reason why a database cannot be monitored as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be understood.
    #[error("servers.{name}.url: {reason}")]
    Address {
        /// The database's name in the settings.
        name: String,
        /// The error, without the address, which may hold a password.
        reason: AddressError,
    },
    /// An alias is no address.
    #[error("servers.{name}.aliases: {reason}; an alias is host:port, or the folder of a socket")]
    Alias {
        /// The database's name in the settings.
        name: String,
        /// The error.
        reason: AddressError,
    },
    /// The password file cannot be read.
    #[error("servers.{name}.password_file: cannot read {path}: {reason}")]
    PasswordFile {
        /// The database's name in the settings.
        name: String,
        /// The file.
        path: String,
        /// The cause.
        reason: std::io::Error,
    },
}

impl Settings {
    /// A database that can be asked; it connects when first asked.
    pub fn open(&self, name: &str) -> Result<Arc<Database>, Error> {
        self.open_after(name, Duration::ZERO, &[])
    }

    /// The same. Where a leader is elected, its connections may rest for so long, and one of those
    /// that run hands its leadership over.
    pub(crate) fn open_after(
        &self,
        name: &str,
        resting: Duration,
        running: &[&Database],
    ) -> Result<Arc<Database>, Error> {
        let purpose = Purpose::Watch {
            statement_timeout: self.statement_timeout,
            lock_timeout: self.lock_timeout,
        };
        let access = self.access(name, purpose)?;
        let read_timeout = self.statement_timeout + Duration::from_secs(1);
        let database = Database::new(name, access, read_timeout, self.alias_targets(name)?);
        Ok(Arc::new(if self.leader_election {
            database.with_leader_election(resting, running)
        } else {
            database
        }))
    }

    fn alias_targets(&self, name: &str) -> Result<Vec<ConnectionTarget>, Error> {
        let mut targets = Vec::new();
        for alias in &self.aliases {
            let parsed = connection_targets(&alias_address(alias));
            targets
                .extend(parsed.map_err(|reason| Error::Alias { name: name.to_owned(), reason })?);
        }
        Ok(targets)
    }

    /// Makes its connector. A password file that cannot be read now is refused.
    fn connector(&self, name: &str) -> Result<Connector, Error> {
        let wrong = |reason| Error::Address { name: name.to_owned(), reason };
        let variables = |name: &str| std::env::var(name).ok();
        let address = Address::parse(self.url.reveal(), &variables).map_err(wrong)?;
        let target = Target::new(&address, &variables).map_err(wrong)?;
        if !address.foreign.is_empty() {
            let parameters = address.foreign.join(",");
            info!(database = %name, %parameters, "parameters that are not libpq's are not used");
        }
        let passwords = PasswordSettings {
            file: self.password_file.clone(),
            command: self.password_command.clone(),
            timeout: self.password_command_timeout,
            max_age: self.password_max_age,
        };
        let credentials = passwords.credentials(&target).map_err(|(path, reason)| {
            Error::PasswordFile { name: name.to_owned(), path, reason }
        })?;
        Ok(Connector::new(target, credentials, self.connect_timeout))
    }

    /// Makes what opens a session on it and sets it up.
    fn access(&self, name: &str, purpose: Purpose) -> Result<Access, Error> {
        Ok(Access::new(self.connector(name)?, purpose, self.connect_timeout))
    }

    /// Makes what opens sessions that may write, for as long as it takes.
    pub fn builders(&self, name: &str) -> Result<Access, Error> {
        self.access(name, Purpose::Build)
    }
}

/// An alias as an address: `host:port`, `host` or the folder of a socket.
fn alias_address(alias: &str) -> String {
    if alias.starts_with(['/', '@']) {
        format!("host={alias}")
    } else {
        format!("postgresql://{alias}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_the_places_of_its_address_and_its_aliases() {
        let places = |aliases: &[&str]| {
            let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
            let url = Secret::from("postgresql://w@DB:5433/app".to_owned());
            let settings = Settings { url, aliases, ..Settings::default() };
            let places = settings.open("primary").map(|database| database.places());
            places.map(|places| places.into_iter().map(|one| (one.host, one.port)).collect())
        };
        let place = |host: &str, port| (host.to_owned(), port);
        let all: Vec<_> = places(&["10.0.0.5:5433", "/run/pg", "db:5433", "[::1]"]).unwrap();
        let expected = [
            place("db", 5433),
            place("10.0.0.5", 5433),
            place("/run/pg", 5432),
            place("::1", 5432),
        ];
        assert_eq!(all, expected);
        let wrong: Result<Vec<(String, u16)>, _> = places(&["db:port"]);
        assert!(wrong.unwrap_err().to_string().contains("servers.primary.aliases"));
    }

    #[test]
    fn a_leader_with_other_settings_goes_on_leading_at_the_same_place_alone() {
        let settings = |url: &str| Settings {
            url: url.to_owned().into(),
            leader_election: true,
            ..Settings::default()
        };
        let of_one = settings("postgresql://w@db:5433/app");
        let running = of_one.open("primary").unwrap();
        let is_kept = |settings: Settings| {
            let next = settings.open_after("main", Duration::ZERO, &[&*running]).unwrap();
            next.shares_leadership(&running)
        };
        let lock_timeout = Duration::from_secs(7);
        assert!(is_kept(Settings { lock_timeout, ..of_one.clone() }));
        assert!(is_kept(settings("postgresql://w:s3cret@db:5433/app?connect_timeout=2")));
        for other in ["w@db:5433/other", "w@db:5434/app", "other@db:5433/app", "w@db2:5433/app"] {
            assert!(!is_kept(settings(&format!("postgresql://{other}"))), "{other}");
        }
        assert!(!is_kept(Settings { leader_election: false, ..of_one }));
    }
}
