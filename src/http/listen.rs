//! Binding an address written as Prometheus' exporters take it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use super::Error;

/// Binds `:port` on every interface, IPv6 and IPv4, or `host:port`.
pub(super) fn bind(address: &str) -> Result<TcpListener, Error> {
    let bound = candidates(address).and_then(|all| TcpListener::bind(&*all)).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|source| wrong(address, source))
}

/// Refuses what is no address.
pub(super) fn check(address: &str) -> Result<(), Error> {
    candidates(address).map(drop).map_err(|source| wrong(address, source))
}

fn wrong(address: &str, source: io::Error) -> Error {
    Error::Listen { address: address.to_owned(), advice: advice(source.kind()), source }
}

/// The addresses that it may mean, the first that can be bound being taken.
fn candidates(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(port) = address.strip_prefix(':') {
        let port = port.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // An IPv6 socket takes IPv4 too; a machine without IPv6 falls back.
        return Ok(vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ]);
    }
    let mut all: Vec<_> = address.to_socket_addrs()?.collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    Ok(all)
}

fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 needs more privileges; choose another"
        }
        io::ErrorKind::InvalidInput => {
            "write it as \":8001\", \"127.0.0.1:8001\" or \"[::1]:8001\""
        }
        _ => "it cannot be bound",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_address_is_bound() {
        for address in [":0", "127.0.0.1:0", "localhost:0"] {
            assert_ne!(bind(address).unwrap().local_addr().unwrap().port(), 0, "{address}");
        }
    }

    #[test]
    fn a_taken_port_is_said_to_be_taken() {
        let first = bind("127.0.0.1:0").unwrap();
        let error = bind(&first.local_addr().unwrap().to_string()).unwrap_err();
        assert!(error.to_string().contains("another program listens there"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_explained() {
        for wrong in ["", "8001", ":", ":http", ":99999", "127.0.0.1"] {
            let error = bind(wrong).unwrap_err();
            assert!(error.to_string().contains("write it as"), "{wrong}: {error}");
        }
    }
}
