//! The servers with an elected leader: their reading begins and ends with the leadership of this
//! poolwatch.

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
        for database in &self.databases {
            let (name, Some(leads)) = (database.name(), database.leads()) else { continue };
            let tasks = self.tasks.iter_mut().filter(|task| task.is_read_by_leader(name));
            match self.servers.lead(name, leads) {
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
                    self.advisor.forget();
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
