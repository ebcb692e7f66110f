//! Remedies that work: each trouble is caused on a real server, the remedy that the daemon gives is
//! followed to the letter, and the advice ends though the load goes on.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use poolwatch::demo::Cluster;
use serde_json::Value;

use crate::support::{Daemon, eventually};

/// The time within which a trouble is found, or is over; tables are counted over 45 seconds.
const WITHIN: Duration = Duration::from_mins(4);

/// A table that a statement reads whole.
struct Scan {
    /// The subject of the advice.
    table: &'static str,
    setup: &'static str,
    statement: &'static str,
    /// What the remedy must say.
    says: &'static str,
    /// The statement to run from then on, where the remedy is to write another; otherwise its SQL
    /// is run as it is.
    instead: Option<&'static str>,
}

const SCANS: &[Scan] = &[
    Scan {
        table: "accounts",
        setup: "CREATE TABLE accounts (id int PRIMARY KEY, name text);
                INSERT INTO accounts SELECT n, 'name' FROM generate_series(1, 20000) n",
        statement: "SELECT name FROM accounts WHERE id::text = '77'",
        says: "compare id without the cast to text (give the value as integer), which \
               accounts_pkey serves; or, where that cannot be: CREATE INDEX CONCURRENTLY ON \
               accounts ((id::text)); then ANALYZE accounts",
        instead: None,
    },
    Scan {
        table: "ledgers",
        setup: "CREATE TABLE ledgers (id int PRIMARY KEY, name text);
                INSERT INTO ledgers SELECT n, 'name' FROM generate_series(1, 20000) n",
        statement: "SELECT name FROM ledgers WHERE CAST(id AS text) = '77'",
        says: "compare id without the cast to text",
        instead: Some("SELECT name FROM ledgers WHERE id = 77"),
    },
    Scan {
        table: "items",
        setup: "CREATE TABLE orders (id int PRIMARY KEY, customer int);
                INSERT INTO orders SELECT n, n % 2000 FROM generate_series(1, 20000) n;
                CREATE INDEX ON orders (customer); ANALYZE orders;
                CREATE TABLE items (id int PRIMARY KEY, order_id int, amount int);
                INSERT INTO items SELECT n, n / 3, n FROM generate_series(1, 20000) n",
        statement: "SELECT sum(items.amount) FROM orders JOIN items ON items.order_id = orders.id
                     WHERE orders.customer = 7",
        says: "CREATE INDEX CONCURRENTLY ON items (order_id)",
        instead: None,
    },
    Scan {
        table: "users",
        setup: "CREATE TABLE users (id int PRIMARY KEY, email varchar(99));
                INSERT INTO users SELECT n, 'User' || n || '@A' FROM generate_series(1, 20000) n;
                CREATE INDEX users_email ON users (email)",
        statement: "SELECT id FROM users WHERE lower(email) = lower('User7@a')",
        says: "CREATE INDEX CONCURRENTLY ON users (lower(email)); then ANALYZE users",
        instead: None,
    },
    Scan {
        table: "notes",
        setup: "CREATE TABLE notes (id int PRIMARY KEY, body text);
                INSERT INTO notes SELECT n, md5(n::text) FROM generate_series(1, 20000) n;
                CREATE INDEX notes_body ON notes (body)",
        statement: "SELECT id FROM notes WHERE body LIKE '%abcdef%'",
        says: "CREATE EXTENSION IF NOT EXISTS pg_trgm; then CREATE INDEX CONCURRENTLY ON notes \
               USING gin (body gin_trgm_ops)",
        instead: None,
    },
    Scan {
        table: "documents",
        setup: "CREATE TABLE documents (id int PRIMARY KEY, data jsonb);
                INSERT INTO documents SELECT n, jsonb_build_object('k', n)
                  FROM generate_series(1, 20000) n",
        statement: "SELECT id FROM documents WHERE data @> '{\"k\": 7}'",
        says: "CREATE INDEX CONCURRENTLY ON documents USING gin (data)",
        instead: None,
    },
    Scan {
        table: "people",
        setup: "CREATE TABLE people (id int PRIMARY KEY, phone int, mobile int);
                INSERT INTO people SELECT n, n, n FROM generate_series(1, 20000) n;
                CREATE INDEX people_phone ON people (phone)",
        statement: "SELECT id FROM people WHERE phone = 7 OR mobile = 7",
        says: "CREATE INDEX CONCURRENTLY ON people (mobile)",
        instead: None,
    },
    Scan {
        table: "events",
        setup: "CREATE TABLE events (id int PRIMARY KEY, kind int, at timestamptz);
                INSERT INTO events SELECT n, n % 2, now() - n * interval '1 minute'
                  FROM generate_series(1, 20000) n",
        statement: "SELECT id FROM events WHERE kind = 1 ORDER BY at DESC LIMIT 5",
        says: "CREATE INDEX CONCURRENTLY ON events (kind, at)",
        instead: None,
    },
    Scan {
        table: "visits",
        setup: "CREATE TABLE visits (id int PRIMARY KEY, at timestamptz);
                INSERT INTO visits SELECT n, now() - n * interval '1 minute'
                  FROM generate_series(1, 20000) n;
                CREATE INDEX visits_at ON visits (at)",
        statement: "SELECT count(*) FROM visits WHERE at::date = current_date - 3 AND id > 0",
        says: "compare at as it is with a range (at >= its beginning AND at < its end), which \
               visits_at serves",
        instead: Some(
            "SELECT count(*) FROM visits
                        WHERE at >= current_date - 3 AND at < current_date - 2",
        ),
    },
    Scan {
        table: "tagged",
        setup: "CREATE TABLE tagged (id int PRIMARY KEY, tags text[]);
                INSERT INTO tagged SELECT n, ARRAY['t' || n] FROM generate_series(1, 20000) n;
                CREATE INDEX tagged_tags ON tagged USING gin (tags)",
        statement: "SELECT id FROM tagged WHERE 't7' = ANY (tags)",
        says: "write tags @> ARRAY[value] in place of value = ANY (tags), which its index serves",
        instead: Some("SELECT id FROM tagged WHERE tags @> ARRAY['t7']"),
    },
    Scan {
        table: "jobs",
        setup: "CREATE TABLE jobs (id int PRIMARY KEY, queue int, done boolean);
                INSERT INTO jobs SELECT n, n % 1000, true FROM generate_series(1, 20000) n;
                CREATE INDEX jobs_open ON jobs (queue) WHERE NOT done",
        statement: "SELECT count(*) FROM jobs WHERE queue = 7",
        says: "let its WHERE contain the condition of the index jobs_open (NOT done); or, where \
               that cannot be: CREATE INDEX CONCURRENTLY ON jobs (queue)",
        instead: None,
    },
    Scan {
        table: "measured_1",
        setup: "CREATE TABLE measured (id int, sensor int, at date) PARTITION BY RANGE (id);
                CREATE TABLE measured_1 PARTITION OF measured FOR VALUES FROM (0) TO (99999);
                INSERT INTO measured SELECT n, n % 1000 FROM generate_series(1, 20000) n",
        statement: "SELECT count(at) FROM measured WHERE sensor = 7",
        says: "CREATE INDEX CONCURRENTLY ON measured_1 (sensor)",
        instead: None,
    },
];

/// Tables for whose statements no index helps, and what is said of them.
const HELPLESS: &[Scan] = &[
    Scan {
        table: "readings",
        setup: "CREATE TABLE readings (id int PRIMARY KEY, amount int);
                INSERT INTO readings SELECT n, n FROM generate_series(1, 20000) n",
        statement: "SELECT sum(amount) FROM readings",
        says: "it chooses its rows by no column of this table, so that no index helps it",
        instead: None,
    },
    Scan {
        table: "flags",
        setup: "CREATE TABLE flags (id int PRIMARY KEY, kind int);
                INSERT INTO flags SELECT n, 1 FROM generate_series(1, 20000) n;
                CREATE INDEX flags_kind ON flags (kind)",
        statement: "SELECT count(id) FROM flags WHERE kind = 1",
        says: "the index flags_kind serves its WHERE already",
        instead: None,
    },
    Scan {
        table: "numbers",
        setup: "CREATE TABLE numbers (id int PRIMARY KEY, name text);
                INSERT INTO numbers SELECT n, 'name' FROM generate_series(1, 20000) n",
        statement: "SELECT name FROM numbers WHERE id = 77.0",
        says: "where a value is of another type than the column, such as numeric for integer",
        instead: None,
    },
    Scan {
        table: "words",
        setup: "CREATE TABLE words (id int PRIMARY KEY, word text);
                INSERT INTO words SELECT n, 'w' || n FROM generate_series(1, 20000) n;
                CREATE INDEX words_word ON words (word)",
        statement: "SELECT id FROM words WHERE replace(word, 'w', '') = '7'",
        says: "no index on word serves a condition on replace(): compare word as it is",
        instead: None,
    },
];

/// A server with `pg_stat_statements` and these tables, owned by `owner`, and a daemon over it.
fn serve(scans: &[&Scan]) -> (Cluster, Daemon) {
    let cluster = Cluster::builder().start().unwrap();
    let roles = "CREATE EXTENSION pg_stat_statements; CREATE ROLE owner LOGIN;
        CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher;
        GRANT CREATE ON SCHEMA public TO owner; GRANT CREATE ON DATABASE postgres TO owner";
    cluster.sql(roles).unwrap();
    for scan in scans {
        let setup = format!("SET ROLE owner; {}; ANALYZE {}", scan.setup, scan.table);
        cluster.sql(&setup).unwrap();
    }
    let settings = format!(
        "servers: {{primary: {{url: '{}'}}}}\nsampling: {{tables: 4s, statements: 2s}}\n\
         advice: {{clear_after: 1s}}\n",
        cluster.url_as("watcher", "postgres")
    );
    let daemon = Daemon::with_settings(&settings).start();
    (cluster, daemon)
}

/// The advice of a rule by subject.
fn advised(daemon: &Daemon, rule: &str) -> BTreeMap<String, Value> {
    let page = daemon.get("/health/detailed").json();
    let all = page["advice"].as_array().unwrap().iter().filter(|one| one["rule"] == rule);
    all.map(|one| (one["subject"].as_str().unwrap().to_owned(), one.clone())).collect()
}

/// Runs the SQL of a remedy as it stands in the answer, as the tables' owner.
fn follow(cluster: &Cluster, advice: &Value) {
    for statement in advice["sql"].as_array().unwrap() {
        let sql = statement.as_str().unwrap();
        assert!(advice["remedy"].as_str().unwrap().contains(sql), "{advice}");
        let as_owner = format!("SET ROLE owner; {sql}");
        cluster.sql(&as_owner).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[test]
fn a_scanned_tables_remedy_ends_its_advice_when_it_is_followed() {
    let (cluster, daemon) = serve(&SCANS.iter().collect::<Vec<_>>());
    let mut open: BTreeMap<&str, Option<Value>> =
        SCANS.iter().map(|scan| (scan.table, None)).collect();
    let began = Instant::now();
    while !open.is_empty() {
        for scan in SCANS {
            let followed = open.get(scan.table).is_none_or(Option::is_some);
            let statement = scan.instead.filter(|_| followed).unwrap_or(scan.statement);
            cluster.sql(statement).unwrap();
        }
        let now = advised(&daemon, "table_scans");
        for scan in SCANS {
            let of = now.get(scan.table);
            match (open.get(scan.table), of) {
                // At first it is not known which statement does it.
                (Some(None), Some(advice)) if advice["remedy"].to_string().contains(scan.says) => {
                    if scan.instead.is_none() {
                        assert!(!advice["sql"].as_array().unwrap().is_empty(), "{advice}");
                        follow(&cluster, advice);
                    }
                    open.insert(scan.table, Some(advice.clone()));
                }
                (Some(Some(_)), None) => {
                    open.remove(scan.table);
                }
                _ => {}
            }
        }
        assert!(began.elapsed() < 2 * WITHIN, "{open:#?}\n{now:#?}");
        thread::sleep(Duration::from_millis(250));
    }
}

#[test]
fn a_table_whose_statements_no_index_helps_is_told_so() {
    let (cluster, daemon) = serve(&HELPLESS.iter().collect::<Vec<_>>());
    let mut open: Vec<&Scan> = HELPLESS.iter().collect();
    let began = Instant::now();
    while !open.is_empty() {
        for scan in HELPLESS {
            cluster.sql(scan.statement).unwrap();
        }
        let now = advised(&daemon, "table_scans");
        open.retain(|scan| {
            let advice = now.get(scan.table);
            let told = |advice: &Value| advice["remedy"].to_string().contains(scan.says);
            let said = advice.is_some_and(told);
            assert!(!said || advice.is_some_and(|advice| advice["sql"].is_null()), "{advice:?}");
            !said
        });
        let left: Vec<_> = open.iter().map(|scan| scan.table).collect();
        assert!(began.elapsed() < WITHIN, "{left:?}\n{now:#?}");
        thread::sleep(Duration::from_millis(250));
    }
}

/// Foreign keys without an index, one of a partitioned table; an index that another covers; and
/// indexes of partitions that look covered, and cannot be dropped alone.
const INDEXES: &str = "
CREATE TABLE parents (id int PRIMARY KEY);
INSERT INTO parents SELECT generate_series(1, 100);
CREATE TABLE children (id int PRIMARY KEY, \"Parent\" int REFERENCES parents);
INSERT INTO children SELECT n, 1 + n % 100 FROM generate_series(1, 20000) n;
CREATE TABLE parted (id int, parent_id int REFERENCES parents) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (15000);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (15000) TO (99999);
INSERT INTO parted SELECT n, 1 + n % 100 FROM generate_series(1, 20000) n;
CREATE INDEX parted_id ON parted (id);
CREATE INDEX parted_both ON parted (id, parent_id);
CREATE TABLE wide (a int, b int);
INSERT INTO wide SELECT n, n FROM generate_series(1, 20000) n;
CREATE INDEX wide_a ON wide (a);
CREATE INDEX wide_both ON wide (a, b);
ANALYZE";

#[test]
fn the_remedies_of_indexes_end_their_advice_when_they_are_followed() {
    let (cluster, _) = serve(&[]);
    cluster.sql(&format!("SET ROLE owner; {INDEXES}")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let catalogue = folder.path().join("indexes.yml");
    let expected = "indexes: [{name: wide_b, table: wide, columns: [b]}]\n";
    std::fs::write(&catalogue, expected).unwrap();
    let settings = format!(
        "servers: {{primary: {{url: '{}'}}}}\nsampling: {{tables: 4s}}\n\
         indexes: {{catalogue: '{}'}}\n\
         advice: {{clear_after: 1s, covered_index: {{megabytes: 0}}}}\n",
        cluster.url_as("watcher", "postgres"),
        catalogue.display()
    );
    let daemon = Daemon::with_settings(&settings).start();
    let rules = ["missing_index", "covered_index", "unindexed_foreign_key"];
    let all = || rules.map(|rule| advised(&daemon, rule)).into_iter().flatten();
    let subjects = || all().map(|(subject, _)| subject).collect::<Vec<_>>();
    let wanted = ["wide_b", "wide_a", "children (\"Parent\")", "parted (parent_id)"];
    eventually(|| subjects() == wanted);
    for (_, advice) in all() {
        follow(&cluster, &advice);
    }
    eventually(|| subjects().is_empty());
}
