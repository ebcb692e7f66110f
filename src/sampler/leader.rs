//! The servers with an elected leader: their reading begins and ends with the leadership of this
//! poolwatch.

use std::collections::HashSet;
use std::sync::Arc;

use tracing::{info, warn};

use super::Sampler;
use super::servers::Leadership;
use super::task::SourceTask;
use crate::postgres::Database;

/// Returns true if a leader reads the server, and this poolwatch is not the one.
pub(super) fn is_anothers(databases: &[Arc<Database>], server: Option<&str>) -> bool {
    let database = databases.iter().find(|database| Some(database.name()) == server);
    database.is_some_and(|database| database.leads() == Some(false))
}

/// The subjects of advice that are of one server: its things, and pools that nothing else shows.
struct ServerSubjects<'a> {
    server: &'a str,
    /// Set where no other server is read.
    is_only: bool,
    own_pools: HashSet<&'a str>,
    other_pools: HashSet<&'a str>,
}

impl<'a> ServerSubjects<'a> {
    fn new(tasks: &'a [SourceTask], server: &'a str, is_only: bool) -> Self {
        let (own, other): (Vec<_>, Vec<_>) =
            tasks.iter().partition(|task| task.is_read_by_leader(server));
        Self { server, is_only, own_pools: pools(&own), other_pools: pools(&other) }
    }

    fn contains(&self, subject: &str) -> bool {
        let within = || subject.strip_prefix(self.server);
        let is_of_server = || {
            self.is_only || within().is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !self.other_pools.contains(subject) && (self.own_pools.contains(subject) || is_of_server())
    }
}

fn pools<'a>(tasks: &[&'a SourceTask]) -> HashSet<&'a str> {
    let readings = tasks.iter().filter_map(|task| task.last.as_ref());
    readings.flat_map(|reading| &reading.pools).map(|pool| pool.name.as_str()).collect()
}

impl Sampler {
    /// Gives up the leadership of servers that are no more read, or at another place; a reading that is
    /// still under way would keep it.
    pub(super) fn release_leaderships(&self, databases: &[Arc<Database>]) {
        for database in self.databases.iter().filter(|database| database.leads().is_some()) {
            if !databases.iter().any(|other| database.shares_leadership(other)) {
                let database = Arc::clone(database);
                tokio::spawn(async move { database.release_leadership().await });
            }
        }
    }

    /// Takes in where this poolwatch leads now; returns true if anything is to be shown otherwise.
    pub(super) fn follow_leaders(&mut self) -> bool {
        let mut is_changed = false;
        let is_only = self.databases.len() == 1;
        for database in &self.databases {
            let (name, Some(leads)) = (database.name(), database.leads()) else { continue };
            let leadership = self.servers.lead(name, leads);
            if leadership == Leadership::Ended {
                let subjects = ServerSubjects::new(&self.tasks, name, is_only);
                self.advisor.forget(name, |subject| subjects.contains(subject));
            }
            let tasks = self.tasks.iter_mut().filter(|task| task.is_read_by_leader(name));
            match leadership {
                Leadership::Began => {
                    info!(server = name, "this poolwatch leads now, and reads the server");
                    tasks.for_each(SourceTask::read_anew);
                    is_changed = true;
                }
                Leadership::Ended => {
                    warn!(
                        server = name,
                        "this poolwatch leads no more, and reads nothing of the server"
                    );
                    tasks.for_each(SourceTask::stand_by);
                    is_changed = true;
                    let database = Arc::clone(database);
                    tokio::spawn(async move { database.close_connections().await });
                }
                Leadership::StoodBy => {
                    info!(server = name, "this poolwatch does not lead: it stands by");
                    tasks.for_each(SourceTask::stand_by);
                    is_changed = true;
                }
                Leadership::Same => {}
            }
        }
        is_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_of_the_server_is_forgotten() {
        let of_one_of_two = ServerSubjects {
            server: "primary",
            is_only: false,
            own_pools: ["inferred"].into(),
            other_pools: ["web"].into(),
        };
        for subject in ["primary", "primary/orders", "inferred"] {
            assert!(of_one_of_two.contains(subject), "{subject}");
        }
        for subject in ["primary2", "primary2/orders", "other/orders", "web", "orders"] {
            assert!(!of_one_of_two.contains(subject), "{subject}");
        }
        let of_only = ServerSubjects { is_only: true, ..of_one_of_two };
        assert!(of_only.contains("orders") && !of_only.contains("web"));
    }
}
