//! What cannot be seen: the reason and the remedy are told, and nothing else is lost by it.

use poolwatch::demo::Cluster;

use crate::check::{NOBODY, check};
use crate::collectors::servers;
use crate::support::{Daemon, eventually};

/// With the documented role.
fn settings(cluster: &Cluster, database: &str) -> String {
    format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n",
        cluster.url_as("watch", database)
    )
}

const ROLE: &str = "CREATE ROLE watch LOGIN CONNECTION LIMIT 5; GRANT pg_monitor TO watch";

fn check_output(cluster: &Cluster, database: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    check(&settings(cluster, database), folder.path(), &[NOBODY]).1
}

/// The lines of `check` that are about a source.
fn lines(text: &str, source: &str) -> String {
    let of_source = text.lines().filter(|line| line.split_whitespace().nth(1) == Some(source));
    of_source.collect::<Vec<_>>().join("\n")
}

#[test]
fn sequences_are_read_or_the_grant_is_named_on_every_version() {
    for (major, binaries) in servers::all() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        cluster.sql(ROLE).unwrap();
        cluster.sql("
            CREATE SCHEMA \"Other\"; CREATE SEQUENCE \"Other\".one;
            CREATE TABLE small (id smallserial);
            CREATE SEQUENCE wide; CREATE TABLE fed (id int DEFAULT nextval('wide'));
            CREATE SEQUENCE down INCREMENT -1 MINVALUE -100 MAXVALUE -1;
            CREATE SEQUENCE shifted MINVALUE 1000 MAXVALUE 1999;
            CREATE SEQUENCE negative MINVALUE -100 MAXVALUE -1;
            CREATE SEQUENCE beyond MINVALUE 100000; CREATE TABLE fed_too (id smallint DEFAULT nextval('beyond'));
            CREATE DOMAIN inner_type AS smallint; CREATE DOMAIN outer_type AS inner_type;
            CREATE SEQUENCE nested; CREATE TABLE fed_by_domain (id outer_type DEFAULT nextval('nested'));
            CREATE DOMAIN digits AS numeric(6, 2);
            CREATE SEQUENCE decimal; CREATE TABLE fed_decimal (id numeric(4), too digits DEFAULT nextval('decimal'));
            CREATE SEQUENCE strides INCREMENT 60 MAXVALUE 100;
            CREATE SEQUENCE whole MINVALUE -9223372036854775808; CREATE SEQUENCE unused").unwrap();
        cluster.sql("
            SELECT nextval('\"Other\".one'), setval('small_id_seq', 16384), setval('wide', 1073741824),
                   setval('down', -50), setval('shifted', 1499), setval('negative', -51),
                   nextval('beyond'), nextval('whole'), setval('nested', 16384),
                   setval('decimal', 5000), setval('strides', 61)").unwrap();
        let text = check_output(&cluster, "postgres");
        let report = lines(&text, "primary/sequences");
        let grant = "GRANT SELECT ON ALL SEQUENCES IN SCHEMA \"Other\", public TO watch";
        assert!(report.contains(grant) && report.contains('!'), "PostgreSQL {major}: {text}");
        cluster.sql(grant).unwrap();
        let text = check_output(&cluster, "postgres");
        let report = lines(&text, "primary/sequences");
        assert!(
            report.starts_with('✓') && !report.contains("GRANT"),
            "PostgreSQL {major}: {report}"
        );
        let daemon = Daemon::with_settings(&settings(&cluster, "postgres")).start();
        let used = |name: &str| daemon.value("pg_sequence_used_ratio", &[("sequencename", name)]);
        eventually(|| used("one"));
        for (name, share) in [
            ("small_id_seq", 0.5),
            ("wide", 0.5),
            ("down", 0.5),
            ("shifted", 0.5),
            ("negative", 0.5),
            ("beyond", 1.0),
            ("whole", 0.0),
            ("nested", 0.5),
            ("decimal", 0.5),
            ("strides", 1.0),
        ] {
            let used = used(name).unwrap();
            assert!((used - share).abs() < 0.001, "PostgreSQL {major}, {name}: {used}");
        }
        assert_eq!(used("unused"), None);
    }
}

#[test]
fn sequences_of_other_databases_are_told_of_too() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(ROLE).unwrap();
    cluster.sql("CREATE DATABASE shop").unwrap();
    cluster.sql_in("shop", "CREATE SEQUENCE numbers; SELECT nextval('numbers')").unwrap();
    let report = lines(&check_output(&cluster, "postgres"), "primary/other_databases");
    let grant = "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO watch";
    assert!(report.contains("database shop: ") && report.contains(grant), "{report}");
    cluster.sql_in("shop", grant).unwrap();
    let report = lines(&check_output(&cluster, "postgres"), "primary/other_databases");
    assert!(!report.contains("GRANT"), "{report}");
}

#[test]
fn the_daemon_says_what_a_source_cannot_see() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(ROLE).unwrap();
    cluster.sql("CREATE SEQUENCE numbers; SELECT nextval('numbers')").unwrap();
    let daemon = Daemon::with_settings(&settings(&cluster, "postgres")).start();
    eventually(|| {
        let page = daemon.get("/health/detailed").json();
        let source = page["sources"].as_array()?.iter().find(|s| s["name"] == "primary/sequences");
        let unseen = source?["unseen"][0].as_str()?;
        unseen.contains("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO watch").then_some(())
    });
}

#[test]
fn settings_that_hide_figures_are_named_and_what_a_version_lacks_stands_apart() {
    for (major, binaries) in servers::all() {
        let mut builder = Cluster::builder().binaries(binaries);
        let mut off = vec!["track_io_timing", "track_counts"];
        if *major >= 14 {
            off.push("compute_query_id");
        }
        for name in &off {
            builder = builder.setting(name, "off");
        }
        let cluster = builder.start().unwrap();
        cluster.sql(ROLE).unwrap();
        cluster.sql("CREATE EXTENSION pg_stat_statements").unwrap();
        let text = check_output(&cluster, "postgres");
        for name in &off {
            let remedy = format!("ALTER SYSTEM SET {name} = ");
            assert!(text.contains(&remedy), "PostgreSQL {major}: no {remedy} in {text}");
        }
        for (source, since) in [("stat_wal", 14), ("stat_io", 16), ("stat_checkpointer", 17)] {
            let line = lines(&text, &format!("primary/{source}"));
            let says = format!("PostgreSQL {major} has no such figures; {since} and later have");
            let apart = line.contains(&says) && line.starts_with('–');
            assert_eq!(apart, *major < since, "PostgreSQL {major}: {line}");
        }
        let signs = text.lines().take_while(|line| !line.is_empty());
        let signs: Vec<_> = signs.filter_map(|line| line.chars().next()).collect();
        let first = signs.iter().position(|sign| *sign == '–').unwrap_or(signs.len());
        assert!(signs[first..].iter().all(|sign| *sign == '–'), "{text}");
    }
}

#[test]
fn the_remedy_is_for_what_is_denied_and_the_words_are_the_servers_own() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(ROLE).unwrap();
    cluster.sql("CREATE SCHEMA apart; CREATE EXTENSION pg_stat_statements SCHEMA apart").unwrap();
    let text = check_output(&cluster, "postgres");
    let report = lines(&text, "primary/stat_statements");
    let schema =
        "GRANT USAGE ON SCHEMA … TO it: the server says: permission denied for schema apart";
    assert!(report.contains(schema) && !report.contains("pg_monitor"), "{text}");
    assert!(!text.contains(" at line "), "{text}");
    cluster.sql("CREATE DATABASE broken").unwrap();
    cluster.sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'broken'").unwrap();
    let text = check_output(&cluster, "broken");
    assert!(
        text.contains("cannot connect to invalid database \"broken\"; hint: Use DROP"),
        "{text}"
    );
}

#[test]
fn databases_that_let_nobody_in_are_passed_over_and_told_once() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(ROLE).unwrap();
    for name in ["broken", "limited", "closed", "private", "open"] {
        cluster.sql(&format!("CREATE DATABASE {name}")).unwrap();
    }
    cluster
        .sql(
            "
        UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'broken';
        ALTER DATABASE limited CONNECTION LIMIT 0;
        UPDATE pg_database SET datallowconn = false WHERE datname = 'closed';
        REVOKE CONNECT ON DATABASE private FROM public",
        )
        .unwrap();
    let report = lines(&check_output(&cluster, "postgres"), "primary/other_databases");
    assert!(report.starts_with('✓'), "{report}");
    for reason in [
        "broken: its DROP DATABASE was interrupted",
        "limited: its CONNECTION LIMIT is 0",
        "closed: it allows no connections",
        "private: GRANT CONNECT ON DATABASE private TO watch",
    ] {
        assert!(report.contains(reason), "{reason}: {report}");
    }
    let often = "collectors: {other_databases: {interval: 1s}}\n";
    let daemon = Daemon::with_settings(&(settings(&cluster, "postgres") + often)).start();
    let source = [("source", "primary/other_databases")];
    let last = || daemon.value("poolwatch_source_last_success_timestamp_seconds", &source);
    let first = eventually(last);
    eventually(|| last() >= Some(first + 3.0));
    let output = daemon.output();
    assert_eq!(output.matches("the database is not visited").count(), 4, "{output}");
    assert!(!output.contains("level=warn"), "{output}");
    assert_eq!(daemon.value("poolwatch_source_up", &source), Some(1.0));
}

#[test]
fn a_database_that_the_servers_rules_refuse_is_asked_for_once() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(ROLE).unwrap();
    for name in ["secret", "open"] {
        cluster.sql(&format!("CREATE DATABASE {name}")).unwrap();
    }
    let rules = cluster.folder().join("data/pg_hba.conf");
    std::fs::write(rules, "local secret watch reject\nlocal all all trust\n").unwrap();
    cluster.sql("SELECT pg_reload_conf()").unwrap();
    // The server reads its rules anew a moment later.
    let report = || lines(&check_output(&cluster, "postgres"), "primary/other_databases");
    let report = eventually(|| Some(report()).filter(|report| report.contains("secret: ")));
    assert!(report.starts_with('✓'), "{report}");
    let often = "collectors: {other_databases: {interval: 1s}}\n";
    let daemon = Daemon::with_settings(&(settings(&cluster, "postgres") + often)).start();
    let source = [("source", "primary/other_databases")];
    let last = || daemon.value("poolwatch_source_last_success_timestamp_seconds", &source);
    let first = eventually(last);
    let refused = || cluster.log().matches("database \"secret\"").count();
    let before = refused();
    cluster.sql_in("secret", "CREATE TABLE busy AS SELECT 1").unwrap();
    eventually(|| last() >= Some(first + 5.0));
    assert_eq!(daemon.value("poolwatch_source_up", &source), Some(1.0));
    assert_eq!(refused(), before, "it was asked for again");
    let output = daemon.output();
    assert_eq!(output.matches("the database is not visited").count(), 1, "{output}");
    assert!(!output.contains("level=warn"), "{output}");
}

#[test]
fn a_name_outside_of_a_databases_encoding_costs_nothing() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(ROLE).unwrap();
    for (name, encoding) in [("japanese", "EUC_JP"), ("western", "WIN1252")] {
        let made = format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0");
        cluster.sql(&made).unwrap();
    }
    // The second byte of the first letter means nothing in WIN1252.
    cluster.sql("SET client_encoding = UTF8; CREATE ROLE \"Ýáł\"").unwrap();
    cluster.sql("SET client_encoding = UTF8; CREATE DATABASE \"データ\"").unwrap();
    for database in ["japanese", "western"] {
        let text = check_output(&cluster, database);
        assert!(!text.contains('✗'), "{database}: {text}");
        let daemon = Daemon::with_settings(&settings(&cluster, database)).start();
        eventually(|| {
            let metrics = daemon.metrics();
            let mut all = metrics.all("poolwatch_source_up", &[]).peekable();
            all.peek().is_some()
                && all.all(|source| source.value == 1.0)
                && metrics.value("pg_roles_connection_limit", &[("rolname", "Ýáł")]).is_some()
        });
    }
}

#[test]
fn a_table_without_transaction_numbers_has_no_age() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(ROLE).unwrap();
    cluster.sql("CREATE TABLE columnar (n int); CREATE TABLE usual (n int)").unwrap();
    // As an access method that is not the server's own leaves it.
    cluster.sql("UPDATE pg_class SET relfrozenxid = '0' WHERE relname = 'columnar'").unwrap();
    let daemon = Daemon::with_settings(&settings(&cluster, "postgres")).start();
    eventually(|| daemon.metrics().all("pg_table_xid_age", &[]).next().is_some());
    let metrics = daemon.metrics();
    assert_eq!(metrics.value("pg_table_xid_age", &[("relname", "columnar")]), None);
    assert!(metrics.all("pg_table_xid_age", &[]).all(|table| table.value < 1e9));
}

#[test]
fn sessions_without_a_state_are_not_taken_for_checked_out() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(ROLE).unwrap();
    cluster.sql("CREATE ROLE app LOGIN").unwrap();
    cluster.sql("ALTER ROLE app SET track_activities = off").unwrap();
    let mut session = std::process::Command::new("psql")
        .args(["-X", "-q", &cluster.url_as("app", "postgres")])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
    eventually(|| cluster.sql(sessions).unwrap() == "1");
    let pool = "pools: {app: {activity: {user: app, size: 1, max_overflow: 0}}}\n";
    let daemon = Daemon::with_settings(&(settings(&cluster, "postgres") + pool)).start();
    let of_app = [("pool", "app")];
    eventually(|| daemon.value("db_pool_capacity", &of_app));
    for figure in ["db_pool_checked_out", "db_pool_checked_in", "db_pool_utilization_ratio"] {
        assert_eq!(daemon.value(figure, &of_app), None, "{figure}");
    }
    let text = check_output(&cluster, "postgres");
    let report = lines(&text, "primary/activity");
    assert!(report.contains("set track_activities = on") && report.contains("(of app)"), "{text}");
    session.kill().unwrap();
    session.wait().unwrap();
}
