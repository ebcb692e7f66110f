//! What an address means: the servers in their order, who asks, and how safe it has to be.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Secret;
use super::address::{Address, AddressError, Variables};
use super::authenticate::{Binding, Methods};
use super::tls;

/// Where the server listens when nobody says a port.
const PORT: u16 = 5432;
/// Where a server of this machine has its socket, as distributions and `PostgreSQL` have it.
const SOCKET_FOLDERS: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

/// One server, or one of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// As it was said: a name, an address, or the folder of a socket.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) port: u16,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Socket(PathBuf),
    Name(String),
    Ip(IpAddr),
}

/// Which of several servers will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    Primary,
    Standby,
    PreferStandby,
}

/// What keeps a connection over TCP alive. `None` is the kernel's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Keepalive {
    pub(super) is_off: bool,
    pub(super) idle: Option<u32>,
    pub(super) interval: Option<u32>,
    pub(super) count: Option<u32>,
    /// Milliseconds.
    pub(super) user_timeout: Option<u32>,
}

/// What an address means.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(super) hosts: Vec<Host>,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(super) password: Option<Secret>,
    pub(super) passfile: Option<PathBuf>,
    pub(super) options: Option<String>,
    pub(super) wanted: Wanted,
    pub(super) shuffle: bool,
    /// For each server.
    pub(super) timeout: Option<Duration>,
    pub(super) keepalive: Keepalive,
    pub(super) tls: tls::Settings,
    pub(super) binding: Binding,
    pub(super) methods: Methods,
}

impl Target {
    /// What an address means in this environment. It reads no file but a service's.
    pub(crate) fn new(address: &Address, variables: Variables<'_>) -> Result<Self, AddressError> {
        let value = |key: &str| address.value(key);
        let home = variables("HOME").map(PathBuf::from);
        let user = value("user").or_else(own_name).ok_or(AddressError::Value {
            key: "user".to_owned(),
            must: "it must be said, for the user of this process has no name",
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
            shuffle: one_of(
                address,
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
            binding: one_of(
                address,
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

    /// Where it is, without secrets: `host:port` or the path of a socket, several by commas.
    pub(crate) fn place(&self) -> String {
        self.hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(",")
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, place, port } = self;
        match place {
            Place::Socket(folder) => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
            Place::Name(name) => write!(f, "{name}:{port}"),
            Place::Ip(ip) if *name == ip.to_string() || name.is_empty() => {
                write!(f, "{}", std::net::SocketAddr::from((*ip, *port)))
            }
            Place::Ip(ip) => write!(f, "{name}:{port} ({ip})"),
        }
    }
}

fn hosts(address: &Address) -> Result<Vec<Host>, AddressError> {
    let list = |key: &str| -> Vec<String> {
        let said = address.value(key);
        said.map_or_else(Vec::new, |said| {
            said.split(',').map(|one| one.trim().to_owned()).collect()
        })
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len()).max(1);
    let fits = |list: &[String], key: &str| match list.len() {
        0 => Ok(()),
        of if of == count => Ok(()),
        1 if key == "port" => Ok(()),
        _ => Err(AddressError::Value {
            key: key.to_owned(),
            must: "host, hostaddr and port must name as many servers each",
        }),
    };
    fits(&names, "host")?;
    fits(&addresses, "hostaddr")?;
    fits(&ports, "port")?;
    (0..count)
        .map(|at| {
            let port = ports.get(at).or(ports.first().filter(|_| ports.len() == 1));
            let port = port.filter(|port| !port.is_empty()).map_or(Ok(PORT), |port| {
                port.parse().ok().filter(|port| *port > 0).ok_or(AddressError::Value {
                    key: "port".to_owned(),
                    must: "it must be a number from 1 to 65535",
                })
            })?;
            let said = |list: &[String]| list.get(at).cloned().unwrap_or_default();
            host(said(&names), &said(&addresses), port)
        })
        .collect()
}

fn host(name: String, address: &str, port: u16) -> Result<Host, AddressError> {
    let ip = |text: &str| text.parse::<IpAddr>().ok();
    if !address.is_empty() {
        let must = "it must be an IP address";
        let key = "hostaddr".to_owned();
        let place = ip(address).map(Place::Ip).ok_or(AddressError::Value { key, must })?;
        return Ok(Host { name, place, port });
    }
    let place = match name.chars().next() {
        Some('/') => Place::Socket(PathBuf::from(&name)),
        // Linux' abstract sockets, which the kernel names by a zero.
        Some('@') => Place::Socket(PathBuf::from(name.replacen('@', "\0", 1))),
        Some(_) => ip(&name).map_or_else(|| Place::Name(name.clone()), Place::Ip),
        None => return Ok(here(port)),
    };
    Ok(Host { name, place, port })
}

/// The server of this machine: its socket, where there is one.
fn here(port: u16) -> Host {
    let has_socket = |folder: &&&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    if let Some(folder) = SOCKET_FOLDERS.iter().find(has_socket) {
        let place = Place::Socket(PathBuf::from(folder));
        return Host { name: (*folder).to_owned(), place, port };
    }
    let name = "localhost".to_owned();
    Host { place: Place::Name(name.clone()), name, port }
}

/// poolwatch's own sessions are read-only, so that what can be written to is the primary.
fn wanted(said: Option<&str>) -> Result<Wanted, AddressError> {
    Ok(match said.unwrap_or("any") {
        "any" => Wanted::Any,
        "primary" | "read-write" => Wanted::Primary,
        "standby" | "read-only" => Wanted::Standby,
        "prefer-standby" => Wanted::PreferStandby,
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
    let Some(said) = address.value(key) else { return Ok(None) };
    let seconds: i64 = said.trim().parse().map_err(|_| AddressError::Value {
        key: key.to_owned(),
        must: "it must be a number of seconds",
    })?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

fn number(address: &Address, key: &str) -> Result<Option<u32>, AddressError> {
    let parse = |said: String| {
        said.trim()
            .parse()
            .map_err(|_| AddressError::Value { key: key.to_owned(), must: "it must be a number" })
    };
    address.value(key).map(parse).transpose()
}

/// What a word stands for; the empty one is that of nothing said.
pub(super) fn one_of<T: Copy>(
    address: &Address,
    key: &str,
    known: &[(&str, T)],
    must: &'static str,
) -> Result<T, AddressError> {
    let said = address.value(key).unwrap_or_default();
    let found = known.iter().find(|(word, _)| *word == said).map(|(_, value)| *value);
    found.ok_or_else(|| AddressError::Value { key: key.to_owned(), must })
}

/// Who runs this process, as libpq takes it for the role.
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
    fn a_database_is_named_as_its_user_when_nobody_says() {
        let target = target("host=h user=watch").unwrap();
        assert_eq!((target.user.as_str(), target.database.as_str()), ("watch", "watch"));
        assert!(!format!("{target:?}").contains("s3cret"));
    }
}
