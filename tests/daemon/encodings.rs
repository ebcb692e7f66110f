//! Databases in other encodings than UTF8: some that the server converts, one that it cannot, and
//! names that are in no encoding.

use poolwatch::demo::Cluster;

use crate::support::{Daemon, eventually};

/// Databases by encoding, each with the name of a table: one that can be converted to UTF8, one
/// that cannot, and as it is shown.
const DATABASES: [(&str, &str, &str, &str); 3] = [
    ("WIN1252", r"caf\xe9", r"odd\x81", "odd\u{fffd}"),
    ("EUC_JP", r"\xa4\xa2", r"odd\xa9\xa1", "odd\u{fffd}\u{fffd}"),
    ("MULE_INTERNAL", "plain", r"odd\x81\xe9", "odd\u{fffd}\u{fffd}"),
];

fn cluster(has_odd_names: bool) -> Cluster {
    let builder = Cluster::builder().setting("shared_preload_libraries", "pg_stat_statements");
    let cluster = builder.start().unwrap();
    cluster.sql("CREATE ROLE watch LOGIN; GRANT pg_monitor TO watch").unwrap();
    for (encoding, plain, odd, _) in DATABASES {
        let database = encoding.to_lowercase();
        let create = format!(
            "CREATE DATABASE {database} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
        );
        cluster.sql(&create).unwrap();
        cluster.sql_in(&database, "CREATE EXTENSION pg_stat_statements").unwrap();
        let names = if has_odd_names { vec![plain, odd] } else { vec![plain] };
        for name in names {
            for statement in [
                format!(r#"CREATE TABLE "{name}" ("{name}" serial PRIMARY KEY)"#),
                format!(r#"INSERT INTO "{name}" SELECT FROM generate_series(1, 100)"#),
                format!(r#"ANALYZE "{name}""#),
            ] {
                cluster.sql_in(&database, &format!(r"SELECT E'{statement}' \gexec")).unwrap();
            }
        }
    }
    cluster
}

/// Waits for the rows of a table of this database, and for no source to be down.
fn read(daemon: &Daemon, database: &str, table: &str) {
    let labels = [("datname", database), ("relname", table)];
    eventually(|| {
        let metrics = daemon.metrics();
        let rows = metrics.all("pg_stat_user_tables_n_live_tup", &labels).next();
        let timed = [("source", "primary/statement_durations")];
        let mut timed = metrics.all("poolwatch_source_last_success_timestamp_seconds", &timed);
        let mut down = metrics.all("poolwatch_source_up", &[]).filter(|one| one.value == 0.0);
        rows.is_some_and(|rows| rows.value == 100.0)
            && timed.next().is_some()
            && down.next().is_none()
    });
}

fn settings(cluster: &Cluster, database: &str) -> String {
    format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
         sampling: {{server: 1s, tables: 1s, statements: 1s}}\n",
        cluster.url_as("watch", database)
    )
}

#[test]
fn a_database_in_another_encoding_is_read() {
    let cluster = cluster(true);
    for (encoding, _, _, shown) in DATABASES {
        let database = encoding.to_lowercase();
        let daemon = Daemon::with_settings(&settings(&cluster, &database)).start();
        let metrics = daemon.metrics();
        eventually(|| daemon.metrics().all("pg_stat_user_tables_n_live_tup", &[]).next().is_some());
        drop(metrics);
        read(&daemon, &database, shown);
    }
}

#[test]
fn databases_in_other_encodings_are_visited() {
    for (has_odd_names, [win1252, euc_jp, mule]) in
        [(false, ["café", "あ", "plain"]), (true, DATABASES.map(|(_, _, _, shown)| shown))]
    {
        let cluster = cluster(has_odd_names);
        let daemon = Daemon::with_settings(&settings(&cluster, "postgres")).start();
        read(&daemon, "win1252", win1252);
        read(&daemon, "euc_jp", euc_jp);
        read(&daemon, "mule_internal", mule);
    }
}

#[test]
fn a_database_that_cannot_be_converted_is_refused_once_and_then_asked_as_it_is() {
    let cluster = cluster(false);
    let daemon = Daemon::with_settings(&settings(&cluster, "mule_internal")).start();
    read(&daemon, "mule_internal", "plain");
    let refused = cluster.log().matches("FATAL:  conversion between").count();
    assert_eq!(refused, 1, "{}", cluster.log());
}
