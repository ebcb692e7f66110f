//! The server's plan for a statement whose values are not known: its generic plan, with an index
//! that does not exist where hypopg is installed. No statement is run.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, Row as _};

use super::ExpectedIndex;
use super::creators::{obstacle, unfinished};
use super::unplannable::Unplannable;
use crate::collectors::Query;
use crate::postgres::{Extension, ExtensionError, Reductions, major_version};
use crate::statement::{StatementKind, Text, plannable};
use poolwatch_client::Checkout;

/// The path by which the names of a statement are looked up.
const WITH_PUBLIC: &str = "SET LOCAL search_path = pg_catalog, public";
/// A statement with more values is not planned.
const VALUES: usize = 1000;
/// The name of the statement while it is planned.
const NAME: &str = "poolwatch_planned";
/// Explains the statement or, before 16, what is prepared of it: its values are not looked at where
/// a generic plan is forced, as in this session.
const EXPLAIN: &[Query] = &[
    Query { since: 16, sql: "EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) @statement" },
    Query { since: 0, sql: "EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE @prepared" },
];

/// A statement's generic plan, as far as it reads tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryPlan {
    /// The server's estimate of the whole cost, in its own unit.
    pub cost: f64,
    /// Each table that is read, and how.
    pub scans: Vec<Scan>,
}

/// The way in which a table is read in a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// In the server's words, such as `Seq Scan`.
    pub how: String,
    /// The indexes that are used for it.
    pub indexes: Vec<String>,
}

/// The reason why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not a single SELECT.
    #[error("only a SELECT is planned")]
    NoSelect,
    /// The role may not read a table of it.
    #[error("the role may not read a table of it; run this as the tables' owner")]
    Forbidden,
    /// Planning runs functions, and others than this role could make one.
    #[error(
        "planning could run what others make, with the privileges of this role: {0}. Statements \
         are planned where only this role and superusers own anything or may create anything"
    )]
    Creators(String),
    /// It leads out of the database.
    #[error("it names {0}, by which planning could lead to another server or session")]
    Unplannable(String),
    /// A table of it is found by another `search_path` than poolwatch has.
    #[error("a table of it is not in the schema public")]
    Elsewhere,
    /// It does not stand by itself once its literals are left out.
    #[error("it cannot be planned without its values")]
    Valueless,
    /// Anything else.
    #[error("the server does not plan it")]
    Failed(#[source] sqlx::Error),
    /// The answer is not what EXPLAIN says.
    #[error("the plan cannot be read")]
    Unread,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            Some("42501") => Self::Forbidden,
            Some("42P01") => Self::Elsewhere,
            Some("42601" | "42P02" | "42P18" | "42804" | "42883" | "42725") => Self::Valueless,
            _ => Self::Failed(error),
        }
    }
}

/// Plans statements on one connection, which must be read-only and limited in time.
pub struct Planner<'a> {
    connection: &'a mut Checkout,
    explain: &'static str,
    /// True when a statement is prepared, which no rollback undoes.
    prepared: bool,
    /// The schema of hypopg, quoted, where it is there.
    hypopg: Option<String>,
    /// The reason why nothing is planned.
    obstacle: Option<String>,
}

/// Asked before and after the wait: whoever may create nothing before it has nothing unfinished after.
async fn lasting_obstacle(connection: &mut Checkout) -> Result<Option<String>, sqlx::Error> {
    if let Some(obstacle) = obstacle(connection).await? {
        return Ok(Some(obstacle));
    }
    match unfinished(connection).await? {
        Some(unfinished) => Ok(Some(unfinished)),
        None => obstacle(connection).await,
    }
}

impl<'a> Planner<'a> {
    /// A planner on this connection.
    pub async fn open(connection: &'a mut Checkout) -> Result<Self, ExtensionError> {
        let functions = ["hypopg_create_index", "hypopg_reset"];
        let mut reductions = Reductions::default();
        let hypopg = Extension::find(connection, "hypopg", &functions, &mut reductions).await?;
        let hypopg = hypopg.map(|extension| extension.schema);
        let explain = Query::newest(EXPLAIN, major_version(connection)).unwrap_or_default();
        let obstacle = lasting_obstacle(connection).await?;
        Ok(Self { connection, explain, prepared: false, hypopg, obstacle })
    }

    /// The reason why this role plans nothing in this database.
    pub fn obstacle(&self) -> Option<Error> {
        self.obstacle.clone().map(Error::Creators)
    }

    /// Returns whether an index can be supposed.
    pub fn can_suppose(&self) -> bool {
        self.hypopg.is_some()
    }

    /// The plan as the indexes are.
    pub async fn plan(&mut self, sql: &str) -> Result<QueryPlan, Error> {
        let text = Text::read(sql, 0);
        if text.kind != StatementKind::Select || !text.single || text.placeholders > VALUES {
            return Err(Error::NoSelect);
        }
        if let Some(obstacle) = self.obstacle() {
            return Err(obstacle);
        }
        // Nothing that planning does is to last, whatever it is.
        self.simply("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY").await?;
        let plan = self.plan_within(&plannable(sql), text.placeholders).await;
        self.simply("ROLLBACK").await?;
        if std::mem::take(&mut self.prepared) {
            self.run(&format!("DEALLOCATE {NAME}")).await?;
        }
        plan
    }

    async fn plan_within(&mut self, sql: &str, values: usize) -> Result<QueryPlan, Error> {
        self.check(sql).await?;
        // The application's tables are found as it finds them.
        self.simply(WITH_PUBLIC).await?;
        // By the protocol that takes no more than one statement: what is accepted is one.
        self.run(&format!("PREPARE {NAME} AS {sql}")).await?;
        self.prepared = true;
        // Its tables are locked from here on: nobody holds up the planning after this check.
        self.simply("SET LOCAL search_path = pg_catalog, pg_temp").await?;
        self.check(sql).await?;
        self.simply(WITH_PUBLIC).await?;
        let values = vec!["NULL"; values].join(", ");
        let values = if values.is_empty() { values } else { format!("({values})") };
        // The statement comes last: it may have anything in it.
        let explain = self.explain.replace("@prepared", &format!("{NAME}{values}"));
        self.explain(explain.replace("@statement", sql)).await
    }

    async fn check(&mut self, sql: &str) -> Result<(), Error> {
        if let Some(obstacle) = obstacle(self.connection).await? {
            return Err(Error::Creators(obstacle));
        }
        let unplannable = Unplannable::find(self.connection).await?;
        unplannable.within(sql).map_or(Ok(()), |name| Err(Error::Unplannable(name)))
    }

    /// The plan as it would be with one more index, which no other session sees, and what that
    /// index is called in it.
    pub async fn plan_with(
        &mut self,
        sql: &str,
        index: &str,
    ) -> Result<(QueryPlan, String), Error> {
        let Some(schema) = self.hypopg.clone() else { return Err(Error::Unread) };
        self.check(sql).await?;
        let create = format!("SELECT indexname FROM {schema}.hypopg_create_index($1)");
        let query = sqlx::query(AssertSqlSafe(create)).bind(index).persistent(false);
        let row = (&mut *self.connection).fetch_one(query).await?;
        let name = row.try_get_unchecked(0)?;
        let plan = self.plan(sql).await;
        self.run(&format!("SELECT {schema}.hypopg_reset()")).await?;
        Ok((plan?, name))
    }

    async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false);
        (&mut *self.connection).execute(query).await.map(drop)
    }

    async fn simply(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        (&mut *self.connection).execute(sqlx::raw_sql(sql)).await.map(drop)
    }

    /// Not prepared: there would have to be values for the statement that is explained.
    async fn explain(&mut self, sql: String) -> Result<QueryPlan, Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        let row = (&mut *self.connection).fetch_one(query).await?;
        let text: &str = row.try_get_unchecked(0)?;
        let answer: Value = serde_json::from_str(text).map_err(|_| Error::Unread)?;
        parse(&answer[0]["Plan"]).ok_or(Error::Unread)
    }
}

impl ExpectedIndex {
    /// The statement for an index that is only supposed.
    pub fn supposed(&self) -> String {
        self.create().replacen("CONCURRENTLY IF NOT EXISTS ", "", 1)
    }
}

impl QueryPlan {
    /// The ways in which a table is read, the worst first where it is read more than once.
    pub fn scan(&self, schema: &str, table: &str) -> Option<&Scan> {
        let of_table = |scan: &&Scan| (&*scan.schema, &*scan.table) == (schema, table);
        let mut scans = self.scans.iter().filter(of_table);
        scans.clone().find(|scan| scan.is_whole()).or_else(|| scans.next())
    }
}

impl Scan {
    /// Returns whether the table is read from its beginning.
    pub fn is_whole(&self) -> bool {
        self.how.ends_with("Seq Scan")
    }
}

fn parse(node: &Value) -> Option<QueryPlan> {
    let mut plan = QueryPlan { cost: node["Total Cost"].as_f64()?, scans: Vec::new() };
    gather(node, &mut plan.scans);
    Some(plan)
}

fn gather(node: &Value, scans: &mut Vec<Scan>) {
    let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    let kind = text("Node Type");
    if kind.ends_with("Scan") && node["Relation Name"].is_string() {
        let mut indexes = Vec::new();
        used(node, &mut indexes);
        scans.push(Scan {
            schema: text("Schema"),
            table: text("Relation Name"),
            how: kind,
            indexes,
        });
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        gather(child, scans);
    }
}

/// The indexes below a scan, those of a bitmap's parts included.
fn used(node: &Value, indexes: &mut Vec<String>) {
    indexes.extend(node["Index Name"].as_str().map(str::to_owned));
    for child in node["Plans"].as_array().into_iter().flatten() {
        used(child, indexes);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bitmaps_indexes_are_those_of_its_table() {
        let answer = json!({
            "Node Type": "Nested Loop", "Total Cost": 12.5, "Plans": [
                {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "a", "Total Cost": 1},
                {"Node Type": "Bitmap Heap Scan", "Schema": "public", "Relation Name": "b", "Plans": [
                    {"Node Type": "BitmapOr", "Plans": [
                        {"Node Type": "Bitmap Index Scan", "Index Name": "i"},
                        {"Node Type": "Bitmap Index Scan", "Index Name": "j"},
                    ]},
                ]},
            ],
        });
        let plan = parse(&answer).unwrap();
        assert_eq!(plan.cost, 12.5);
        assert!(plan.scan("s", "a").unwrap().is_whole() && plan.scan("public", "a").is_none());
        assert_eq!(plan.scan("public", "b").unwrap().indexes, ["i", "j"]);
        assert_eq!(parse(&json!({"Node Type": "Result"})), None);
    }
}
