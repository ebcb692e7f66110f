//! The effect of missing indexes: the generic plans of the statements that take most time,
//! and the tables that those read whole.

use std::sync::Arc;

use serde::Serialize;

use crate::advice::choose;
use crate::indexes::{
    Catalogue, Comparison, ExpectedIndex, PlanError, Planner, QueryPlan, Scan, State, identifier,
};
use crate::postgres::Database;
use crate::reading::TableScans;
use crate::sampler::chain;
use crate::sources::Failure;
use crate::sources::indexes::IndexReader;
use crate::sources::statements::{WholeStatement, whole_statements};
use crate::statement::{StatementKind, Text, unqualified};

/// Statements that are planned for each missing index, and for the tables that are read whole.
const EACH: usize = 3;
const ALL: usize = 20;
/// Rows from which reading a table whole is worth a word.
const LARGE: u64 = 10_000;

/// The findings from the plans.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Plans {
    /// True when plans with an index that is not there could be made.
    pub(super) hypopg: bool,
    /// For each statement that is about a missing index's table.
    pub(super) missing: Vec<Planned>,
    /// Large tables that a statement reads whole, and no expected index is missing for.
    pub(super) whole: Vec<Planned>,
    /// Why there is no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<String>,
}

/// One statement and one index.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Planned {
    /// The index, by its name or by the statement that would create it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<String>,
    pub(super) table: String,
    /// Without literals, in short.
    pub(super) sql: String,
    pub(super) calls: u64,
    pub(super) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) now: Option<Way>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) with_index: Option<Way>,
    /// True when the plan with the index uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<String>,
}

/// The way in which a table is read, and the cost of the statement then.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Way {
    pub(super) scan: String,
    pub(super) cost: f64,
}

impl Way {
    fn from_plan(plan: &QueryPlan, schema: &str, table: &str) -> Option<Self> {
        Some(Self { scan: plan.scan(schema, table)?.how.clone(), cost: plan.cost })
    }
}

/// Plans what there is to plan; what cannot be planned is said and hinders nothing.
pub(super) async fn explain_missing(database: &Arc<Database>, comparison: &Comparison) -> Plans {
    match plans(database, comparison).await {
        Ok(plans) => plans,
        Err(error) => Plans { trouble: Some(chain(&*error)), ..Plans::default() },
    }
}

async fn plans(database: &Arc<Database>, comparison: &Comparison) -> Result<Plans, Failure> {
    let indexes = IndexReader::open(Arc::clone(database), Catalogue::default()).read().await?;
    let tables = indexes.indexes.map(|indexes| indexes.tables).unwrap_or_default();
    let mut connection = database.acquire().await?;
    let Some(statements) = whole_statements(&mut connection).await? else {
        let trouble = "without pg_stat_statements in this database no statement is known";
        return Ok(Plans { trouble: Some(trouble.to_owned()), ..Plans::default() });
    };
    let read = |current: WholeStatement| (Text::read(&current.sql, 500), current);
    let all: Vec<_> = statements.into_iter().map(read).collect();
    let missing = comparison.expected.iter().filter(|(_, state)| *state == State::Missing);
    let missing: Vec<&ExpectedIndex> = missing.map(|(expected, _)| expected).collect();
    let mut planner = Planner::open(&mut connection).await?;
    let trouble = planner.obstacle().map(|obstacle| chain(&obstacle));
    let mut plans = Plans { hypopg: planner.can_suppose(), trouble, ..Plans::default() };
    if plans.trouble.is_some() {
        return Ok(plans);
    }
    for expected in &missing {
        let about = all.iter().filter(|(text, _)| is_about(text, expected));
        for statement in about.take(EACH) {
            plans.missing.extend(for_missing(&mut planner, expected, statement).await);
        }
    }
    let selects = all.iter().filter(|(text, _)| text.kind == StatementKind::Select);
    for statement in selects.filter(|(text, _)| names_large(text, &tables)).take(ALL) {
        plans.whole.extend(read_whole(&mut planner, &tables, &missing, statement).await);
    }
    Ok(plans)
}

/// Returns whether a statement names the table of an index, and what is first in it.
fn is_about(text: &Text, expected: &ExpectedIndex) -> bool {
    let first = expected.columns.first().and_then(Option::as_ref);
    text.kind == StatementKind::Select
        && text.table(&expected.table).is_some()
        && first.is_none_or(|column| text.shown.contains(column.as_str()))
}

fn names_large(text: &Text, tables: &[TableScans]) -> bool {
    tables.iter().any(|table| table.rows >= LARGE && text.table(&table.table).is_some())
}

/// Nothing when the plan does not read that table: another schema has one of its name.
async fn for_missing(
    planner: &mut Planner<'_>,
    expected: &ExpectedIndex,
    statement: &(Text, WholeStatement),
) -> Option<Planned> {
    let (schema, table) = (&*expected.schema, &*expected.table);
    let index = Some(expected.name.clone());
    let planned = Planned::new(statement, table, index);
    let now = match planner.plan(&statement.1.sql).await {
        Ok(plan) => Way::from_plan(&plan, schema, table)?,
        Err(PlanError::NoSelect) => return None,
        Err(error) => return Some(Planned { trouble: Some(chain(&error)), ..planned }),
    };
    let planned = Planned { now: Some(now), ..planned };
    Some(planned.supposing(planner, &statement.1.sql, &expected.supposed(), (schema, table)).await)
}

/// The first large table that a statement reads whole, with the index that its WHERE asks for.
async fn read_whole(
    planner: &mut Planner<'_>,
    tables: &[TableScans],
    missing: &[&ExpectedIndex],
    statement: &(Text, WholeStatement),
) -> Option<Planned> {
    let plan = planner.plan(&statement.1.sql).await.ok()?;
    let large = |scan: &&Scan| tables.iter().any(|table| table.rows >= LARGE && is(table, scan));
    let scan = plan.scans.iter().filter(|scan| scan.is_whole()).find(large)?;
    let table = tables.iter().find(|table| is(table, scan))?;
    // Without a WHERE that an index could help, all rows are wanted.
    let choice = choose(&statement.0, statement.0.table(&table.table)?, table);
    let key = choice.indexes.first().filter(|_| choice.extension.is_none())?;
    let told = |expected: &&ExpectedIndex| {
        let first = expected.columns.first().and_then(Option::as_deref);
        let leads = |first| key.trim_matches(['(', ')']).split(", ").next() == Some(first);
        (&expected.schema, &expected.table) == (&scan.schema, &scan.table)
            && first.is_some_and(leads)
    };
    if missing.iter().any(told) {
        return None;
    }
    let now = Way { scan: scan.how.clone(), cost: plan.cost };
    let create = format!("CREATE INDEX CONCURRENTLY ON {} {key}", table.table);
    let planned = Planned::new(statement, &table.table, Some(create));
    let planned = Planned { now: Some(now), ..planned };
    let place = (&*scan.schema, &*scan.table);
    let (schema, name) = (identifier(place.0), identifier(place.1));
    let supposed = format!("CREATE INDEX ON {schema}.{name} {key}");
    Some(planned.supposing(planner, &statement.1.sql, &supposed, place).await)
}

/// Returns whether a table is the one that is scanned.
fn is(table: &TableScans, scan: &Scan) -> bool {
    let schema = table.table.rsplit_once('.').map_or("public", |(schema, _)| schema);
    unqualified(&table.table) == scan.table && schema.trim_matches('"') == scan.schema
}

impl Planned {
    fn new((text, current): &(Text, WholeStatement), table: &str, index: Option<String>) -> Self {
        Self {
            index,
            table: table.to_owned(),
            sql: text.brief(),
            calls: current.calls,
            seconds: (current.seconds * 1000.0).round() / 1000.0,
            now: None,
            with_index: None,
            used: None,
            trouble: None,
        }
    }

    /// The same with the plan that there would be with an index, where that can be had.
    async fn supposing(
        self,
        planner: &mut Planner<'_>,
        sql: &str,
        create: &str,
        (schema, table): (&str, &str),
    ) -> Self {
        if !planner.can_suppose() {
            return self;
        }
        match planner.plan_with(sql, create).await {
            Ok((plan, name)) => {
                let uses = |scan: &Scan| scan.indexes.contains(&name);
                let used = plan.scans.iter().any(uses);
                Self { with_index: Way::from_plan(&plan, schema, table), used: Some(used), ..self }
            }
            Err(error) => Self { trouble: Some(chain(&error)), ..self },
        }
    }
}
