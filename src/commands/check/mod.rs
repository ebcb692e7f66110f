//! Reads every source once and says what works, what does not, and what to do.

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
use crate::postgres::{Database, has_undecodable_text};
use crate::reading::{Origin, Reading};
use crate::sampler::chain;
use crate::sources::{Failure as Unread, workers};
use report::AdviceReport;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Format of the output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// The result for one source.
#[derive(Debug, Serialize)]
struct Line {
    source: String,
    #[serde(rename = "verdict")]
    rating: Rating,
    message: String,
}

pub(super) fn main(config: &Config, arguments: &Arguments) -> Result<(), CommandError> {
    let plan = plan(config)?;
    config.warnings().iter().for_each(|warning| warn(warning));
    let (lines, opinion) = runtime()?.block_on(check(config, plan));
    print(&match arguments.format {
        OutputFormat::Json => {
            format!("{}\n", serde_json::json!({ "sources": lines, "opinion": opinion }))
        }
        OutputFormat::Text => {
            let terminal = std::io::stdout().is_terminal();
            format!(
                "as {}:
{}{}",
                myself(),
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
    if databases.is_empty() {
        lines.push(Line {
            source: "servers".to_owned(),
            rating: Rating::Doubtful,
            message: "none is named; set DATABASE_URL=postgresql://user@host/database".to_owned(),
        });
    }
    let mut readings = Vec::new();
    let mut unreachable = Vec::new();
    for database in &databases {
        match privileges::inspect(database).await {
            Ok(found) => lines.extend(found),
            Err(pooler) => {
                let server = format!("{}/", database.name());
                lines.push(Line {
                    source: format!("{server}address"),
                    rating: Rating::Bad,
                    message: pooler.to_string(),
                });
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
                lines.push(excuse(source, &error, reads));
            }
        }
    }
    // What cannot be there stands apart, after the rest.
    lines.sort_by_key(|line| line.rating == Rating::Absent);
    (lines, daemon.unwrap_or_else(|| AdviceReport::from_readings(config, &readings)))
}

/// Reads once; where texts are in a foreign encoding, again as they are stored.
async fn read_once(spec: SourceSpec, databases: &[Arc<Database>]) -> Result<Reading, Unread> {
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
fn excuse(source: String, error: &Unread, daemon_reads: bool) -> Line {
    match error.downcast_ref::<workers::Error>() {
        Some(workers::Error::Nowhere(_)) if !daemon_reads => {
            Line { source, rating: Rating::Doubtful, message: chain(&**error) }
        }
        Some(workers::Error::Taken(path)) => {
            let message = format!("a running poolwatch listens at {}", path.display());
            Line { source, rating: Rating::Good, message }
        }
        _ if daemon_reads => {
            let (me, why) = (myself(), chain(&**error));
            let message =
                format!("the running poolwatch reads it; as {me} it cannot be read: {why}");
            Line { source, rating: Rating::Good, message }
        }
        _ => Line { source, rating: Rating::Bad, message: with_remedy(chain(&**error)) },
    }
}

/// A password that is missing or wrong is told by the server, which cannot say where to put the right one.
fn with_remedy(error: String) -> String {
    if error.contains("password authentication failed") || error.contains("no password supplied") {
        // Where in the server's own source it says so is of no use here.
        let (error, _) = error.split_once(" at line ").unwrap_or((&error, ""));
        return error.to_owned()
            + ": put the role's password into the URL (postgresql://role:password@host/database), \
               into password_file in the settings, or into ~/.pgpass";
    }
    error
}

/// The user that this command runs as.
fn myself() -> String {
    let uid = nix::unistd::Uid::effective();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

fn judge(source: &str, reading: &Reading) -> Vec<Line> {
    let line = |rating, message| Line { source: source.to_owned(), rating, message };
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
    let row = |Line { source, rating, message }: &Line| {
        let sign = rating.shown(terminal);
        format!("{sign} {source:width$}  {message}\n")
    };
    lines.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned_and_only_a_terminal_gets_colour() {
        let line =
            |source: &str, rating| Line { source: source.into(), rating, message: "x".into() };
        let lines = [line("a", Rating::Good), line("long", Rating::Bad)];
        assert_eq!(table(&lines, false), "✓ a     x\n✗ long  x\n");
        assert!(table(&lines, true).contains("\x1b[31m✗"));
    }
}
