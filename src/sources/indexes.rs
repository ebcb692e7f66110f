//! A database's indexes and tables, against what is expected: read rarely and gently, for advice.
//!
//! Reading every index is expensive and they rarely change, so they are read again only after the
//! catalogue has changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::{Instant, timeout};

use super::{Failure, explain, text};
use crate::indexes::{Catalogue, Comparison, Inventory, PresentIndex, State, compare, identifier};
use crate::postgres::{Database, Optional, ReducibleStatement, Reductions, texts};
use crate::reading::{
    ForeignKey, Index, IndexKey, Indexes, Reading, Reference, TableIndex, TableScans,
};
use poolwatch_client::Checkout;

/// The most foreign keys and tables that are read.
const LIMIT: i64 = 100;
/// Ties between tables are smaller.
const REFERENCES_LIMIT: i64 = 1000;
/// Tables with fewer rows are best read whole.
const LARGE: i64 = 5000;

/// The age up to which cached indexes are used: their use and size change all the time, and a
/// replica counts no changes.
const CACHE_MAX_AGE: Duration = Duration::from_mins(5);

/// Reads the indexes of one database.
#[derive(Debug)]
pub struct IndexReader {
    database: Arc<Database>,
    catalogue: Catalogue,
    cache: Option<Cache>,
    readings: u64,
    reductions: Reductions,
}

/// The indexes as they were last read.
#[derive(Clone, Debug)]
struct Cache {
    indexes: Indexes,
    /// Those of each table, by its name.
    of_tables: HashMap<String, Vec<TableIndex>>,
    /// The number of changes of the catalogue at that time, if the server counts them.
    changes: Option<i64>,
    /// True when one was being built: the end of a build does not count as a change.
    building: bool,
    since: Instant,
}

/// The reason why the indexes were not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time.
    #[error("no answer within {0} s")]
    Slow(u64),
    /// A statement failed.
    #[error("{}", explain(.0).unwrap_or("cannot read the indexes"))]
    Failed(#[from] sqlx::Error),
    /// No connection.
    #[error("no connection")]
    Acquire(#[from] poolwatch_client::AcquireError),
}

impl IndexReader {
    /// A reader of one database, in which these indexes are expected.
    pub fn open(database: Arc<Database>, catalogue: Catalogue) -> Self {
        Self { database, catalogue, cache: None, readings: 0, reductions: Reductions::default() }
    }

    /// Reads once, in the turn of slow readings.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let database = Arc::clone(&self.database);
        let _turn = database.slow_lane().await;
        let began = Instant::now();
        let read_timeout = database.read_timeout();
        let read = timeout(read_timeout, self.sample()).await;
        let mut indexes = read.map_err(|_| Error::Slow(read_timeout.as_secs()))??;
        self.readings += 1;
        if let Some(indexes) = &mut indexes {
            indexes.number = self.readings;
        }
        let hints = self.reductions.tell(self.database.name(), "indexes");
        Ok(Reading { indexes, hints, elapsed: Some(began.elapsed()), ..Reading::default() })
    }

    /// `None` where the server tells of no indexes.
    async fn sample(&mut self) -> Result<Option<Indexes>, Error> {
        let database = Arc::clone(&self.database);
        let mut connection = database.acquire().await?;
        let changes = statement(CHANGES, "changes of the catalogue");
        let changes = self.reductions.rows(&mut connection, changes, |query| query).await?;
        let changes = changes.as_ref().and_then(|rows| rows.first());
        let changes = changes.map_or(Ok(None), |row| row.try_get(0))?;
        let cache = self.cache.take().filter(|cache| cache.is_valid(changes));
        let cache = match cache {
            Some(cache) => Some(cache),
            None => self.read_all(&mut connection, changes).await?,
        };
        let Some(cache) = cache else { return Ok(None) };
        let tables = self.rows(&mut connection, TABLES, "scans of tables").await?;
        let table = |row: &PgRow| {
            let table = table(row)?;
            let indexes = cache.of_tables.get(&table.table).cloned().unwrap_or_default();
            Ok::<_, sqlx::Error>(TableScans { indexes, ..table })
        };
        let tables = tables.iter().map(table).collect::<Result<_, _>>()?;
        let indexes = cache.indexes.clone();
        self.cache = Some(cache);
        Ok(Some(Indexes { tables, ..indexes }))
    }

    async fn read_all(
        &mut self,
        connection: &mut Checkout,
        changes: Option<i64>,
    ) -> Result<Option<Cache>, Error> {
        let inventory = Inventory::read_reduced(connection, &mut self.reductions).await?;
        let Some(inventory) = inventory else { return Ok(None) };
        let foreign_keys = self.rows(connection, FOREIGN_KEYS, "foreign keys").await?;
        let references = statement(REFERENCES, "ties between tables");
        let references =
            self.reductions.rows(connection, references, |query| query.bind(REFERENCES_LIMIT));
        let references = references.await?.unwrap_or_default();
        let indexes = Indexes {
            foreign_keys: foreign_keys.iter().map(foreign_key).collect::<Result<_, _>>()?,
            references: references.iter().map(reference).collect::<Result<_, _>>()?,
            ..reported(self.database.name(), &compare(&self.catalogue, &inventory))
        };
        let building = inventory.indexes.iter().any(|index| index.building);
        let mut of_tables: HashMap<_, Vec<_>> = HashMap::new();
        for index in &inventory.indexes {
            let table = without_public(index.relation.clone());
            of_tables.entry(table).or_default().push(of_table(index));
        }
        Ok(Some(Cache { indexes, of_tables, changes, building, since: Instant::now() }))
    }

    async fn rows(
        &mut self,
        connection: &mut Checkout,
        sql: &'static str,
        gives: &'static str,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let rows = self
            .reductions
            .rows(connection, statement(sql, gives), |query| query.bind(LIMIT).bind(LARGE));
        Ok(rows.await?.unwrap_or_default())
    }
}

impl Cache {
    fn is_valid(&self, changes: Option<i64>) -> bool {
        changes.is_some()
            && self.changes == changes
            && !self.building
            && self.since.elapsed() < CACHE_MAX_AGE
    }
}

/// A statement that must be read in full: advice from half of its figures would be wrong.
fn statement(sql: &'static str, gives: &'static str) -> ReducibleStatement<'static> {
    ReducibleStatement { sql, optional: Optional::These(&[]), gives }
}

fn foreign_key(row: &PgRow) -> Result<ForeignKey, sqlx::Error> {
    Ok(ForeignKey {
        table: relation(row, "table")?,
        columns: name(row, "columns")?,
        refers_to: relation(row, "refers_to")?,
        rows: count(row, "rows")?,
        partitioned: row.try_get("partitioned")?,
    })
}

fn reference(row: &PgRow) -> Result<Reference, sqlx::Error> {
    Ok(Reference {
        table: relation(row, "table")?,
        column: name(row, "column")?,
        refers_to: relation(row, "refers_to")?,
        key: name(row, "key")?,
    })
}

fn table(row: &PgRow) -> Result<TableScans, sqlx::Error> {
    Ok(TableScans {
        table: relation(row, "table")?,
        rows: count(row, "rows")?,
        scans: count(row, "scans")?,
        rows_scanned: count(row, "rows_scanned")?,
        pages: count(row, "pages")?,
        columns: texts(row, "columns")?,
        types: texts(row, "types")?,
        partition_of: text(row, "partition_of")?.map(without_public),
        indexes: Vec::new(),
    })
}

fn of_table(index: &PresentIndex) -> TableIndex {
    let key = |(sql, serves): (&String, &String)| IndexKey {
        sql: sql.clone(),
        equal: !serves.is_empty(),
        ordered: serves == "ordered",
    };
    TableIndex {
        name: index.name.clone(),
        method: index.method.clone(),
        valid: index.valid,
        unique: index.unique,
        condition: index.condition.clone(),
        keys: index.columns.iter().zip(&index.serves).map(key).collect(),
    }
}

/// The name of a table as the server writes it where all names are qualified: without the schema
/// everybody knows.
fn relation(row: &PgRow, column: &str) -> Result<String, sqlx::Error> {
    Ok(without_public(name(row, column)?))
}

fn without_public(name: String) -> String {
    name.strip_prefix("public.").map(str::to_owned).unwrap_or(name)
}

fn name(row: &PgRow, column: &str) -> Result<String, sqlx::Error> {
    Ok(text(row, column)?.unwrap_or_default())
}

fn count(row: &PgRow, column: &str) -> Result<u64, sqlx::Error> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

/// The part of the comparison that is worth a report.
fn reported(server: &str, comparison: &Comparison) -> Indexes {
    let expected = |wanted: State| {
        let such = comparison.expected.iter().filter(move |(_, state)| *state == wanted);
        such.map(|(expected, _)| Index {
            name: expected.name.clone(),
            place: expected.place(),
            statement: expected.create(),
            ..Index::default()
        })
    };
    let rebuild = |index: Index| Index { statement: "poolwatch indexes --apply".into(), ..index };
    let invalid = expected(State::Invalid).map(rebuild);
    Indexes {
        server: server.to_owned(),
        missing: expected(State::Missing).collect(),
        invalid: invalid.chain(comparison.invalid.iter().map(|i| present(i, None))).collect(),
        unused: comparison.unused.iter().map(|index| present(index, None)).collect(),
        covered: comparison.covered.iter().map(|(i, by)| present(i, Some(by))).collect(),
        counted_for: comparison.counted_days * 86_400.0,
        ..Indexes::default()
    }
}

fn present(index: &PresentIndex, covered_by: Option<&String>) -> Index {
    Index {
        name: index.title(),
        place: format!("{} ({})", index.table_title(), index.columns.join(", ")),
        covered_by: covered_by.cloned(),
        bytes: index.bytes,
        statement: format!(
            "DROP INDEX CONCURRENTLY {}.{}",
            identifier(&index.schema),
            identifier(&index.name)
        ),
    }
}

/// The number of changed indexes and constraints and of new tables, as the server counts rows.
const CHANGES: &str = "
SELECT sum(pg_stat_get_tuples_inserted(catalogue)
         + CASE WHEN catalogue = 'pg_class'::regclass THEN 0
                ELSE pg_stat_get_tuples_updated(catalogue)
                   + pg_stat_get_tuples_deleted(catalogue) END)::bigint
  FROM unnest(ARRAY['pg_index', 'pg_constraint', 'pg_class']::regclass[]) AS catalogue";

/// Foreign keys whose columns lead no index that all rows are in. Those of partitions are their
/// parents', whose own count of rows nobody keeps.
const FOREIGN_KEYS: &str = r#"
WITH keys AS (
    SELECT conrelid, conkey, confrelid, relation.relkind = 'p' AS partitioned,
           CASE WHEN relation.relkind = 'p'
                THEN (SELECT sum(greatest(part.reltuples, 0))
                        FROM pg_partition_tree(conrelid) AS tree
                        JOIN pg_class AS part ON part.oid = tree.relid
                       WHERE tree.isleaf)
                ELSE greatest(relation.reltuples, 0) END AS rows
      FROM pg_constraint
      JOIN pg_class AS relation ON relation.oid = conrelid
     WHERE contype = 'f' AND conparentid = 0
       AND (relation.reltuples >= $2 OR relation.relkind = 'p')
       AND NOT EXISTS (
           SELECT FROM pg_index
             JOIN pg_class AS class ON class.oid = indexrelid
             JOIN pg_am AS method ON method.oid = class.relam
            WHERE indrelid = conrelid AND indisvalid AND indpred IS NULL
              AND method.amname IN ('btree', 'hash')
              AND (indkey::int2[])[0:cardinality(conkey) - 1] @> conkey))
SELECT conrelid::regclass::text AS "table",
       (SELECT string_agg(quote_ident(attname), ', ' ORDER BY place)
          FROM unnest(conkey) WITH ORDINALITY AS key (number, place)
          JOIN pg_attribute ON attrelid = conrelid AND attnum = number) AS columns,
       confrelid::regclass::text AS refers_to,
       rows::bigint AS rows, partitioned
  FROM keys
 WHERE rows >= $2
 ORDER BY rows DESC, 1, 2
 LIMIT $1"#;

/// Those of partitions are their parents'.
const REFERENCES: &str = r#"
SELECT conrelid::regclass::text AS "table", own.attname::text AS "column",
       confrelid::regclass::text AS refers_to, other.attname::text AS key
  FROM pg_constraint
  JOIN pg_attribute AS own ON own.attrelid = conrelid AND own.attnum = conkey[1]
  JOIN pg_attribute AS other ON other.attrelid = confrelid AND other.attnum = confkey[1]
 WHERE contype = 'f' AND cardinality(conkey) = 1 AND conparentid = 0
 ORDER BY 1, 2
 LIMIT $1"#;

/// A table without a count of rows was never analyzed.
const TABLES: &str = r#"
SELECT relation.oid::regclass::text AS "table",
       relation.reltuples::bigint AS rows,
       pg_stat_get_numscans(relation.oid) AS scans,
       pg_stat_get_tuples_returned(relation.oid) AS rows_scanned,
       relation.relpages::bigint AS pages,
       ARRAY(SELECT quote_ident(attname) FROM pg_attribute
              WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
              ORDER BY attnum) AS columns,
       ARRAY(SELECT format_type(atttypid, NULL) FROM pg_attribute
              WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
              ORDER BY attnum) AS types,
       CASE WHEN relation.relispartition
            THEN pg_partition_root(relation.oid)::regclass::text END AS partition_of
  FROM pg_class AS relation
  JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
 WHERE relation.relkind IN ('r', 'm')
   AND relation.reltuples >= $2
   AND namespace.nspname NOT IN ('pg_catalog', 'information_schema')
   AND namespace.nspname NOT LIKE 'pg\_%'
 ORDER BY rows_scanned DESC, 1
 LIMIT $1"#;
