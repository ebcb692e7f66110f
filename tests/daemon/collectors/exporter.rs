//! What `postgres_exporter` shows of a busy server is here, by family, kind and labels.

use std::path::Path;
use std::thread;

use crate::support::exporter::{self, Exporter};
use crate::support::{Daemon, version};

use super::busy_servers::BusyServers;

/// The exporter waits for a table that is locked, and then its whole scrape does.
const IMPATIENT: (&str, &str) = ("PGOPTIONS", "-c lock_timeout=100ms");

/// What poolwatch lacks on the primary and its replica.
pub(super) fn missing(busy: &BusyServers) -> Vec<String> {
    let servers = [("primary", busy.primary.url("app")), ("replica", busy.replica.url("app"))];
    let mut missing = Vec::new();
    exporter::each(|program| {
        // What Debian 12 has is compared on a server at rest, and knows little of these.
        if version(program).starts_with("0.11") {
            return;
        }
        thread::scope(|scope| {
            let compared = servers
                .each_ref()
                .map(|(what, url)| (what, scope.spawn(move || missing_of(program, url))));
            for (what, compared) in compared {
                let wrong = compared.join().unwrap().into_iter();
                missing
                    .extend(wrong.map(|one| format!("beside the exporter on the {what}: {one}")));
            }
        });
    });
    missing
}

fn missing_of(program: &Path, url: &str) -> Vec<String> {
    let url = format!("{url}&sslmode=disable");
    let source = ("DATA_SOURCE_NAME", url.as_str());
    let flags = exporter::everything_on(program);
    let exporter = Exporter::start(program, &[source, IMPATIENT], &flags);
    let flags = exporter::of_daemon(&flags);
    let builder = Daemon::with_settings("sampling: {server: 1s, statements: 1s, tables: 1s}");
    let builder = builder.variable(source.0, source.1);
    let daemon = flags.iter().fold(builder, |builder, flag| builder.argument(flag)).start();
    exporter.differences(&daemon, false)
}
