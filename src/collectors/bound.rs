//! Tables of which only some rows have series of their own, because there may be any number. The
//! others are aggregated.

use super::Column;

/// The choice of the rows that have series of their own.
#[derive(Debug)]
pub struct Bound {
    /// Those that come first.
    pub rank: Rank,
    /// The number of rows that are shown, unless the settings say otherwise.
    pub limit: u32,
}

/// The order of the rows, and who finds it.
#[derive(Debug)]
pub enum Rank {
    /// The server finds those that have the most of a column, and sums all.
    Server {
        /// The alias by which a row is known again.
        key: &'static str,
        /// The alias of which they have most.
        column: &'static str,
        /// Labels that the others keep, being alike in all rows.
        kept: &'static [&'static str],
    },
    /// The server gives every row. Those with the same labels add up to one, which is known again
    /// by them. First are, in turn, those that have the most of each measure.
    Each(&'static [Measure]),
}

/// A figure by which rows are compared.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// A column.
    Column(&'static str),
    /// The first column by the second.
    Quotient(&'static str, &'static str),
}

/// The label value of the rows that have no series of their own.
pub const OTHER: &str = "other";

impl Bound {
    /// True when the server gives keys and places.
    pub fn is_ranked(&self) -> bool {
        matches!(self.rank, Rank::Server { .. })
    }

    /// The statement, where the server ranks. It returns the rows that are shown, each with its key
    /// and its place; and last, without a key, the sum of all rows and their number. It compares
    /// keys with a subquery, which is hashed; a list would be gone through for each row.
    pub(super) fn statement(
        &self,
        labels: &[&str],
        columns: impl Iterator<Item = &'static Column>,
        sql: &str,
        selected: &str,
    ) -> Option<String> {
        let Rank::Server { key, column: rank, kept } = &self.rank else { return None };
        let labels = labels.iter().map(|label| {
            if kept.contains(label) {
                format!("max(\"{label}\"::text)")
            } else {
                format!("'{OTHER}'")
            }
        });
        let sums = columns.map(|column| {
            if column.adds_up {
                format!("sum(\"{}\"::float8)", column.name)
            } else {
                "NULL".to_owned()
            }
        });
        let aggregated = labels.chain(sums).collect::<Vec<_>>().join(", ");
        Some(format!(
            "WITH ranked AS MATERIALIZED (
                 SELECT *, row_number() OVER (
                            ORDER BY \"{rank}\" DESC NULLS LAST, \"{key}\") AS place
                   FROM ({sql}) AS reading)
             SELECT \"{key}\"::text, place, {selected} FROM ranked
              WHERE place <= $1 OR \"{key}\"::text IN (SELECT unnest($2::text[]))
              UNION ALL SELECT NULL, count(*), {aggregated} FROM ranked HAVING count(*) > 0"
        ))
    }

    /// The aliases that it names.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<&'static str> {
        match self.rank {
            Rank::Server { key, column, .. } => vec![key, column],
            Rank::Each(measures) => measures.iter().flat_map(Measure::names).collect(),
        }
    }
}

#[cfg(test)]
impl Measure {
    fn names(&self) -> Vec<&'static str> {
        match *self {
            Self::Column(column) => vec![column],
            Self::Quotient(column, by) => vec![column, by],
        }
    }
}
