//! The servers that an address names, in their order.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::address::{Address, AddressError};

/// The port of an address that names none.
const PORT: u16 = 5432;
/// The folders of a local server's socket, as distributions and `PostgreSQL` have them.
const SOCKET_FOLDERS: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

/// One server, or one of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// As it was given: a name, an address, or the folder of a socket.
    pub(super) name: String,
    pub(super) place: HostAddress,
    pub(super) port: u16,
}

/// The place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostAddress {
    Socket(PathBuf),
    Name(String),
    Ip(IpAddr),
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, place, port } = self;
        match place {
            HostAddress::Socket(folder) => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
            HostAddress::Name(name) => write!(f, "{name}:{port}"),
            HostAddress::Ip(ip) if *name == ip.to_string() || name.is_empty() => {
                write!(f, "{}", std::net::SocketAddr::from((*ip, *port)))
            }
            HostAddress::Ip(ip) => write!(f, "{name}:{port} ({ip})"),
        }
    }
}

impl Host {
    /// The name that others are compared with.
    pub(super) fn key(&self) -> String {
        match &self.place {
            HostAddress::Ip(ip) if self.name.is_empty() => ip.to_string(),
            _ => self.name.clone(),
        }
    }
}

/// The servers of an address, in their order.
pub(super) fn hosts(address: &Address) -> Result<Vec<Host>, AddressError> {
    let list = |key: &str| -> Vec<String> {
        let value = address.value(key);
        value.map_or_else(Vec::new, |value| {
            value.split(',').map(|one| one.trim().to_owned()).collect()
        })
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len()).max(1);
    let fits = |list: &[String], key: &str| match list.len() {
        0 => Ok(()),
        length if length == count => Ok(()),
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
            let item = |list: &[String]| list.get(at).cloned().unwrap_or_default();
            host(item(&names), &item(&addresses), port)
        })
        .collect()
}

fn host(name: String, address: &str, port: u16) -> Result<Host, AddressError> {
    let ip = |text: &str| text.parse::<IpAddr>().ok();
    if !address.is_empty() {
        let must = "it must be an IP address";
        let key = "hostaddr".to_owned();
        let place = ip(address).map(HostAddress::Ip).ok_or(AddressError::Value { key, must })?;
        return Ok(Host { name, place, port });
    }
    let place = match name.chars().next() {
        Some('/') => HostAddress::Socket(PathBuf::from(&name)),
        // Linux' abstract sockets, which the kernel names by a zero.
        Some('@') => HostAddress::Socket(PathBuf::from(name.replacen('@', "\0", 1))),
        Some(_) => ip(&name).map_or_else(|| HostAddress::Name(name.clone()), HostAddress::Ip),
        None => return Ok(local_host(port)),
    };
    Ok(Host { name, place, port })
}

/// The server of this machine: its socket, where there is one.
fn local_host(port: u16) -> Host {
    let has_socket = |folder: &&&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    if let Some(folder) = SOCKET_FOLDERS.iter().find(has_socket) {
        let place = HostAddress::Socket(PathBuf::from(folder));
        return Host { name: (*folder).to_owned(), place, port };
    }
    let name = "localhost".to_owned();
    Host { place: HostAddress::Name(name.clone()), name, port }
}
