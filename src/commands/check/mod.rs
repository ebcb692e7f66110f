//! Reads every source once and says what works, what does not, and what to do.

mod leader;
mod privileges;
mod report;

use std::io::IsTerminal;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::output::{print, warn};
use super::rating::{OutputFormat, Rating};
use super::{CommandError, plan, runtime};
use crate::config::Config;
use crate::plan::{Plan, SourceSpec};
use crate::postgres::{Database, has_undecodable_text, remedy};
use crate::reading::{Origin, Reading};
use crate::sampler::chain;
use crate::sources::{Failure, workers};
use crate::state::Role;
use report::AdviceReport;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Format of the output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// The result for one source.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Line {
    source: String,
    #[serde(rename = "verdict")]
    rating: Rating,
    message: String,
    /// The thing to do, where the message does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Line {
    fn new(source: impl Into<String>, rating: Rating, message: impl Into<String>) -> Self {
        Self { source: source.into(), rating, message: message.into(), remedy: None }
    }
}

/// The answer as JSON.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Answer<'a> {
    summary: Summary,
    /// What needs attention first.
    sources: &'a [Line],
    opinion: &'a AdviceReport,
}

/// The number of lines of each rating.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Summary {
    bad: usize,
    doubtful: usize,
    good: usize,
    absent: usize,
}

impl Summary {
    fn new(lines: &[Line]) -> Self {
        let count = |rating| lines.iter().filter(|line| line.rating == rating).count();
        Self {
            bad: count(Rating::Bad),
            doubtful: count(Rating::Doubtful),
            good: count(Rating::Good),
            absent: count(Rating::Absent),
        }
    }

    /// Such as "1 does not work, 2 need attention, 40 work".
    fn text(&self) -> String {
        let verb = |count, one: &str, several: &str| {
            format!("{count} {}", if count == 1 { one } else { several })
        };
        let parts = [
            (self.bad, "does not work", "do not work"),
            (self.doubtful, "needs attention", "need attention"),
            (self.good, "works", "work"),
            (self.absent, "is not to be had here", "are not to be had here"),
        ];
        let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
        let parts: Vec<_> = parts.map(|(count, one, more)| verb(count, one, more)).collect();
        parts.join(", ")
    }
}

pub(super) fn main(config: &Config, arguments: &Arguments) -> Result<(), CommandError> {
    // What is read is the same for whoever leads; the lock stays with the leader.
    let mut read = config.clone();
    read.servers.values_mut().for_each(|server| server.leader_election = false);
    let plan = plan(&read)?;
    config.warnings().iter().for_each(|warning| warn(warning));
    let (lines, opinion) = runtime()?.block_on(check(config, plan));
    print(&match arguments.format {
        OutputFormat::Json => {
            let (summary, sources) = (Summary::new(&lines), &*lines);
            let answer = Answer { summary, sources, opinion: &opinion };
            let text = serde_json::to_string(&answer).expect("the answer has string keys");
            text + "\n"
        }
        OutputFormat::Text => {
            let terminal = std::io::stdout().is_terminal();
            format!(
                "as {}: {}\n{}{}",
                myself(),
                Summary::new(&lines).text(),
                table(&lines, terminal),
                opinion.text(terminal)
            )
        }
    })?;
    let bad = lines.iter().any(|line| line.rating == Rating::Bad);
    if bad { Err(CommandError::AlreadyReported) } else { Ok(()) }
}

async fn check(config: &Config, plan: Plan) -> (Vec<Line>, AdviceReport) {
    let mut lines = Vec::new();
    let daemon = AdviceReport::from_daemon(config).await;
    let databases = plan.databases();
    if config.role == Role::Sidecar {
        let message = "none: a sidecar opens no connection to a database";
        lines.push(Line::new("servers", Rating::Good, message));
    } else if databases.is_empty() {
        let message = "none is named; set DATABASE_URL=postgresql://user@host/database";
        lines.push(Line::new("servers", Rating::Doubtful, message));
    }
    let mut readings = Vec::new();
    let mut unreachable = Vec::new();
    for database in &databases {
        match privileges::inspect(database).await {
            Ok(found) => {
                lines.extend(found);
                if config.servers.get(database.name()).is_some_and(|server| server.leader_election)
                {
                    lines.extend(leader::inspect(database).await);
                }
            }
            Err(pooler) => {
                let server = format!("{}/", database.name());
                let message = pooler.to_string();
                lines.push(Line::new(format!("{server}address"), Rating::Bad, message));
                unreachable.push(server);
            }
        }
    }
    for spec in plan.sources {
        let source = spec.identity().name.clone();
        if unreachable.iter().any(|server| source.starts_with(server)) {
            continue;
        }
        match read_once(spec, &databases).await {
            Ok(reading) => {
                lines.extend(judge(&source, &reading));
                readings.push(reading);
            }
            Err(error) => {
                // The first that is read of a database: without it nothing else of it can be.
                unreachable.extend(source.strip_suffix("probe").map(str::to_owned));
                let reads = daemon.as_ref().is_some_and(|daemon| daemon.reads(&source));
                let line = excuse(source, &error, reads);
                lines.push(with_address(line, &databases));
            }
        }
    }
    // What is wrong first; what cannot be there stands apart, after the rest.
    lines.sort_by_key(|line| line.rating);
    (lines, daemon.unwrap_or_else(|| AdviceReport::from_readings(config, &readings)))
}

/// Reads once; where texts are in a foreign encoding, again as they are stored.
async fn read_once(spec: SourceSpec, databases: &[Arc<Database>]) -> Result<Reading, Failure> {
    let mut open = spec.open()?;
    let read = open.source.read_caught().await;
    let failure = match &read {
        Ok(reading) => reading.trouble.as_ref(),
        Err(failure) => Some(failure),
    };
    let is_foreign = failure.is_some_and(|failure| has_undecodable_text(&**failure));
    let asked = databases.iter().find(|database| Some(database.name()) == open.database.as_deref());
    match asked {
        Some(database) if is_foreign && database.take_texts_as_stored() => {
            open.source.read_caught().await
        }
        _ => read,
    }
}

/// The line for what could not be read. What a running daemon reads is as it should be, though this command, as another user or
/// without what the daemon's unit was given, cannot read it; and so is a socket that one listens on.
fn excuse(source: String, error: &Failure, daemon_reads: bool) -> Line {
    match error.downcast_ref::<workers::Error>() {
        Some(workers::Error::Nowhere(_)) if !daemon_reads => {
            Line::new(source, Rating::Doubtful, chain(&**error))
        }
        Some(workers::Error::Taken(path)) => {
            let message = format!("a running poolwatch listens at {}", path.display());
            Line::new(source, Rating::Good, message)
        }
        _ if daemon_reads => {
            let (me, why) = (myself(), chain(&**error));
            let message =
                format!("the running poolwatch reads it; as {me} it cannot be read: {why}");
            Line::new(source, Rating::Good, message)
        }
        _ => Line { remedy: remedy(&**error), ..Line::new(source, Rating::Bad, chain(&**error)) },
    }
}

/// The line with the role, the place and the database, where a server gives no session.
fn with_address(line: Line, databases: &[Arc<Database>]) -> Line {
    let server = line.source.strip_suffix("/probe").filter(|_| line.rating == Rating::Bad);
    let database = databases.iter().find(|database| Some(database.name()) == server);
    match database {
        Some(database) => {
            let message = format!("{}: {}", database.address(), line.message);
            Line { message, ..line }
        }
        None => line,
    }
}

/// The user that this command runs as.
fn myself() -> String {
    let uid = nix::unistd::Uid::effective();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

fn judge(source: &str, reading: &Reading) -> Vec<Line> {
    let line = |rating, message: String| Line::new(source, rating, message);
    let seen = match &reading.trouble {
        Some(trouble) => line(Rating::Bad, format!("in part: {}", chain(&**trouble))),
        None => match &reading.absent {
            Some(absent) => line(Rating::Absent, absent.clone()),
            None => line(Rating::Good, summary(reading)),
        },
    };
    let sizeless = reading
        .pools
        .iter()
        .filter(|pool| pool.origin == Origin::Activity)
        .filter(|pool| pool.workers.iter().all(|worker| worker.figures.capacity().is_none()))
        .map(|pool| {
            let name = &pool.name;
            let message = format!(
                "the pool `{name}` has no utilization, for its size is not known: set \
                 pools.{name}.activity.size, .max_overflow and .workers, or let the workers report"
            );
            line(Rating::Doubtful, message)
        });
    // What the line about rights says already, with the setting too.
    let is_extension = |hint: &&String| hint.contains("CREATE EXTENSION pg_stat_statements");
    let hints = reading.hints.iter().filter(|hint| !is_extension(hint));
    let hints = hints.map(|hint| line(Rating::Doubtful, hint.clone()));
    [seen].into_iter().chain(hints).chain(sizeless).collect()
}

fn summary(reading: &Reading) -> String {
    let mut parts: Vec<_> = reading.note.iter().cloned().collect();
    if let Some(probe) = reading.probe {
        parts.push(format!("answers in {:.1} ms", 1000.0 * probe.as_secs_f64()));
    }
    if let Some(sessions) = &reading.sessions {
        parts.push(format!("{} sessions", sessions.connections));
    }
    for pool in &reading.pools {
        let count = |f: fn(&crate::reading::Figures) -> Option<u64>| {
            pool.workers.iter().filter_map(|worker| f(&worker.figures)).sum::<u64>()
        };
        let (taken, resting) = (count(|f| f.checked_out), count(|f| f.checked_in));
        parts.push(format!("pool `{}`: {taken} checked out, {resting} checked in", pool.name));
    }
    let series: usize = reading.families.iter().map(crate::metric::Family::len).sum();
    if series > 0 {
        parts.push(format!("{series} series"));
    }
    if parts.is_empty() { "nothing to see yet".to_owned() } else { parts.join(", ") }
}

fn table(lines: &[Line], terminal: bool) -> String {
    let width = lines.iter().map(|line| line.source.chars().count()).max().unwrap_or(0);
    let row = |Line { source, rating, message, remedy }: &Line| {
        let sign = rating.shown(terminal);
        let remedy = remedy.iter().map(|remedy| format!("  → {remedy}\n"));
        format!("{sign} {source:width$}  {message}\n") + &remedy.collect::<String>()
    };
    lines.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_made_from_the_types() {
        let schema = crate::schemas::schema::<Answer<'static>>();
        crate::schemas::holds("check.schema.json", &schema);
    }

    #[test]
    fn lines_are_aligned_and_only_a_terminal_gets_colour() {
        let bad = Line { remedy: Some("y".into()), ..Line::new("long", Rating::Bad, "x") };
        let lines = [Line::new("a", Rating::Good, "x"), bad];
        assert_eq!(table(&lines, false), "✓ a     x\n✗ long  x\n  → y\n");
        assert_eq!(Summary::new(&lines).text(), "1 does not work, 1 works");
        assert!(table(&lines, true).contains("\x1b[31m✗"));
    }
}
