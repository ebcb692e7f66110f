//! The targets of a pool: the servers that its connections go to, in a form that can be compared.

use std::net::IpAddr;

use serde::Serialize;

use super::{NAME, PoolReport};

/// The most targets of one pool that are kept.
pub const TARGETS: usize = 8;

/// The longest host in characters: that of a name in the DNS, and more than a socket's path has.
const LONGEST_HOST: usize = 255;

/// A server, a database and a role that a pool connects to.
///
/// The host is in the form in which others are compared with it: a name in small letters and without
/// its last dot, an address as it is usually written, or the folder of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ConnectionTarget {
    /// The host's name or address, or the folder of its Unix socket.
    pub host: String,
    /// The port, which also distinguishes the sockets in one folder.
    pub port: u16,
    /// The database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

impl ConnectionTarget {
    /// A target; `None` where the host is none that there can be.
    pub fn new(host: &str, port: u16, database: Option<&str>, role: Option<&str>) -> Option<Self> {
        let host = normalized(host.trim(), port).filter(|_| port > 0)?;
        let (database, role) = (database.and_then(plain), role.and_then(plain));
        Some(Self { host, port, database, role })
    }

    /// The same with this role.
    #[must_use]
    pub fn with_role(&self, role: Option<&str>) -> Self {
        Self { role: role.and_then(plain), ..self.clone() }
    }

    /// The same without the database and the role: what is compared with a server.
    #[must_use]
    pub fn server(&self) -> Self {
        Self { database: None, role: None, ..self.clone() }
    }
}

impl PoolReport {
    /// Adds targets that it does not have yet, within the limit.
    pub(super) fn join_targets(&mut self, targets: &[ConnectionTarget]) {
        for target in targets {
            if self.targets.len() < TARGETS && !self.targets.contains(target) {
                self.targets.push(target.clone());
            }
        }
    }
}

fn normalized(host: &str, port: u16) -> Option<String> {
    if host.chars().count() > LONGEST_HOST || host.chars().any(char::is_control) {
        return None;
    }
    if host.starts_with(['/', '@']) {
        let folder = host.strip_suffix(&format!("/.s.PGSQL.{port}")).unwrap_or(host);
        let folder = folder.trim_end_matches('/');
        return Some(if folder.is_empty() { "/" } else { folder }.to_owned());
    }
    let name = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(address.to_canonical().to_string());
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// The name of a database or a role. libpq takes a whole address, with its password, in the place of
/// a database: that is no name.
fn plain(name: &str) -> Option<String> {
    let is_name = !name.is_empty() && !name.contains('=') && !name.contains("://");
    (is_name && name.chars().count() <= NAME).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(host: &str) -> Option<String> {
        ConnectionTarget::new(host, 5432, None, None).map(|target| target.host)
    }

    #[test]
    fn one_server_is_written_in_one_way() {
        for (written, expected) in [
            ("DB.example.COM.", "db.example.com"),
            (" db_1 ", "db_1"),
            ("10.0.0.5", "10.0.0.5"),
            ("[::1]", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("::ffff:10.0.0.5", "10.0.0.5"),
            ("/var/run/postgresql/", "/var/run/postgresql"),
            ("/var/run/postgresql/.s.PGSQL.5432", "/var/run/postgresql"),
            ("@abstract", "@abstract"),
            ("/", "/"),
        ] {
            assert_eq!(host(written).as_deref(), Some(expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_host_is_none() {
        let long = "a".repeat(LONGEST_HOST + 1);
        for written in
            ["", ".", "u:s3cret@db", "postgresql://db", "a b", "a\nb", "/run/\npg", &long]
        {
            assert_eq!(host(written), None, "{written}");
        }
        assert_eq!(ConnectionTarget::new("db", 0, None, None), None);
    }

    #[test]
    fn an_address_in_the_place_of_a_database_is_not_repeated() {
        for database in ["postgresql://u:s3cret@h/d", "host=h password=s3cret", ""] {
            let target = ConnectionTarget::new("db", 5432, Some(database), Some("web")).unwrap();
            assert_eq!((target.database, target.role.as_deref()), (None, Some("web")));
        }
    }
}
