//! Whoever may create objects where poolwatch reads makes, for each call and operator of each of its
//! statements, one that fits better than the server's: none is ever called.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use poolwatch::collectors;
use poolwatch::demo::Cluster;

use super::tree::{Call, calls};
use crate::collectors::servers;
use crate::support::{Daemon, eventually, poolwatch};

const ROLES: &str = "
CREATE ROLE watch LOGIN CONNECTION LIMIT 5; GRANT pg_monitor TO watch;
CREATE ROLE admin LOGIN SUPERUSER;
CREATE ROLE mallory LOGIN;
CREATE DATABASE app OWNER mallory;
CREATE DATABASE shop OWNER mallory;
ALTER ROLE watch SET debug_print_parse = on; ALTER ROLE watch SET debug_pretty_print = off;
ALTER ROLE admin SET debug_print_parse = on; ALTER ROLE admin SET debug_pretty_print = off;
";

const TABLES: &str = "
GRANT ALL ON SCHEMA public TO mallory;
CREATE TABLE IF NOT EXISTS posts (id serial PRIMARY KEY, author int, title text);
INSERT INTO posts (author, title) SELECT n % 2000, 'title ' || n FROM generate_series(1, 20000) n;
ANALYZE posts;
";

/// For a call of these types, of a function or an operator of this name: one that fits exactly.
/// Where the server's fits exactly, it comes first in any case.
const SHADOW: &str = r"
SET search_path = pg_catalog, pg_temp;
CREATE FUNCTION pg_temp.shadow(catalogue text, number oid, types oid[]) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE name name; given text; result text; made text := 'shadow';
BEGIN
    IF 0 = ANY (types) THEN RETURN 0; END IF;
    SELECT string_agg(format_type(type, NULL), ', ' ORDER BY place) INTO given
      FROM unnest(types) WITH ORDINALITY AS one (type, place);
    IF catalogue = 'pg_proc' THEN
        SELECT proname, format_type(prorettype, NULL) INTO name, result FROM pg_proc WHERE oid = number;
        IF result IS NULL THEN RETURN 0; END IF;
        made := name;
    ELSE
        SELECT oprname, format_type(oprresult, NULL) INTO name, result FROM pg_operator WHERE oid = number;
        made := 'shadow_' || number;
    END IF;
    FOR attempt IN 1..2 LOOP
        BEGIN
            EXECUTE format('CREATE OR REPLACE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
                made, given, result, 'BEGIN RAISE LOG ''a shadow ran: ' || made || '''; RETURN NULL; END');
            EXIT;
        EXCEPTION WHEN OTHERS THEN result := 'text';
        END;
    END LOOP;
    IF catalogue = 'pg_operator' THEN
        EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.%I, LEFTARG = %s, RIGHTARG = %s)',
            name, made, format_type(types[1], NULL), format_type(types[2], NULL));
    END IF;
    RETURN 1;
EXCEPTION WHEN OTHERS THEN RETURN 0;
END $$;
SET ROLE mallory;
";

/// Relations and types by the names of the server's.
const NAMESAKES: &str = r"
CREATE FUNCTION public.evil() RETURNS int LANGUAGE plpgsql AS
    'BEGIN RAISE LOG ''a shadow ran: evil''; RETURN 1; END';
DO $$
DECLARE one name;
BEGIN
    FOR one IN SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace
                  AND relkind IN ('r', 'v') LOOP
        EXECUTE format('CREATE VIEW public.%I AS SELECT public.evil() AS oid', one);
    END LOOP;
    FOR one IN SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
                  AND typtype = 'b' AND typname !~ '^_' LOOP
        EXECUTE format('CREATE DOMAIN public.%I AS pg_catalog.int4 CHECK (public.evil() = 1)', one);
    END LOOP;
END $$;
";

fn settings(cluster: &Cluster, role: &str) -> String {
    let url = cluster.url_as(role, "app");
    let settings = |name| {
        if name == "stat_statements" {
            "enabled: true, include_query: true"
        } else {
            "enabled: true"
        }
    };
    let each =
        collectors::ALL.iter().map(|one| format!("{}: {{{}}}", one.name, settings(one.name)));
    let each = each.collect::<Vec<_>>().join(", ");
    let log = cluster.log_file();
    let log = log.display();
    format!(
        "servers: {{primary: {{url: '{url}', statement_timeout: 30s}}}}\n\
         collectors: {{{each}}}\n\
         logs: {{path: '{log}', prefix: '%m [%p] '}}\n\
         pools: {{inferred: {{activity: {{server: primary}}}}}}\n"
    )
}

/// The daemon until every source was read and every database visited, `check` and `indexes`.
fn work(cluster: &Cluster) -> Vec<String> {
    let daemon = Daemon::with_settings(&settings(cluster, "watch")).start();
    let sources = eventually(|| {
        let page = daemon.get("/health/detailed").json();
        let sources = page["sources"].as_array().cloned().unwrap_or_default();
        let all_read = sources.len() > 40 && sources.iter().all(|one| one["status"] != "unknown");
        let visited = daemon.get("/metrics").text().contains("datname=\"shop\",schemaname");
        (all_read && visited).then_some(sources)
    });
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let expected = "indexes: [{name: posts_author, table: posts, columns: [author]}]\n";
    let catalogue = file("indexes.yml", expected);
    let config =
        file("poolwatch.yml", &(settings(cluster, "admin") + "workers: {enabled: false}\n"));
    run(&config, &["check", "--web.listen-address=127.0.0.1:1"]);
    run(&config, &["indexes", "--catalogue", catalogue.to_str().unwrap()]);
    run(&config, &["indexes", "--apply", "--catalogue", catalogue.to_str().unwrap()]);
    cluster.sql_in("app", "DROP INDEX IF EXISTS public.posts_author").unwrap();
    let failing = sources.iter().filter(|one| one["status"] != "up");
    failing.map(|one| format!("{}: {}", one["name"], one["error"])).collect()
}

fn run(config: &Path, arguments: &[&str]) {
    let mut command = poolwatch();
    command.args(arguments).arg("--config.file").arg(config);
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.code().is_some_and(|code| code < 2), "{arguments:?}: {text}");
}

/// The calls that go neither to the server nor to C of an extension.
fn others(cluster: &Cluster, calls: &BTreeSet<Call>) -> String {
    let of = |catalogue: &str| {
        let numbers = calls.iter().filter(|call| call.catalogue == catalogue);
        numbers.map(|call| call.oid.to_string()).collect::<Vec<_>>().join(", ")
    };
    let sql = format!(
        "SELECT proname FROM pg_proc WHERE oid IN ({}) AND prolang NOT IN (12, 13)
            AND pronamespace <> 'pg_catalog'::regnamespace
          UNION ALL SELECT oprname FROM pg_operator WHERE oid IN ({})
            AND oprnamespace <> 'pg_catalog'::regnamespace",
        of("pg_proc"),
        of("pg_operator")
    );
    cluster.sql_in("app", &sql).unwrap()
}

/// Shadows of all calls, in a database; how many there are.
fn plant(cluster: &Cluster, database: &str, calls: &BTreeSet<Call>) -> usize {
    let mut sql = SHADOW.to_owned();
    for Call { catalogue, oid, types } in calls {
        let types: Vec<_> = types.iter().map(u32::to_string).collect();
        let types = types.join(",");
        let _ = writeln!(sql, "SELECT pg_temp.shadow('{catalogue}', {oid}, '{{{types}}}');");
    }
    let made = cluster.sql_in(database, &(sql + NAMESAKES)).unwrap();
    made.lines().filter(|line| *line == "1").count()
}

#[test]
fn no_users_function_stands_in_for_the_servers() {
    for (major, binaries) in servers() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        cluster.sql(ROLES).unwrap();
        for database in ["app", "shop"] {
            cluster.sql_in(database, TABLES).unwrap();
        }
        cluster.sql_in("app", "CREATE EXTENSION pg_stat_statements").unwrap();
        let buffers = cluster.sql_in("app", "CREATE EXTENSION pg_buffercache");
        let select = "SELECT title FROM posts WHERE author = 7";
        cluster.sql_in("app", select).unwrap();

        assert_eq!(work(&cluster), [""; 0], "PostgreSQL {major}, {buffers:?}");
        let calls = calls(&cluster.log());
        assert!(calls.len() > 100, "PostgreSQL {major}: {} calls", calls.len());
        assert_eq!(others(&cluster, &calls), "", "PostgreSQL {major}");

        for database in ["app", "shop"] {
            let planted = plant(&cluster, database, &calls);
            assert!(planted > 100, "PostgreSQL {major}: {planted} of {}", calls.len());
            let path = format!("ALTER DATABASE {database} SET search_path = public, pg_catalog");
            cluster.sql(&path).unwrap();
        }
        assert_eq!(work(&cluster), [""; 0], "PostgreSQL {major}");
        let log = cluster.log();
        let shadows: BTreeSet<_> =
            log.lines().filter(|line| line.contains("a shadow ran")).collect();
        assert!(shadows.is_empty(), "PostgreSQL {major}: {shadows:#?}");

        // They fit better than the server's even where those come first.
        let usual =
            "SET search_path = pg_catalog, public; SELECT quote_ident(datname) FROM pg_database";
        cluster.sql_in("app", usual).unwrap();
        assert!(cluster.log().contains("a shadow ran: quote_ident"), "PostgreSQL {major}");
    }
}
