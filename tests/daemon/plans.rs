//! The report of `poolwatch indexes` on statements' generic plans, on every supported server; with
//! hypopg on Debian's.

use std::path::Path;

use poolwatch::demo::Cluster;
use serde_json::Value;
use tempfile::TempDir;

use crate::collectors;
use crate::support::poolwatch;

const TABLES: &str = "
CREATE EXTENSION pg_stat_statements;
CREATE SEQUENCE ran;
CREATE TABLE posts (id serial PRIMARY KEY, author int, title text, at timestamptz);
INSERT INTO posts (author, title, at)
SELECT n % 2000, 'title ' || n, now() - n * interval '1 hour' FROM generate_series(1, 20000) n;
ANALYZE posts;
SELECT pg_stat_statements_reset();
SELECT nextval('ran'), id FROM posts WHERE author = 7 AND id = 7;
SELECT title FROM posts WHERE author = 7 AND at > now() - interval '9 days' LIMIT 3;
SELECT id FROM posts WHERE title = 'title 7';
UPDATE posts SET title = 'none' WHERE author = -1;
SELECT id AS \"; DROP TABLE posts\" FROM posts WHERE author = 7;
";

const CATALOGUE: &str = "indexes: [{name: posts_author, table: posts, columns: [author, at]}]\n";

fn catalogue() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("indexes.yml"), CATALOGUE).unwrap();
    folder
}

fn indexes(cluster: &Cluster, role: &str, folder: &Path, arguments: &[&str]) -> String {
    let mut command = poolwatch();
    command.env("DATABASE_URL", cluster.url_as(role, "postgres"));
    command.arg("indexes").arg("--catalogue").arg(folder.join("indexes.yml")).args(arguments);
    let output = command.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn plans(cluster: &Cluster, folder: &Path) -> Value {
    let text = indexes(cluster, "postgres", folder, &["--format", "json"]);
    let page: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    page["plans"].clone()
}

/// The one that begins so.
fn planned<'a>(plans: &'a Value, list: &str, sql: &str) -> &'a Value {
    let all = plans[list].as_array().unwrap();
    let found = all.iter().find(|one| one["sql"].as_str().unwrap().contains(sql));
    found.unwrap_or_else(|| panic!("no {sql} in {plans:#}"))
}

/// The number of calls of each statement on the table.
fn calls(cluster: &Cluster) -> String {
    let sql = "SELECT string_agg(calls || ' ' || query, ' | ' ORDER BY query)
                 FROM pg_stat_statements
                WHERE query ~ '^(SELECT|UPDATE).* posts' AND query !~ 'pg_stat'";
    cluster.sql(sql).unwrap() + &cluster.sql("SELECT last_value, is_called FROM ran").unwrap()
}

#[test]
fn a_statement_is_planned_on_every_version_and_never_run() {
    for (major, binaries) in collectors::servers() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        cluster.sql(TABLES).unwrap();
        let folder = catalogue();
        let before = calls(&cluster);
        let plans = plans(&cluster, folder.path());
        assert_eq!(calls(&cluster), before, "PostgreSQL {major}");
        assert_eq!(plans["hypopg"], false, "PostgreSQL {major}");
        let slow = planned(&plans, "missing", "SELECT title");
        assert_eq!(slow["now"]["scan"], "Seq Scan", "PostgreSQL {major}: {plans:#}");
        assert!(slow["now"]["cost"].as_f64().unwrap() > 1.0, "PostgreSQL {major}: {plans:#}");
        let quick = planned(&plans, "missing", "nextval");
        assert_eq!(quick["now"]["scan"], "Index Scan", "PostgreSQL {major}: {plans:#}");
        let whole = planned(&plans, "whole", "title = $1");
        assert_eq!(whole["index"], "CREATE INDEX CONCURRENTLY ON posts (title)", "{plans:#}");
        let text = indexes(&cluster, "postgres", folder.path(), &[]);
        assert!(text.contains("posts is read whole: `SELECT id FROM posts WHERE title"), "{text}");
        assert!(text.contains("CREATE EXTENSION hypopg"), "{text}");
        assert_eq!(cluster.sql("SELECT count(*) FROM posts").unwrap(), "20000");
    }
}

#[test]
fn with_hypopg_an_index_that_is_not_there_is_planned_with() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(TABLES).unwrap();
    let there = cluster.sql("CREATE EXTENSION hypopg");
    assert!(there.is_ok(), "hypopg is missing here, which tools/install brings: {there:?}");
    let folder = catalogue();
    let before = calls(&cluster);
    let plans = plans(&cluster, folder.path());
    assert_eq!(calls(&cluster), before);
    let cost = |way: &Value| way["cost"].as_f64().unwrap();
    for (list, sql) in [("missing", "SELECT title"), ("whole", "title = $1")] {
        let one = planned(&plans, list, sql);
        assert_eq!((&one["now"]["scan"], &one["used"]), (&"Seq Scan".into(), &true.into()));
        assert!(cost(&one["with_index"]) < cost(&one["now"]) / 5.0, "{one:#}");
    }
    let keyed = planned(&plans, "missing", "nextval");
    assert_eq!(keyed["used"], false, "its key is better: {keyed:#}");
    let text = indexes(&cluster, "postgres", folder.path(), &[]);
    assert!(text.contains("; with the index "), "{text}");
    assert!(text.contains("; the index would not be used"), "{text}");
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'posts_author'";
    assert_eq!(cluster.sql(left).unwrap(), "0", "it was only supposed");
}

#[test]
fn who_may_not_read_a_table_is_told_so() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql(TABLES).unwrap();
    cluster.sql("CREATE ROLE watch LOGIN; GRANT pg_monitor TO watch").unwrap();
    let folder = catalogue();
    let text = indexes(&cluster, "watch", folder.path(), &[]);
    assert!(text.contains("the role may not read a table of it"), "{text}");
    assert!(text.contains("posts_author") && text.contains("missing"), "{text}");
}
