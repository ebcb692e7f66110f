//! Somebody puts a function of his own in the place of an extension's.

use poolwatch::demo::Cluster;

use crate::collectors::servers;
use crate::support::{Daemon, eventually, poolwatch};

/// As where an extension's functions belong to whoever created it.
const STAND_IN: &str = r"
CREATE EXTENSION pg_stat_statements;
CREATE ROLE watch LOGIN; GRANT pg_monitor TO watch;
CREATE ROLE mallory LOGIN; GRANT ALL ON SCHEMA public TO mallory;
ALTER FUNCTION pg_stat_statements(boolean) OWNER TO mallory;
SET ROLE mallory;
DO $$
BEGIN
    EXECUTE regexp_replace(pg_get_functiondef('pg_stat_statements(boolean)'::regprocedure),
        'LANGUAGE c.*', 'LANGUAGE plpgsql AS ''BEGIN RAISE LOG $l$a stand-in ran$l$; END''');
END $$;
";

#[test]
fn what_stands_in_for_an_extensions_function_is_not_called() {
    for (major, binaries) in servers() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        cluster.sql(STAND_IN).unwrap_or_else(|error| panic!("PostgreSQL {major}: {error}"));
        let url = cluster.url_as("watch", "postgres");
        let daemon =
            Daemon::with_settings(&format!("servers: {{primary: {{url: '{url}'}}}}\n")).start();
        for source in ["primary/stat_statements", "primary/statement_durations"] {
            let error = eventually(|| {
                let page = daemon.get("/health/detailed").json();
                let sources = page["sources"].as_array()?.clone();
                let one = sources.into_iter().find(|one| one["name"] == source)?;
                one["error"].as_str().map(str::to_owned)
            });
            assert!(error.contains("pg_stat_statements(boolean) is not as"), "{major}: {error}");
        }
        let mut command = poolwatch();
        command.env("DATABASE_URL", cluster.url("postgres"));
        let output = command.arg("indexes").output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains("pg_stat_statements(boolean) is not as"), "{major}: {text}");
        assert!(!cluster.log().contains("a stand-in ran"), "PostgreSQL {major}");
        cluster.sql("SELECT count(*) FROM pg_stat_statements(true)").unwrap();
        assert!(cluster.log().contains("a stand-in ran"), "PostgreSQL {major}");
    }
}
