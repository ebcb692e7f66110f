//! The metric family of the sessions by their owners.

use crate::metric::Family;
use crate::state::DatabaseState;

/// The sessions of each server by their owners.
pub fn families(databases: &[DatabaseState]) -> [Family; 1] {
    let mut sessions = Family::gauge(
        "pg_sessions_by_owner",
        "Sessions of clients by who holds them, once workers report the processes of their \
         connections, or agree in number: worker is one that lives, orphan had one and has none any \
         more, stranger is what no worker reported, from an age of 10 s on.",
    );
    for database in databases {
        let server = [("server", database.name.as_str())];
        for group in database.session_owners.iter().flat_map(|owners| &owners.groups) {
            let mut labels = if databases.len() > 1 { server.to_vec() } else { Vec::new() };
            labels.extend([
                ("owner", group.owner.as_str()),
                ("application_name", group.application.as_str()),
                ("client_addr", group.address.as_str()),
            ]);
            sessions.sample(&labels, group.sessions as f64);
        }
    }
    [sessions]
}
