//! A role and a database that set everything otherwise, on a primary and on a standby.

use std::path::Path;

use poolwatch::demo::Cluster;
use serde_json::Value;

use crate::collectors::{replica_of, servers};
use crate::support::{Daemon, eventually, poolwatch};

/// Every setting that a role may change becomes another, by its database and by itself. What needs
/// a file or a role of that name cannot.
const OTHERWISE: &str = r"
DO $$
DECLARE one record; other text;
BEGIN
    FOR one IN SELECT name, setting, vartype, enumvals, min_val, max_val FROM pg_settings
                WHERE context = 'user' AND vartype <> 'string'
                  AND name !~ '^(transaction_(?!timeout)|debug_print|debug_logical|tcp_)'
                  AND name NOT IN ('client_min_messages', 'max_stack_depth') LOOP
        other := CASE one.vartype
            WHEN 'bool' THEN CASE one.setting WHEN 'on' THEN 'off' ELSE 'on' END
            WHEN 'enum' THEN (SELECT value FROM unnest(one.enumvals) AS value
                               WHERE value <> one.setting ORDER BY value DESC LIMIT 1)
            ELSE CASE WHEN one.setting = one.min_val THEN '1' ELSE one.min_val END END;
        CONTINUE WHEN other IS NULL;
        -- Nobody can use a session that ends or fails at once.
        IF one.name ~ '_timeout$' THEN other := '500'; END IF;
        BEGIN
            EXECUTE format('ALTER DATABASE app SET %I = %L', one.name, other);
        EXCEPTION WHEN feature_not_supported THEN
            -- Since 19 some settings are what they are.
        END;
    END LOOP;
END $$;
ALTER DATABASE app SET default_transaction_isolation = 'serializable';
ALTER DATABASE app SET default_transaction_deferrable = on;
ALTER DATABASE app SET search_path = evil, pg_catalog;
ALTER DATABASE app SET DateStyle = 'German, DMY';
ALTER DATABASE app SET TimeZone = 'Asia/Kathmandu';
ALTER DATABASE app SET client_encoding = 'LATIN1';
-- As the owner of the database, who may set for its sessions whatever his are allowed to.
SET SESSION AUTHORIZATION owner;
ALTER DATABASE app SET role = 'owner';
DO $$
DECLARE one record;
BEGIN
    FOR one IN SELECT * FROM (VALUES
        ('session_authorization', 'owner'),
        ('application_name', 'another'),
        ('createrole_self_grant', 'set, inherit'),
        ('default_tablespace', 'pg_global'),
        ('default_text_search_config', 'pg_catalog.simple'),
        ('lc_monetary', 'C'), ('lc_numeric', 'C'), ('lc_time', 'C'),
        ('restrict_nonsystem_relation_kind', 'view, foreign-table'),
        ('temp_tablespaces', 'pg_default'),
        ('timezone_abbreviations', 'India')) AS string (name, setting) LOOP
        BEGIN
            EXECUTE format('ALTER DATABASE app SET %I = %L', one.name, one.setting);
        EXCEPTION WHEN undefined_object THEN
            -- Not on this version.
        END;
    END LOOP;
END $$;
RESET SESSION AUTHORIZATION;
ALTER ROLE watch SET default_transaction_isolation = 'serializable';
ALTER ROLE watch SET default_transaction_deferrable = on;
ALTER ROLE watch SET statement_timeout = 200;
";

const ROLE: &str = "
CREATE ROLE owner;
CREATE DATABASE app OWNER owner;
CREATE ROLE watch LOGIN CONNECTION LIMIT 5; GRANT pg_monitor, owner TO watch;
SELECT pg_create_physical_replication_slot('repmgr_slot_1');
";

/// The sources that do not read.
fn down(cluster: &Cluster) -> Vec<String> {
    let url = cluster.url_as("watch", "app");
    let yaml = format!("servers: {{primary: {{url: '{url}'}}}}\n");
    let daemon = Daemon::with_settings(&yaml).start();
    let sources = eventually(|| {
        let page = daemon.get("/health/detailed").json();
        let sources = page["sources"].as_array().cloned().unwrap_or_default();
        let is_read = |source: &Value| source["status"] != "unknown";
        (sources.len() > 40 && sources.iter().all(is_read)).then_some(sources)
    });
    let down = sources.iter().filter(|source| source["status"] != "up");
    down.map(|source| format!("{}: {}", source["name"], source["error"])).collect()
}

/// What `check` says against this server.
fn wrong(cluster: &Cluster) -> Vec<String> {
    let mut command = poolwatch();
    command.env("DATABASE_URL", cluster.url_as("watch", "app"));
    let output = command.args(["check", "--web.listen-address=127.0.0.1:1"]).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(text.contains("✓ primary/"), "{text}");
    let is_wrong = |line: &&str| line.starts_with("✗ primary/");
    text.lines().filter(is_wrong).map(str::to_owned).collect()
}

fn server(binaries: &Path) -> Cluster {
    let cluster = Cluster::builder().binaries(binaries).start().unwrap();
    cluster.sql(ROLE).unwrap();
    cluster.sql_in("app", "CREATE EXTENSION pg_stat_statements").unwrap();
    cluster.sql_in("app", OTHERWISE).unwrap();
    cluster
}

#[test]
fn whatever_a_role_or_a_database_sets_every_source_reads() {
    for (major, binaries) in servers() {
        let mut primary = server(binaries);
        let set = "SELECT count(*) FROM pg_db_role_setting, unnest(setconfig)";
        assert!(primary.sql(set).unwrap().parse::<u32>().unwrap() > 70, "PostgreSQL {major}");
        assert_eq!(down(&primary), [""; 0], "PostgreSQL {major}");
        assert_eq!(wrong(&primary), [""; 0], "PostgreSQL {major}");
        let standby = replica_of(&mut primary, binaries);
        assert_eq!(standby.sql("SELECT pg_is_in_recovery()").unwrap(), "t");
        assert_eq!(down(&standby), [""; 0], "a standby of PostgreSQL {major}");
    }
}
