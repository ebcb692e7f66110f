//! Takes in a reading or its failure, and what that shows of the server.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::servers::{News, Servers, without_session};
use super::task::SourceTask;
use super::{READ_TIMEOUT, Sampler, chain, leader};
use crate::postgres::{has_undecodable_text, session_failure};
use crate::reading::Reading;
use crate::sources::{Failure, Source};

/// A reading that came, or did not.
pub(super) struct ReadOutcome {
    id: u64,
    source: Source,
    result: Result<Reading, Failure>,
    elapsed: Duration,
}

impl Sampler {
    pub(super) fn absorb(&mut self, outcome: ReadOutcome) {
        // A reload may have taken the source away while it was read.
        let Some(task) = self.tasks.iter_mut().find(|task| task.id == outcome.id) else {
            return;
        };
        task.source = Some(outcome.source);
        let is_anothers = leader::is_anothers(&self.databases, task.database.as_deref());
        if is_anothers && !task.is_probe() {
            // This poolwatch led when the reading began.
            return;
        }
        let server = task.server().map(str::to_owned);
        let news = server.as_deref().and_then(|server| {
            observe_server(&mut self.servers, task, server, outcome.result.as_ref())
        });
        let quiet = !task.is_probe()
            && (task.server().is_some_and(|server| !self.servers.answers(server))
                || outcome
                    .result
                    .as_ref()
                    .is_err_and(|failure| without_session(&**failure).is_some()));
        let undecodable = is_undecodable(&outcome.result);
        if let Ok(reading) = &outcome.result {
            self.recent_pools.size(&reading.pools, Instant::now().into_std());
        }
        let probe = task.absorb(outcome.result, outcome.elapsed, quiet);
        let database = task.database.as_deref();
        let index = self.databases.iter().position(|one| Some(one.name()) == database);
        if undecodable && index.is_some_and(|index| self.databases[index].take_texts_as_stored()) {
            let of_server = |other: &&mut SourceTask| other.server() == server.as_deref();
            self.tasks.iter_mut().filter(of_server).for_each(SourceTask::read_anew);
        }
        if let (Some(elapsed), Some(index)) = (probe, index) {
            self.probes[index].observe(elapsed.as_secs_f64());
        }
        if let Some((server, news)) = server.zip(news).filter(|_| !is_anothers) {
            self.handle_news(&server, news);
        }
    }

    /// Logs what a probe says of its server; one that answers again is read anew at once.
    fn handle_news(&mut self, server: &str, news: News) {
        match news {
            News::Refuses(error) => {
                let sources = self.tasks.iter().filter(|task| task.server() == Some(server));
                let sources = sources.count();
                warn!(
                    server,
                    sources, error, "the server gives no new session; those that are kept serve"
                );
            }
            News::AnswersAgain => {
                info!(server, "the server answers again; everything is read again");
                let of_server = |task: &&mut SourceTask| task.server() == Some(server);
                self.tasks.iter_mut().filter(of_server).for_each(SourceTask::read_anew);
            }
        }
    }

    /// Shows nothing any more of the servers that do not answer; returns true if there were any.
    pub(super) fn drop_silent(&mut self) -> bool {
        let silent = self.servers.fallen_silent();
        for server in &silent {
            if leader::is_anothers(&self.databases, Some(server.as_str())) {
                continue;
            }
            let of_server = |task: &&mut SourceTask| task.server() == Some(server);
            let silent = self.tasks.iter_mut().filter(of_server).map(SourceTask::fall_silent);
            let sources = silent.count();
            info!(server, sources, "no figures of the server are shown until it answers");
        }
        !silent.is_empty()
    }
}

/// Returns true if a reading failed, in part or as a whole, for a text in a foreign encoding.
fn is_undecodable(result: &Result<Reading, Failure>) -> bool {
    let failure = match result {
        Ok(reading) => reading.trouble.as_ref(),
        Err(failure) => Some(failure),
    };
    failure.is_some_and(|failure| has_undecodable_text(&**failure))
}

/// The answer of a server, as a reading of it or a failure shows it.
fn observe_server(
    servers: &mut Servers,
    task: &SourceTask,
    server: &str,
    result: Result<&Reading, &Failure>,
) -> Option<News> {
    match result {
        _ if task.is_probe() => return servers.probed(server, result.is_ok()),
        Ok(reading) if reading.is_of_server() => servers.read(server),
        Err(failure) => {
            if let Some(reason) = without_session(&**failure) {
                servers.had_no_session(server, chain(reason), session_failure(reason));
            }
        }
        _ => {}
    }
    None
}

pub(super) async fn read(id: u64, mut source: Source) -> ReadOutcome {
    let began = Instant::now();
    let result = timeout(READ_TIMEOUT, source.read_caught())
        .await
        .unwrap_or_else(|_| Err(format!("not read within {} s", READ_TIMEOUT.as_secs()).into()));
    ReadOutcome { id, source, result, elapsed: began.elapsed() }
}
