//! The meaning of an address: the servers in their order, the role, and how safe it has to be.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;
use super::address::{Address, AddressError, Variables};
use super::host::{Host, hosts};
use super::methods::{Binding, Methods};
use super::tls;
use poolwatch_client::report::ConnectionTarget;

/// The kinds of server that will do, of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetServer {
    Any,
    Primary,
    Standby,
    PreferStandby,
}

/// The keepalives of a connection over TCP. `None` is the kernel's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Keepalive {
    pub(super) is_off: bool,
    pub(super) idle: Option<u32>,
    pub(super) interval: Option<u32>,
    pub(super) count: Option<u32>,
    /// Milliseconds.
    pub(super) user_timeout: Option<u32>,
}

/// The meaning of an address.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(super) hosts: Vec<Host>,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(super) password: Option<Secret>,
    pub(super) passfile: Option<PathBuf>,
    pub(super) options: Option<String>,
    pub(super) wanted: TargetServer,
    pub(super) shuffle: bool,
    /// For each server.
    pub(super) timeout: Option<Duration>,
    pub(super) keepalive: Keepalive,
    pub(super) tls: tls::Settings,
    pub(super) binding: Binding,
    pub(super) methods: Methods,
}

impl Target {
    /// Interprets an address in this environment. It reads no file but a service's.
    pub(crate) fn new(address: &Address, variables: Variables<'_>) -> Result<Self, AddressError> {
        let value = |key: &str| address.value(key);
        let home = variables("HOME").map(PathBuf::from);
        let user = value("user").or_else(own_name).ok_or(AddressError::Value {
            key: "user".to_owned(),
            must: "it must be given, for the user of this process has no name",
        })?;
        let passfile = value("passfile").map(PathBuf::from);
        Ok(Self {
            hosts: hosts(address)?,
            database: value("dbname").unwrap_or_else(|| user.clone()),
            user,
            password: value("password").map(Secret::from),
            passfile: passfile.or_else(|| Some(home.as_ref()?.join(".pgpass"))),
            options: value("options"),
            wanted: wanted(value("target_session_attrs").as_deref())?,
            shuffle: address.one_of(
                "load_balance_hosts",
                &[("", false), ("disable", false), ("random", true)],
                "it must be disable or random",
            )?,
            timeout: timeout(address)?,
            keepalive: Keepalive {
                is_off: number(address, "keepalives")? == Some(0),
                idle: number(address, "keepalives_idle")?,
                interval: number(address, "keepalives_interval")?,
                count: number(address, "keepalives_count")?,
                user_timeout: number(address, "tcp_user_timeout")?,
            },
            tls: tls::Settings::new(address, home.as_deref())?,
            binding: address.one_of(
                "channel_binding",
                &[
                    ("", Binding::Prefer),
                    ("prefer", Binding::Prefer),
                    ("disable", Binding::Disable),
                    ("require", Binding::Require),
                ],
                "it must be disable, prefer or require",
            )?,
            methods: Methods::new(value("require_auth").as_deref())?,
        })
    }

    /// The servers in the form in which a pool's targets are compared with them.
    pub(crate) fn connection_targets(&self) -> Vec<ConnectionTarget> {
        targets_of(&self.hosts, Some(&self.database), Some(&self.user))
    }

    /// Returns true if both lead to the same database as the same role.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        (&self.hosts, &self.user, &self.database, self.wanted)
            == (&other.hosts, &other.user, &other.database, other.wanted)
    }

    /// The servers without secrets: `host:port` or the path of a socket, several by commas.
    pub(crate) fn place(&self) -> String {
        self.hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(",")
    }
}

/// The servers, the database and the role that an address itself names.
pub(crate) fn connection_targets(address: &str) -> Result<Vec<ConnectionTarget>, AddressError> {
    let address = Address::parse_only(address)?;
    let (database, role) = (address.value("dbname"), address.value("user"));
    Ok(targets_of(&hosts(&address)?, database.as_deref(), role.as_deref()))
}

fn targets_of(hosts: &[Host], database: Option<&str>, role: Option<&str>) -> Vec<ConnectionTarget> {
    let target = |host: &Host| ConnectionTarget::new(&host.key(), host.port, database, role);
    hosts.iter().filter_map(target).collect()
}

/// poolwatch's own sessions are read-only, so that what can be written to is the primary.
fn wanted(value: Option<&str>) -> Result<TargetServer, AddressError> {
    Ok(match value.unwrap_or("any") {
        "any" => TargetServer::Any,
        "primary" | "read-write" => TargetServer::Primary,
        "standby" | "read-only" => TargetServer::Standby,
        "prefer-standby" => TargetServer::PreferStandby,
        _ => {
            return Err(AddressError::Value {
                key: "target_session_attrs".to_owned(),
                must: "it must be any, read-write, read-only, primary, standby or prefer-standby",
            });
        }
    })
}

/// Seconds; 0 and less are no limit.
fn timeout(address: &Address) -> Result<Option<Duration>, AddressError> {
    let key = "connect_timeout";
    let Some(value) = address.value(key) else { return Ok(None) };
    let seconds: i64 = value.trim().parse().map_err(|_| AddressError::Value {
        key: key.to_owned(),
        must: "it must be a number of seconds",
    })?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

fn number(address: &Address, key: &str) -> Result<Option<u32>, AddressError> {
    let parse = |value: String| {
        value
            .trim()
            .parse()
            .map_err(|_| AddressError::Value { key: key.to_owned(), must: "it must be a number" })
    };
    address.value(key).map(parse).transpose()
}

/// The user who runs this process, whom libpq takes for the role.
fn own_name() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??;
    Some(user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(address: &str) -> Result<Target, AddressError> {
        Target::new(&Address::parse(address, &|_| None)?, &|_| None)
    }

    #[test]
    fn each_server_has_its_place() {
        let place = |address: &str| target(address).unwrap().place();
        assert_eq!(place("postgresql://u@[::1]/d"), "[::1]:5432");
        assert_eq!(place("postgresql://u@a:1,[::2]:2,c/d"), "a:1,[::2]:2,c:5432");
        assert_eq!(place("host=db hostaddr=10.0.0.1 port=7 user=u"), "db:7 (10.0.0.1)");
        assert_eq!(place("host=/run/pg user=u"), "/run/pg/.s.PGSQL.5432");
        assert_eq!(place("host=a,b port=7 user=u"), "a:7,b:7");
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_by_name() {
        for (address, key) in [
            ("host=h port=none user=u", "port"),
            ("host=h port=0 user=u", "port"),
            ("host=a,b port=1,2,3 user=u", "port"),
            ("hostaddr=db user=u", "hostaddr"),
            ("host=h user=u sslmode=odd", "sslmode"),
            ("host=h user=u connect_timeout=soon", "connect_timeout"),
            ("host=h user=u target_session_attrs=best", "target_session_attrs"),
            ("host=h user=u channel_binding=maybe", "channel_binding"),
            ("host=h user=u require_auth=magic", "require_auth"),
            ("host=h user=u sslrootcert=system sslmode=require", "sslmode"),
        ] {
            let error = target(address).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{address}: {error}");
        }
    }

    #[test]
    fn the_servers_of_an_address_are_shown_without_its_password() {
        let targets = connection_targets("postgresql://web:s3cret@A.internal:1,b/app").unwrap();
        let shown: Vec<_> = targets.iter().map(|t| (t.host.as_str(), t.port)).collect();
        assert_eq!(shown, [("a.internal", 1), ("b", 5432)]);
        assert_eq!(targets[0].role.as_deref(), Some("web"));
        assert!(!format!("{targets:?}").contains("s3cret"));
        let of_server = target("host=db hostaddr=10.0.0.1 user=u").unwrap().connection_targets();
        assert_eq!(of_server[0].host, "db");
        let of_server = target("hostaddr=10.0.0.1 user=u").unwrap().connection_targets();
        assert_eq!(of_server[0].host, "10.0.0.1");
    }

    #[test]
    fn a_database_is_named_as_its_user_when_nobody_says() {
        let target = target("host=h user=watch").unwrap();
        assert_eq!((target.user.as_str(), target.database.as_str()), ("watch", "watch"));
        assert!(!format!("{target:?}").contains("s3cret"));
    }
}
