//! `docs/metrics.md` says what the code says. `POOLWATCH_WRITE_DOCS=1` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test ends at what goes wrong")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use poolwatch::collectors::{self, Collector, Pace, Scope, Table};
use poolwatch::exposition::{pools, self_metrics, session_owners};
use poolwatch::metric::{Family, Kind};
use poolwatch::sources::collector::statement_texts;
use poolwatch::sources::pgbouncer::Pgbouncer;
use poolwatch::sources::{own_connections, server_log, workers};
use poolwatch::state::Role;

const INTRODUCTION: &str = "# Metrics

Written from the code by a test; `POOLWATCH_WRITE_DOCS=1 cargo test metrics_document` writes it again.

A figure that cannot be read is absent, never 0. With several servers each series of the server
also carries `server`. Families from `postgres_exporter` keep its names; where the values differ,
`compatibility.md` says how.
";

const POOLS: &str = "
The labels of `db_pool_info` are `pool`, `source`, `host`, `port`, `database` and `role`; a pool of which no target is known has the first two.
`pg_server_info` has the same `host` and `port`, `address` and `system_identifier`: [topology.md](topology.md) joins them.
";

const SERVER: &str = "
## The server

Each collector is switched by `collectors.NAME.enabled` or `--[no-]collector.NAME` and read as often
as `collectors.NAME.interval` says, else at the pace given here. Of a bounded collector the rows with
the most activity are shown, `collectors.NAME.limit` of them, and the others summed under `other`;
`poolwatch_series_dropped_total` counts those as `summed`. Settings of the server are families of
their own, `pg_settings_NAME`, with `_seconds` or `_bytes` where they have a unit.
";

const PGBOUNCER: &str = "
Read from `pools.NAME.pgbouncer`, beside the pool's own `db_pool_*`. Of several PgBouncers each series
carries `pgbouncer`, the pool's name. A figure that PgBouncer's version has not is left out;
`pgbouncer_process_*` needs `pid_file` and is read every 15 seconds. [compatibility.md](compatibility.md#in-place-of-pgbouncer_exporter)
says how they compare with `pgbouncer_exporter`.
";

const TEXTS: &str = "
Off by default: `collectors.stat_statements.include_query` or `--collector.stat_statements.include_query`
switches it on. Labels: `queryid`; `query`, cut at `query_length` characters.
";

const LOG: &str = "
Read with `logs.path` alone; `server-log.md` says how to switch it on. Labels: `datname`; `class` of
errors; `reason` of cancellations (`statement_timeout`, `lock_timeout`, `user_request`,
`idle_in_transaction_timeout`, `idle_session_timeout`, `transaction_timeout`, `recovery_conflict`,
`terminated`, `autovacuum`, `deadlock`, `canceled` where the log does not say), of refused connections
(`too_many_connections`, `authentication`, `no_such_database`, `not_ready`) and of rejected messages
(`malformed`, `too_long`, `truncated`, `no_statement`, `no_session`, `unknown_database`);
`locktype` of waits for locks, as `pg_locks` has it.
";

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    families(&mut text, "Pools", &pools::families(&[]));
    text.push_str(POOLS);
    text.push_str(SERVER);
    for collector in collectors::ALL {
        of_collector(&mut text, collector);
    }
    families(&mut text, "The texts of statements", &[statement_texts()]);
    text.push_str(TEXTS);
    families(&mut text, "The server's log", &server_log::families());
    text.push_str(LOG);
    families(&mut text, "PgBouncer", &Pgbouncer::families());
    text.push_str(PGBOUNCER);
    let own = self_metrics::databases(&[], &[])
        .into_iter()
        .chain(session_owners::families(&[]))
        .chain(self_metrics::sources(&[], self_metrics::DroppedSeries::default()))
        .chain(self_metrics::advice(&[]))
        .chain(self_metrics::reload((true, SystemTime::UNIX_EPOCH)))
        .chain(self_metrics::role(Role::default()))
        .chain(self_metrics::log(0))
        .chain(own_connections::families())
        .chain(workers::families());
    families(
        &mut text,
        "poolwatch itself, and whether its databases answer",
        &own.collect::<Vec<_>>(),
    );
    text
}

fn families(text: &mut String, heading: &str, families: &[Family]) {
    write!(text, "\n## {heading}\n\n| name | kind | meaning |\n| --- | --- | --- |\n").unwrap();
    for family in families {
        let (name, help) = (family.name(), family.help());
        writeln!(text, "| `{name}` | {} | {help} |", kind(family.kind())).unwrap();
    }
}

fn of_collector(text: &mut String, collector: &Collector) {
    let pace = match collector.pace {
        Pace::Activity => "activity",
        Pace::Server => "server",
        Pace::Statements => "statements",
        Pace::Tables => "tables",
        Pace::Slow | Pace::Sizes => "sizes",
    };
    write!(text, "\n### {}\n\n`sampling.{pace}`", collector.name).unwrap();
    text.push_str(if collector.enabled { "" } else { "; off by default" });
    text.push_str(if collector.scope == Scope::Database { "; in each database" } else { "" });
    if let Some(whole) = collector.part_of {
        write!(text, "; off with `{whole}`").unwrap();
    }
    for bound in collector.tables.iter().filter_map(|table| table.bound.as_ref()).take(1) {
        write!(text, "; bounded to {}", bound.limit).unwrap();
    }
    text.push('\n');
    if collector.tables.iter().any(|table| !table.columns.is_empty()) {
        text.push_str(
            "\n| name | kind | labels | from | meaning |\n| --- | --- | --- | --- | --- |\n",
        );
        collector.tables.iter().for_each(|table| rows(text, table));
    }
}

fn rows(text: &mut String, table: &Table) {
    let labels: Vec<_> = table.labels.iter().map(|label| format!("`{label}`")).collect();
    let oldest = table.queries.iter().map(|query| query.since).min().unwrap_or(0);
    for column in table.columns {
        let (name, labels) = if table.named_by_row {
            (format!("{}_NAME", table.prefix), String::new())
        } else {
            (table.family(column), labels.join(" "))
        };
        let since = since(table, column.since.max(oldest));
        writeln!(
            text,
            "| `{name}` | {} | {labels} | {since} | {} |",
            kind(column.kind),
            column.help
        )
        .unwrap();
    }
}

/// Versions that every supported server has go without saying.
fn since(table: &Table, version: u32) -> String {
    match table.extension {
        Some(extension) => format!("`{extension}` {}.{}", version / 100, version % 100),
        None if version > 13 => version.to_string(),
        None => String::new(),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Histogram => "histogram",
    }
}

#[test]
fn the_document_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let document = document();
    if std::env::var_os("POOLWATCH_WRITE_DOCS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "stale: POOLWATCH_WRITE_DOCS=1 cargo test metrics_document");
}
