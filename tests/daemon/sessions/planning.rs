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

/// The ways to the function: the objects made first, the statement, and the objects to drop.
const WAYS: [(&str, &str, &str); 4] = [
    ("", "SELECT title FROM posts WHERE author = 5 AND id = public.evil()", ""),
    (
        "CREATE FUNCTION public.lower(varchar) RETURNS text IMMUTABLE LANGUAGE sql
             AS 'SELECT public.evil()::text'",
        "SELECT title FROM posts WHERE author = 5 AND title = lower('A'::varchar)",
        "DROP FUNCTION public.lower(varchar)",
    ),
    (
        "CREATE TABLE public.mine (author int, id int);
         CREATE INDEX ON public.mine (id) WHERE public.evil() = 7",
        "SELECT posts.title FROM posts JOIN mine USING (id) WHERE posts.author = 5",
        "DROP TABLE public.mine",
    ),
    // A superuser's function looks up a name when it runs, and finds another function than he meant.
    (
        "RESET ROLE;
         CREATE FUNCTION public.tenant() RETURNS text STABLE LANGUAGE sql
             AS 'SELECT concat_ws(''-''::text, ''a''::text, ''b''::text)';
         SET ROLE mallory;
         CREATE FUNCTION public.concat_ws(text, text, text) RETURNS text IMMUTABLE LANGUAGE sql
             AS 'SELECT public.evil()::text'",
        "SELECT title FROM posts WHERE author = 5 AND title = tenant()",
        "DROP FUNCTION public.concat_ws(text, text, text); RESET ROLE; DROP FUNCTION public.tenant()",
    ),
];

const CATALOGUE: &str = "indexes: [{name: posts_author, table: posts, columns: [author]}]\n";

fn indexes(cluster: &Cluster, role: &str, folder: &Path) -> String {
    indexes_in("postgres", cluster, role, folder)
}

fn indexes_in(database: &str, cluster: &Cluster, role: &str, folder: &Path) -> String {
    let mut command = poolwatch();
    command.env("DATABASE_URL", cluster.url_as(role, database));
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
                assert!(text.contains("could run what others make"), "{case}: {text}");
                let message = format!("evil ran as {role}");
                assert!(!cluster.log().contains(&message), "{case}: as {role}");
            }
            cluster.sql(&format!("SET ROLE mallory; {clear}")).unwrap();
        }
        // They would have run.
        let planned = format!("SET ROLE admin; PREPARE p AS {}; EXPLAIN EXECUTE p", WAYS[0].1);
        cluster.sql(&planned).unwrap();
        assert!(cluster.log().contains("evil ran as admin"), "PostgreSQL {major}");
    }
}

/// A role that a database's owner sets for its sessions would have his code pass for poolwatch's own.
const OWNER: &str = "
CREATE ROLE admin LOGIN SUPERUSER;
CREATE ROLE mallory LOGIN;
CREATE ROLE watch LOGIN; GRANT pg_monitor, mallory TO watch;
CREATE DATABASE tenant OWNER mallory;
";

const TENANT: &str = "
CREATE EXTENSION pg_stat_statements;
SET SESSION AUTHORIZATION mallory;
CREATE TABLE posts (id serial PRIMARY KEY, author int, title text);
INSERT INTO posts (author, title) SELECT n % 2000, 'title ' || n FROM generate_series(1, 20000) n;
ANALYZE posts;
CREATE FUNCTION worse() RETURNS int LANGUAGE plpgsql AS $$
BEGIN SET ROLE none; RAISE LOG 'evil ran as %', current_user; RETURN 7; END $$;
CREATE FUNCTION evil() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN RETURN public.worse(); END $$;
SELECT title FROM posts WHERE author = 5 AND id = evil();
ALTER DATABASE tenant SET role = 'mallory';
";

#[test]
fn a_database_that_sets_another_role_does_not_make_its_code_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("indexes.yml"), CATALOGUE).unwrap();
    for (major, binaries) in servers() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        cluster.sql(OWNER).unwrap();
        cluster.sql_in("tenant", TENANT).unwrap();
        for role in ["admin", "watch"] {
            let text = indexes_in("tenant", &cluster, role, folder.path());
            assert!(text.contains("could run what others make"), "PostgreSQL {major}: {text}");
            let message = format!("evil ran as {role}");
            assert!(!cluster.log().contains(&message), "PostgreSQL {major}: as {role}");
        }
    }
}

/// What `mallory` asks for is asked of another database in a session of its own.
const FAR: &str = "
CREATE ROLE watch LOGIN; GRANT pg_monitor TO watch;
CREATE ROLE mallory LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE DATABASE far OWNER mallory;
CREATE EXTENSION pg_stat_statements;
CREATE EXTENSION postgres_fdw;
CREATE TABLE posts (id serial PRIMARY KEY, author int, title text);
INSERT INTO posts (author, title) SELECT n % 2000, 'title ' || n FROM generate_series(1, 20000) n;
ANALYZE posts;
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host '@folder', dbname 'far', use_remote_estimate 'true');
CREATE USER MAPPING FOR public SERVER far OPTIONS (user 'watch', password_required 'false');
CREATE FOREIGN TABLE far_posts (id int, author int) SERVER far
    OPTIONS (schema_name 'public', table_name 'ours');
CREATE VIEW near AS SELECT * FROM far_posts;
CREATE TABLE parts (id int, author int) PARTITION BY RANGE (id);
CREATE TABLE near_part PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE FOREIGN TABLE far_part PARTITION OF parts FOR VALUES FROM (10) TO (20) SERVER far
    OPTIONS (schema_name 'public', table_name 'ours');
CREATE TABLE guarded (id int, author int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON guarded USING (id IN (SELECT id FROM far_posts));
GRANT SELECT ON ALL TABLES IN SCHEMA public TO mallory, watch;
";

const FAR_VIEW: &str = "
SET ROLE mallory;
CREATE FUNCTION public.evil() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN RAISE LOG 'evil ran as %', current_user; RETURN 7; END $$;
CREATE VIEW public.ours AS SELECT 7 AS id, 5 AS author WHERE 7 = public.evil();
GRANT SELECT ON public.ours TO watch;
";

#[test]
fn no_other_server_is_asked_while_a_statement_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("indexes.yml"), CATALOGUE).unwrap();
    for (major, binaries) in servers() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        cluster.sql(&FAR.replace("@folder", &cluster.folder().display().to_string())).unwrap();
        cluster.sql_in("far", "GRANT ALL ON SCHEMA public TO mallory").unwrap();
        cluster.sql_in("far", FAR_VIEW).unwrap();
        for table in ["far_posts", "near", "parts", "guarded"] {
            let case = format!("PostgreSQL {major}: {table}");
            let statement =
                format!("SELECT title FROM posts JOIN {table} USING (id) WHERE posts.author = 5");
            cluster.sql("SELECT pg_stat_statements_reset()").unwrap();
            cluster.sql(&format!("SET ROLE mallory; {statement}")).unwrap();
            let runs = || cluster.log().matches("evil ran").count();
            let before = runs();
            let text = indexes(&cluster, "watch", folder.path());
            assert!(text.contains("lead to another server"), "{case}: {text}");
            assert_eq!(runs(), before, "{case}");
            // It would have been asked.
            cluster.sql(&format!("SET ROLE watch; EXPLAIN {statement}")).unwrap();
            assert!(runs() > before, "{case}");
        }
    }
}

/// A table of nobody else's, with code of the same role's on every way to it.
const OWN: &str = "
CREATE EXTENSION pg_stat_statements;
SET SESSION AUTHORIZATION owner;
CREATE TABLE posts (id serial PRIMARY KEY, author int, title text);
INSERT INTO posts (author, title) SELECT n % 2000, 'title ' || n FROM generate_series(1, 20000) n;
CREATE FUNCTION mine(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1';
CREATE INDEX ON posts (mine(id));
CREATE VIEW recent AS SELECT id FROM posts WHERE mine(id) > 3;
ANALYZE posts;
SELECT title FROM posts JOIN recent USING (id) WHERE author = 5 AND id = mine(3);
";

#[test]
fn what_a_role_made_itself_does_not_keep_it_from_planning() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("indexes.yml"), CATALOGUE).unwrap();
    for (major, binaries) in servers() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        cluster.sql("CREATE ROLE owner LOGIN; GRANT pg_monitor TO owner").unwrap();
        cluster.sql("CREATE DATABASE own OWNER owner").unwrap();
        cluster.sql_in("own", OWN).unwrap();
        let text = indexes_in("own", &cluster, "owner", folder.path());
        assert!(text.contains("Scan, cost"), "PostgreSQL {major}: {text}");
        assert!(!text.contains("what others make"), "PostgreSQL {major}: {text}");
    }
}
