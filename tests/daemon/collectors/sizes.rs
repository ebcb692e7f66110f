//! The sizes of tables that nobody has vacuumed or analyzed yet.

use poolwatch::demo::Cluster;

use crate::support::{Daemon, eventually};

/// Six tables of which three are shown. What is in TOAST is unknown to the catalogue, and an index
/// that was built writes down the size of the rest.
const TABLES: &str = "
CREATE TABLE never (id int, document text);
ALTER TABLE never ALTER document SET STORAGE EXTERNAL;
INSERT INTO never SELECT n, repeat('x', 1000000) FROM generate_series(1, 150) n;
CREATE INDEX ON never (id);
CREATE TABLE grown (id int);
INSERT INTO grown SELECT generate_series(1, 10);
ANALYZE grown;
INSERT INTO grown SELECT generate_series(1, 200000);
DO $$ BEGIN FOR n IN 1..4 LOOP
    EXECUTE format('CREATE TABLE known%s AS SELECT generate_series(1, 10000 * %s) AS id', n, n);
    EXECUTE format('ANALYZE known%s', n);
END LOOP; END $$;
";

#[test]
fn a_table_that_was_never_analyzed_has_its_true_size() {
    let cluster = Cluster::builder().setting("autovacuum", "off").start().unwrap();
    cluster.sql(TABLES).unwrap();
    let settings = format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
         collectors: {{stat_user_tables_size: {{limit: 3}}}}\n",
        cluster.url("postgres")
    );
    let daemon = Daemon::with_settings(&settings).start();
    for table in ["never", "grown", "known4"] {
        let sql = format!("SELECT pg_table_size('{table}')");
        let truth: f64 = cluster.sql(&sql).unwrap().trim().parse().unwrap();
        let labels = [("relname", table)];
        let size = eventually(|| daemon.value("pg_stat_user_tables_table_size_bytes", &labels));
        assert_eq!(size, truth, "{table}");
    }
    let others = daemon.value("pg_stat_user_tables_table_size_bytes", &[("relname", "other")]);
    let sql = "SELECT sum(relpages) * 8192 FROM pg_class WHERE relname ~ '^known[123]$'";
    let truth: f64 = cluster.sql(sql).unwrap().trim().parse().unwrap();
    assert!((others.unwrap() - truth).abs() < 1.0, "{others:?}, not {truth}");
}
