//! `poolwatch indexes` plans what others wrote, and runs nothing of theirs.

use std::path::Path;

use poolwatch::demo::Cluster;

use crate::collectors::servers;
use crate::support::poolwatch;

/// Anybody may create in `public`, as on `PostgreSQL` 14 and before. What runs says as whom.
const TABLES: &str = "
CREATE EXTENSION pg_stat_statements;
CREATE ROLE admin LOGIN SUPERUSER;
CREATE ROLE watch LOGIN; GRANT pg_monitor TO watch;
CREATE ROLE mallory LOGIN; GRANT ALL ON SCHEMA public TO mallory;
CREATE TABLE posts (id serial PRIMARY KEY, author int, title text);
INSERT INTO posts (author, title) SELECT n % 2000, 'title ' || n FROM generate_series(1, 20000) n;
ANALYZE posts;
GRANT SELECT ON posts TO mallory, watch;
SET ROLE mallory;
CREATE FUNCTION public.evil() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN RAISE LOG 'evil ran as %', current_user; RETURN 7; END $$;
";

/// What reaches the function: what is made first, the statement, and what is cleared away.
const WAYS: [(&str, &str, &str); 6] = [
    ("", "SELECT title FROM posts WHERE author = 5 AND id = public.evil()", ""),
    (
        "CREATE FUNCTION public.lower(varchar) RETURNS text IMMUTABLE LANGUAGE sql
             AS 'SELECT public.evil()::text'",
        "SELECT title FROM posts WHERE author = 5 AND title = lower('A'::varchar)",
        "DROP FUNCTION public.lower(varchar)",
    ),
    (
        "CREATE FUNCTION public.shadow(int, bigint) RETURNS bool IMMUTABLE LANGUAGE sql
             AS 'SELECT public.evil() > 0';
         CREATE OPERATOR public.= (FUNCTION = public.shadow, LEFTARG = int, RIGHTARG = bigint)",
        "SELECT title FROM posts WHERE author = 5 AND 5 OPERATOR(public.=) 5::bigint",
        "DROP OPERATOR public.= (int, bigint); DROP FUNCTION public.shadow(int, bigint)",
    ),
    (
        "CREATE VIEW public.ours AS SELECT author, title FROM posts WHERE id = public.evil()",
        "SELECT title FROM ours, (SELECT author AS a FROM posts) AS posts WHERE author = 5",
        "DROP VIEW public.ours",
    ),
    (
        "CREATE TABLE public.mine (author int, id int);
         CREATE INDEX ON public.mine (id) WHERE public.evil() = 7",
        "SELECT posts.title FROM posts JOIN mine USING (id) WHERE posts.author = 5",
        "DROP TABLE public.mine",
    ),
    (
        "CREATE VIEW public.ours AS SELECT public.evil()",
        "SELECT title FROM posts WHERE author = 5
            AND title = schema_to_xml(current_schema(), author = 1, author = 2, title)::text",
        "DROP VIEW public.ours",
    ),
];

const CATALOGUE: &str = "indexes: [{name: posts_author, table: posts, columns: [author]}]\n";

fn indexes(cluster: &Cluster, role: &str, folder: &Path) -> String {
    let mut command = poolwatch();
    command.env("DATABASE_URL", cluster.url_as(role, "postgres"));
    command.arg("indexes").arg("--catalogue").arg(folder.join("indexes.yml"));
    let output = command.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn nothing_of_others_runs_while_a_statement_of_theirs_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("indexes.yml"), CATALOGUE).unwrap();
    for (major, binaries) in servers() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        cluster.sql(TABLES).unwrap();
        for (make, statement, clear) in WAYS {
            let case = format!("PostgreSQL {major}: {statement}");
            cluster.sql("SELECT pg_stat_statements_reset()").unwrap();
            let run = format!("SET ROLE mallory; {make}; {statement}");
            cluster.sql(&run).unwrap_or_else(|error| panic!("{case}: {error}"));
            for role in ["admin", "watch"] {
                let text = indexes(&cluster, role, folder.path());
                assert!(text.contains("might run what others made"), "{case}: {text}");
                let ran = format!("evil ran as {role}");
                assert!(!cluster.log().contains(&ran), "{case}: as {role}");
            }
            cluster.sql(&format!("SET ROLE mallory; {clear}")).unwrap();
        }
        // They would have run.
        let planned = format!("SET ROLE admin; PREPARE p AS {}; EXPLAIN EXECUTE p", WAYS[0].1);
        cluster.sql(&planned).unwrap();
        assert!(cluster.log().contains("evil ran as admin"), "PostgreSQL {major}");
    }
}
