//! A list that likely asks once more for each of its rows, as far as the server alone can tell: a
//! statement by key runs as often as a list, tied to its table by a foreign key, returns rows.

use std::collections::HashSet;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::{Indexes, Statement, StatementStats};
use crate::statement::{Match, NamedTable, StatementKind, unqualified};

/// Steps of some ten seconds in each of which it must be so.
const STEPS: usize = 3;
/// The share by which calls and rows may differ in a step, for a list may be under way at a look …
const IN_STEP: f64 = 0.1;
/// … and in all steps together.
const IN_ALL: f64 = 0.02;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NPlusOneSuspected {
    enabled: bool,
    /// Calls in each step of some ten seconds.
    min_samples: u64,
    /// Rows that the list returns on average.
    rows: u64,
}

impl Default for NPlusOneSuspected {
    fn default() -> Self {
        Self { enabled: true, min_samples: 20, rows: 5 }
    }
}

impl Rule for NPlusOneSuspected {
    fn name(&self) -> &'static str {
        "n_plus_one_suspected"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    /// Nothing where a client counts exactly.
    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        if context.pools.iter().any(|pool| pool.pool.totals.n_plus_one.is_some()) {
            return Vec::new();
        }
        let (mut advice, mut subjects): (Vec<Advice>, HashSet<String>) = Default::default();
        for of in &context.indexes {
            let found = self.judge_server(of, context).into_iter();
            advice.extend(found.filter(|one| subjects.insert(one.subject.clone())));
        }
        advice
    }
}

impl NPlusOneSuspected {
    fn judge_server(&self, of: &Indexes, context: &RuleContext<'_>) -> Vec<Advice> {
        let here: Vec<_> = context.statements(&of.server).filter(|one| is_candidate(one)).collect();
        let children = here.iter().filter_map(|child| Some((*child, by_key(child)?)));
        let suspects = children.filter_map(|(child, (table, column))| {
            let tied = tied(of, &table.name, column);
            let is_list = |one: &&&Statement| {
                let names = |table: &str| one.text.table(table).is_some();
                !names(&table.name) && tied.iter().any(|tied| names(tied)) && self.is_list(one)
            };
            let lists: Vec<_> = here.iter().filter(is_list).copied().collect();
            let each = lists.iter().map(std::slice::from_ref);
            let guilty = each.chain([&lists[..]]).find(|lists| self.matches(child, lists))?;
            let subject = context.within(&of.server, &table.name);
            Some(Advice::new(Severity::Info, subject, message(child, guilty), REMEDY))
        });
        suspects.collect()
    }

    fn is_list(&self, statement: &Statement) -> bool {
        let recent = sum(&[statement]);
        recent.calls > 0 && recent.rows >= self.rows * recent.calls
    }

    /// Returns true if a statement ran as often as these lists returned rows, step by step.
    fn matches(&self, child: &Statement, lists: &[&Statement]) -> bool {
        let returned = sum(lists);
        let one_list = returned.rows as f64 / returned.calls.max(1) as f64;
        let close = |calls: u64, rows: u64, share: f64| {
            calls.abs_diff(rows) as f64 <= share * rows as f64 + one_list
        };
        let each = (1..=STEPS).all(|ago| {
            let at = |one: &Statement| one.steps.len().checked_sub(ago).map(|at| one.steps[at]);
            let calls = at(child).map_or(0, |ran| ran.calls);
            let rows = lists.iter().filter_map(|list| at(list)).map(|ran| ran.rows).sum();
            calls >= self.min_samples && close(calls, rows, IN_STEP)
        });
        each && close(sum(&[child]).calls, returned.rows, IN_ALL)
    }
}

fn is_candidate(statement: &Statement) -> bool {
    statement.in_current_database
        && statement.text.kind == StatementKind::Select
        && statement.steps.len() >= STEPS
}

/// The only table of a statement, and the only column that it chooses rows by.
fn by_key(statement: &Statement) -> Option<(&NamedTable, &str)> {
    match (&statement.text.tables[..], !statement.text.by_list) {
        ([table], true) if table.alternatives.is_empty() => match &table.conditions[..] {
            [one] if one.is_plain() && one.matches == Match::Equal => Some((table, &one.column)),
            _ => None,
        },
        _ => None,
    }
}

/// The tables at the other end of the foreign keys of a column, or to it.
fn tied<'a>(of: &'a Indexes, table: &str, column: &str) -> Vec<&'a str> {
    let ends = of.references.iter().filter_map(|tie| {
        let (from, to) = (unqualified(&tie.table), unqualified(&tie.refers_to));
        let other = match (from == table, to == table) {
            (true, false) if tie.column == column => to,
            (false, true) if tie.key == column => from,
            _ => return None,
        };
        Some(other)
    });
    ends.collect()
}

/// The sum of statements over the last steps.
fn sum(statements: &[&Statement]) -> StatementStats {
    let mut sum = StatementStats::default();
    for ran in statements.iter().flat_map(|one| one.steps.iter().rev().take(STEPS)) {
        sum += *ran;
    }
    sum
}

const REMEDY: &str = "see whether the second runs once for each row of the first; then load both \
                      together: a join or WHERE … IN, in SQLAlchemy selectinload() or \
                      joinedload(), in Django prefetch_related() or select_related(). poolwatch's \
                      client would name the line of the source";

fn message(child: &Statement, lists: &[&Statement]) -> String {
    let named_lists: Vec<_> =
        lists.iter().take(2).map(|list| format!("`{}`", list.text.brief())).collect();
    format!(
        "an N+1 is suspected: {} recently returned {} rows, and `{}` ran {} times",
        named_lists.join(" and "),
        sum(lists).rows,
        child.text.brief(),
        sum(&[child]).calls
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{Reference, Sessions, Top};
    use crate::statement::Text;

    const POSTS: &str = "SELECT * FROM posts ORDER BY id LIMIT $1";
    const COMMENTS: &str = "SELECT * FROM comments WHERE $1 = comments.post_id";
    const CLIENT: &str = "SELECT * FROM clients WHERE clients.id = $1";

    fn ran(sql: &str, steps: &[(u64, u64)]) -> Statement {
        let steps = steps.iter().map(|(calls, rows)| StatementStats {
            calls: *calls,
            rows: *rows,
            ..StatementStats::default()
        });
        let text = Text::read(sql, 500).into();
        Statement {
            in_current_database: true,
            text,
            steps: steps.collect(),
            ..Statement::default()
        }
    }

    fn fixture(statements: Vec<Statement>) -> Fixture {
        let tie = |table: &str, column: &str, refers_to: &str| Reference {
            table: table.into(),
            column: column.into(),
            refers_to: refers_to.into(),
            key: "id".into(),
        };
        let references =
            vec![tie("comments", "post_id", "posts"), tie("s.posts", "client_id", "clients")];
        let mut fixture = Fixture::with_sessions(Sessions::default());
        let server = "primary".to_owned();
        fixture.indexes = vec![Indexes { server, references, ..Indexes::default() }];
        fixture.databases[0].top = Some(Top { statements, ..Top::default() }.into());
        fixture
    }

    fn judge(statements: Vec<Statement>) -> Vec<Advice> {
        fixture(statements).judge(&NPlusOneSuspected::default())
    }

    const LISTS: [(u64, u64); 4] = [(10, 500), (14, 700), (20, 1000), (12, 600)];

    #[test]
    fn a_statement_that_runs_once_for_each_row_of_a_list_is_suspected() {
        let comments = ran(COMMENTS, &[(480, 2000), (705, 2800), (1010, 4000), (605, 2400)]);
        let advice = judge(vec![ran(POSTS, &LISTS), comments]);
        assert_eq!(advice.len(), 1, "{advice:?}");
        assert_eq!((advice[0].subject.as_str(), advice[0].severity), ("comments", Severity::Info));
        let message = &advice[0].message;
        assert!(message.contains("returned 2300 rows") && message.contains("ran 2320 times"));
        let client = ran(CLIENT, &LISTS.map(|(_, rows)| (rows, rows)));
        assert_eq!(judge(vec![ran(POSTS, &LISTS), client]).len(), 1, "each row's own client");
    }

    #[test]
    fn two_lists_may_share_what_belongs_to_their_rows() {
        let other = ran("SELECT id, client_id FROM posts WHERE title = $1", &LISTS);
        let client = ran(CLIENT, &LISTS.map(|(_, rows)| (2 * rows, 2 * rows)));
        assert_eq!(judge(vec![ran(POSTS, &LISTS), other, client]).len(), 1);
    }

    #[test]
    fn lookups_by_key_are_healthy() {
        let rows = |calls: [u64; 4]| calls.map(|calls| (calls, calls));
        for (calls, why) in [
            ([100, 100, 100, 100], "others look them up, less often"),
            ([5000, 7000, 9000, 6000], "and more often"),
            ([700, 500, 600, 1000], "as often on the whole, at other times"),
            ([480, 690, 990, 0], "until a while ago"),
        ] {
            let client = ran(CLIENT, &rows(calls));
            assert_eq!(judge(vec![ran(POSTS, &LISTS), client]), [], "{why}");
        }
        let young = ran(CLIENT, &rows([500, 700, 1000, 600])[2..]);
        assert_eq!(judge(vec![ran(POSTS, &LISTS[2..]), young]), [], "not enough was seen");
    }

    #[test]
    fn what_is_not_tied_to_the_list_has_nothing_to_do_with_it() {
        let as_often = LISTS.map(|(_, rows)| (rows, rows));
        for child in [
            "SELECT * FROM sessions WHERE id = $1",
            "SELECT * FROM comments WHERE id = $1",
            "SELECT * FROM comments WHERE post_id IN ($1, $2)",
            "SELECT * FROM comments WHERE post_id = $1 AND at > $2",
            "UPDATE comments SET seen = $1 WHERE post_id = $2",
        ] {
            assert_eq!(judge(vec![ran(POSTS, &LISTS), ran(child, &as_often)]), [], "{child}");
        }
        let joined = "SELECT * FROM posts JOIN comments ON comments.post_id = posts.id";
        assert_eq!(
            judge(vec![ran(joined, &LISTS), ran(COMMENTS, &as_often)]),
            [],
            "loaded already"
        );
        let one = ran("SELECT * FROM posts WHERE slug = $1", &as_often);
        assert_eq!(judge(vec![one, ran(COMMENTS, &as_often)]), [], "a post and its comments");
    }

    #[test]
    fn nothing_is_suspected_where_a_client_counts_exactly() {
        let comments = ran(COMMENTS, &LISTS.map(|(_, rows)| (rows, rows)));
        let mut fixture = fixture(vec![ran(POSTS, &LISTS), comments]);
        assert_eq!(fixture.judge(&NPlusOneSuspected::default()).len(), 1);
        fixture.pools = Fixture::with_workers(&[1]).pools;
        fixture.totals().n_plus_one = Some(0);
        assert_eq!(fixture.judge(&NPlusOneSuspected::default()), []);
    }
}
