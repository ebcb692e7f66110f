//! `poolwatch indexes` where other roles could make code in the database, or make some at the very
//! moment in which a statement is planned.

use std::process::{Child, Stdio};

use poolwatch::demo::Cluster;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::collectors::{replica_of, servers};
use crate::support::{eventually, poolwatch};

/// The tables of `owner`, about which `mallory` asks.
const ROLES: &str = "
CREATE EXTENSION pg_stat_statements;
CREATE ROLE owner LOGIN; GRANT pg_monitor TO owner;
CREATE ROLE watch LOGIN; GRANT pg_monitor TO watch;
CREATE ROLE mallory LOGIN;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO owner;
";

const TABLES: &str = "
SET ROLE owner;
CREATE TABLE posts (id serial PRIMARY KEY, author int, title text);
INSERT INTO posts (author, title) SELECT n % 2000, 'title ' || n FROM generate_series(1, 20000) n;
ANALYZE posts;
GRANT SELECT, UPDATE ON posts TO mallory, watch;
";

const EVIL: &str = "
CREATE FUNCTION public.evil() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN RAISE LOG 'evil ran as %', current_user; RETURN 7; END $$;
";

const REFUSAL: &str = "could run what others make";

fn catalogue() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = "indexes: [{name: posts_author, table: posts, columns: [author]}]\n";
    std::fs::write(folder.path().join("indexes.yml"), text).unwrap();
    folder
}

/// `poolwatch indexes`, while it runs.
struct Run {
    child: Child,
    _folder: TempDir,
}

impl Run {
    fn start(cluster: &Cluster, role: &str) -> Self {
        let folder = catalogue();
        let mut command = poolwatch();
        command.env("DATABASE_URL", cluster.url_as(role, "postgres"));
        command.arg("indexes").arg("--catalogue").arg(folder.path().join("indexes.yml"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child, _folder: folder }
    }

    /// Waits until a session of poolwatch waits for a lock, or poolwatch has ended.
    fn wait_until_it_is_locked_out(&mut self, cluster: &Cluster) {
        let waits = "SELECT count(*) FROM pg_stat_activity
                      WHERE application_name = 'poolwatch' AND wait_event_type = 'Lock'";
        eventually(|| {
            let ended = self.child.try_wait().unwrap().is_some();
            (ended || cluster.sql(waits).unwrap() != "0").then_some(())
        });
    }

    fn report(self) -> String {
        let output = self.child.wait_with_output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

fn report(cluster: &Cluster, role: &str) -> String {
    Run::start(cluster, role).report()
}

async fn session(cluster: &Cluster, role: &str) -> PgConnection {
    PgConnection::connect(&cluster.url_as(role, "postgres")).await.unwrap()
}

async fn run(session: &mut PgConnection, sql: &str) {
    session.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
}

fn start(binaries: &std::path::Path) -> Cluster {
    let cluster = Cluster::builder().binaries(binaries).start().unwrap();
    cluster.sql(ROLES).unwrap();
    cluster.sql(TABLES).unwrap();
    cluster
}

/// The lock on a table of his holds poolwatch up right before it plans.
#[tokio::test]
async fn what_a_tables_owner_adds_right_before_the_planning_does_not_run() {
    for (major, binaries) in servers() {
        let cluster = start(binaries);
        cluster.sql("GRANT ALL ON SCHEMA public TO mallory").unwrap();
        cluster
            .sql(
                "SET ROLE mallory; CREATE TABLE mine (author int, id int);
                     GRANT SELECT ON mine TO watch, owner",
            )
            .unwrap();
        let statement = "SELECT posts.title FROM posts JOIN mine USING (id) WHERE posts.author = 5";
        cluster.sql(&format!("SET ROLE mallory; {statement}")).unwrap();
        let mut mallory = session(&cluster, "mallory").await;
        run(&mut mallory, "BEGIN; LOCK TABLE mine").await;
        let mut planning = Run::start(&cluster, "watch");
        planning.wait_until_it_is_locked_out(&cluster);
        let index = "CREATE INDEX ON public.mine (id) WHERE public.evil() = 7; COMMIT";
        run(&mut mallory, &format!("{EVIL}; {index}")).await;
        let text = planning.report();
        assert!(!cluster.log().contains("evil ran as watch"), "PostgreSQL {major}: {text}");
        assert!(text.contains(REFUSAL), "PostgreSQL {major}: {text}");
    }
}

/// He was allowed to when he made it, and has not committed it yet.
#[tokio::test]
async fn what_was_made_before_a_privilege_was_revoked_does_not_run() {
    for (major, binaries) in servers() {
        let cluster = start(binaries);
        let statement = "SELECT title FROM posts WHERE author = 5 AND title = lower('A'::varchar)";
        cluster.sql(&format!("SET ROLE mallory; {statement}")).unwrap();
        cluster.sql("GRANT CREATE ON SCHEMA public TO mallory").unwrap();
        let mut mallory = session(&cluster, "mallory").await;
        let function = "CREATE FUNCTION public.lower(varchar) RETURNS text IMMUTABLE LANGUAGE sql
                            AS 'SELECT public.evil()::text'";
        run(&mut mallory, &format!("BEGIN; {EVIL}; {function}")).await;
        cluster.sql("REVOKE CREATE ON SCHEMA public FROM mallory").unwrap();
        let mut lock = session(&cluster, "mallory").await;
        run(&mut lock, "BEGIN; LOCK TABLE posts").await;
        let mut planning = Run::start(&cluster, "owner");
        planning.wait_until_it_is_locked_out(&cluster);
        run(&mut mallory, "COMMIT").await;
        run(&mut lock, "COMMIT").await;
        let text = planning.report();
        assert!(!cluster.log().contains("evil ran as owner"), "PostgreSQL {major}: {text}");
        assert!(text.contains(REFUSAL), "PostgreSQL {major}: {text}");
    }
}

/// Each makes others able to change what is planned: what makes them so, the reason, and what undoes it.
const POWERS: [(&str, &str, &str); 8] = [
    (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "every role may create objects in the schema public",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    ),
    (
        "CREATE SCHEMA his; GRANT CREATE ON SCHEMA his TO mallory",
        "the role mallory may create objects in the schema his",
        "DROP SCHEMA his",
    ),
    (
        "GRANT CREATE ON DATABASE postgres TO mallory",
        "the role mallory may create schemas in this database",
        "REVOKE CREATE ON DATABASE postgres FROM mallory",
    ),
    (
        "ALTER DATABASE postgres OWNER TO mallory",
        "the role mallory owns this database",
        "ALTER DATABASE postgres OWNER TO postgres",
    ),
    (
        "CREATE TABLE public.his (); ALTER TABLE public.his OWNER TO mallory",
        "the role mallory owns table public.his",
        "DROP TABLE public.his",
    ),
    (
        "CREATE DOMAIN public.his AS int; ALTER DOMAIN public.his OWNER TO mallory",
        "the role mallory owns type public.his",
        "DROP DOMAIN public.his",
    ),
    (
        "ALTER ROLE mallory NOINHERIT; GRANT makers TO mallory, owner;
         CREATE TABLE public.ours (); ALTER TABLE public.ours OWNER TO makers",
        "the role mallory, a member of makers, owns table public.ours",
        "DROP TABLE public.ours; REVOKE makers FROM mallory, owner",
    ),
    (
        "CREATE TABLE public.ours (); ALTER TABLE public.ours OWNER TO makers",
        "the role makers owns table public.ours",
        "DROP TABLE public.ours",
    ),
];

const STATEMENT: &str = "SET ROLE mallory; SELECT title FROM posts WHERE author = 5";

#[test]
fn where_others_could_make_code_nothing_is_planned() {
    for (major, binaries) in servers() {
        let cluster = start(binaries);
        cluster.sql(&format!("CREATE ROLE makers; {STATEMENT}")).unwrap();
        for (make, reason, undo) in POWERS {
            cluster.sql(make).unwrap();
            let text = report(&cluster, "owner");
            assert!(text.contains(reason) && text.contains(REFUSAL), "{major}: {make}: {text}");
            cluster.sql(undo).unwrap();
        }
        // A superuser has more to lose than those who own nothing but their tables.
        let text = report(&cluster, "postgres");
        assert!(text.contains("the role owner"), "PostgreSQL {major}: {text}");
        let text = report(&cluster, "watch");
        assert!(text.contains("the role owner"), "PostgreSQL {major}: {text}");
        if *major >= 16 {
            cluster.sql("GRANT owner TO mallory WITH INHERIT TRUE, SET FALSE").unwrap();
            let text = report(&cluster, "owner");
            assert!(text.contains("mallory, a member of owner,"), "PostgreSQL {major}: {text}");
        }
    }
}

/// What gives nobody more than he has: those who may act as the planning role, or only read.
const HARMLESS: &str = "
CREATE ROLE boss LOGIN; GRANT owner TO boss; GRANT CREATE ON SCHEMA public TO boss;
CREATE ROLE root LOGIN SUPERUSER; CREATE FUNCTION public.his() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE public.boss (); ALTER TABLE public.boss OWNER TO boss;
CREATE ROLE makers; GRANT makers TO owner;
CREATE TABLE public.ours (); ALTER TABLE public.ours OWNER TO makers;
SET ROLE mallory; SELECT lo_create(0);
";

#[tokio::test]
async fn where_others_could_not_a_statement_of_theirs_is_planned() {
    for (major, binaries) in servers() {
        let cluster = start(binaries);
        cluster.sql(HARMLESS).unwrap();
        cluster.sql(STATEMENT).unwrap();
        let mut mallory = session(&cluster, "mallory").await;
        run(&mut mallory, "CREATE TEMP TABLE t (a int)").await;
        let text = report(&cluster, "owner");
        assert!(text.contains("Seq Scan, cost"), "PostgreSQL {major}: {text}");
    }
}

#[tokio::test]
async fn a_transaction_of_others_is_waited_for() {
    let (_, binaries) = servers().last().unwrap();
    let cluster = start(binaries);
    cluster.sql(STATEMENT).unwrap();
    let mut mallory = session(&cluster, "mallory").await;
    run(&mut mallory, "BEGIN").await;
    let text = report(&cluster, "owner");
    assert!(text.contains("a transaction of the role mallory goes on"), "{text}");
    run(&mut mallory, "COMMIT").await;
    let text = report(&cluster, "owner");
    assert!(text.contains("Seq Scan, cost"), "{text}");
}

/// Its primary's transactions cannot be seen there.
#[test]
fn on_a_standby_nothing_is_planned() {
    let (_, binaries) = servers().last().unwrap();
    let mut primary = start(binaries);
    let standby = replica_of(&mut primary, binaries);
    primary.sql(STATEMENT).unwrap();
    standby.sql(STATEMENT).unwrap();
    let text = report(&standby, "owner");
    assert!(text.contains("ask its primary"), "{text}");
    let text = report(&primary, "owner");
    assert!(text.contains("Seq Scan, cost"), "{text}");
}
