//! The thing to do about a server that gives no session.

use std::error::Error;
use std::io::ErrorKind;

use poolwatch_client::AcquireError;

use super::connector::DialError;
use super::fault::Fault;
use super::tls;

/// The thing to do about a server that gives no session, where the failure is of that.
pub(crate) fn remedy(failure: &(dyn Error + 'static)) -> Option<String> {
    match failure.downcast_ref::<AcquireError>() {
        Some(AcquireError::Unreachable(error)) => {
            let dialled = error.downcast_ref::<DialError>()?;
            dialled.faults().find_map(|(place, fault)| of_fault(place, fault))
        }
        Some(AcquireError::Connect(error)) => {
            let error = error.as_database_error()?;
            of_sqlstate(error.code()?.as_ref(), error.message()).map(str::to_owned)
        }
        Some(AcquireError::Unanswered(_)) => Some(HANGS.to_owned()),
        _ => failure.source().and_then(remedy),
    }
}

/// The thing to do about a server that is connected to and says nothing.
const HANGS: &str = "see that the server runs and is not stopped or out of memory, and that no \
                     firewall between drops its packets";

fn of_fault(place: &str, fault: &Fault) -> Option<String> {
    Some(match fault {
        Fault::Io(error) => return of_io(place, error.kind()),
        Fault::Resolve(_) => format!(
            "correct the host in the address, or see that DNS or /etc/hosts of this machine has \
             the name of {place}"
        ),
        Fault::Timeout(_) => HANGS.to_owned(),
        Fault::NoTls => "switch `ssl` on in the server's settings, or set sslmode=prefer in the \
                         address"
            .to_owned(),
        Fault::Tls(tls::Error::Certificate(_)) => {
            "give the certificate authority as sslrootcert in the address, and the name in the \
             server's certificate as its host"
                .to_owned()
        }
        Fault::Iterations(_) => "as poolwatch's role: SET scram_iterations = 4096; ALTER ROLE \
                                 CURRENT_USER PASSWORD '…', with the same password or another"
            .to_owned(),
        Fault::Wire(_) => {
            format!("correct host and port: what answers at {place} is no PostgreSQL server")
        }
        Fault::Refused { error, .. } => {
            return of_sqlstate(&error.sqlstate, &error.message).map(str::to_owned);
        }
        _ => return None,
    })
}

fn of_io(place: &str, kind: ErrorKind) -> Option<String> {
    let is_socket = place.starts_with('/');
    Some(match kind {
        ErrorKind::NotFound if is_socket => {
            "start the server, or correct the folder or the port in the address: \
             `SHOW unix_socket_directories` names the folder of its socket"
                .to_owned()
        }
        ErrorKind::ConnectionRefused if is_socket => {
            "start the server: nothing listens at its socket".to_owned()
        }
        ErrorKind::PermissionDenied => {
            format!("let the user who runs poolwatch use {place}, or connect over TCP")
        }
        ErrorKind::ConnectionRefused => format!(
            "start the server, or correct host and port: nothing listens at {place}. A server \
             listens to other machines only where listen_addresses says so"
        ),
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            format!("see that {place} can be reached from here: route, firewall, security group")
        }
        _ => return None,
    })
}

fn of_sqlstate(sqlstate: &str, message: &str) -> Option<&'static str> {
    Some(match sqlstate {
        "28P01" => {
            "put the role's password into the address (postgresql://role:password@host/database), \
             into password_file in the settings, or into ~/.pgpass"
        }
        "28000" if message.contains("pg_hba.conf") => {
            "add a line for this role, database and host to the server's pg_hba.conf and reload \
             it; `sslmode=require` in the address where only lines with hostssl are there"
        }
        "28000" => {
            "correct the role in the address, or create it: CREATE ROLE … LOGIN; GRANT pg_monitor \
             TO …"
        }
        "3D000" => "correct the database's name, the last part of the address, or create it",
        "42501" => "GRANT CONNECT ON DATABASE … TO the role",
        "53300" => {
            "close sessions that are not needed, raise max_connections or the role's CONNECTION \
             LIMIT, or set reserved_connections (PostgreSQL 16) for poolwatch's role"
        }
        "57P03" => "wait: the server starts, stops or recovers; its own log says how far it is",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_refusing_has_its_remedy() {
        for (sqlstate, message, part) in [
            ("28P01", "password authentication failed for user \"a\"", "password_file"),
            ("28000", "no pg_hba.conf entry for host", "pg_hba.conf"),
            ("28000", "role \"a\" does not exist", "CREATE ROLE"),
            ("3D000", "database \"a\" does not exist", "last part of the address"),
            ("53300", "sorry, too many clients already", "max_connections"),
        ] {
            let remedy = of_sqlstate(sqlstate, message).unwrap();
            assert!(remedy.contains(part), "{message}: {remedy}");
        }
        assert_eq!(of_sqlstate("XX000", ""), None);
    }

    #[test]
    fn a_port_without_a_server_and_a_socket_without_one_differ() {
        let at = |place| of_io(place, ErrorKind::ConnectionRefused).unwrap();
        assert!(at("db:5432").contains("nothing listens at db:5432"));
        assert!(at("/run/x/.s.PGSQL.5432").starts_with("start the server: "));
    }
}
