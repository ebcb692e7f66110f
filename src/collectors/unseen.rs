//! The reasons why a collector may have nothing to show, or zeros that say nothing: a privilege that
//! the role lacks, or a setting of the server. Each with the remedy.

use super::Query;

/// The figures that a collector cannot see. For a collector that is read in each database, this is
/// asked in each database, so reasons that concern the whole server belong to another collector.
#[derive(Debug)]
pub struct Unseen {
    /// The collector's name.
    pub collector: &'static str,
    /// The statement by version, newest first, with a row for each reason: its column `reason`.
    pub queries: &'static [Query],
}

/// Every known reason.
pub const UNSEEN: &[Unseen] = &[
    Unseen { collector: "sequences", queries: &[Query { since: 13, sql: SEQUENCES }] },
    Unseen {
        collector: "stat_database",
        queries: &[Query {
            since: 13,
            sql: "SELECT 'track_io_timing is off, so that the times of reading and writing blocks \
                         stay 0 in pg_stat_database, pg_stat_statements and pg_stat_io; as a \
                         superuser: ALTER SYSTEM SET track_io_timing = on; SELECT \
                         pg_reload_conf()' AS reason
                    WHERE current_setting('track_io_timing') = 'off'
                    UNION ALL
                   SELECT 'track_counts is off, so that nothing is counted of tables and indexes \
                         and no autovacuum runs; as a superuser: ALTER SYSTEM SET track_counts = \
                         on; SELECT pg_reload_conf()'
                    WHERE current_setting('track_counts') = 'off'",
        }],
    },
    Unseen {
        collector: "stat_statements",
        queries: &[
            Query { since: 14, sql: STATEMENTS_WITH_QUERY_IDS },
            Query { since: 13, sql: STATEMENTS },
        ],
    },
    Unseen {
        collector: "stat_wal",
        queries: &[
            Query { since: 18, sql: "SELECT NULL::text AS reason WHERE false" },
            Query {
                since: 14,
                sql:
                    "SELECT 'track_wal_io_timing is off, so that the times of writing and syncing \
                             the write-ahead log stay 0; as a superuser: ALTER SYSTEM SET \
                             track_wal_io_timing = on; SELECT pg_reload_conf()' AS reason
                        WHERE current_setting('track_wal_io_timing') = 'off'",
            },
        ],
    },
];

/// `SELECT` shows the last value; `USAGE` would too, and would let the role draw the next.
const SEQUENCES: &str = "\
SELECT format('the role may not see the last value of %s of %s sequences; as their owner or a \
               superuser: GRANT SELECT ON ALL SEQUENCES IN SCHEMA %s TO %I',
              count(*) FILTER (WHERE NOT readable), count(*),
              string_agg(DISTINCT quote_ident(nspname::text), ', ') FILTER (WHERE NOT readable),
              current_user) AS reason
  FROM (SELECT nspname, has_sequence_privilege(seqrelid, 'SELECT, USAGE') AS readable
          FROM pg_sequence
          JOIN pg_class ON pg_class.oid = seqrelid
          JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE relpersistence <> 't') AS sequences
HAVING count(*) FILTER (WHERE NOT readable) > 0";

const STATEMENTS: &str = "\
SELECT 'pg_stat_statements.track is none, so that no statement is counted; as a superuser: ALTER \
        SYSTEM SET pg_stat_statements.track = top; SELECT pg_reload_conf()' AS reason
 WHERE current_setting('pg_stat_statements.track', true) = 'none'";

const STATEMENTS_WITH_QUERY_IDS: &str = "\
SELECT 'compute_query_id is off, so that no statement is counted; as a superuser: ALTER SYSTEM SET \
        compute_query_id = auto; SELECT pg_reload_conf()' AS reason
 WHERE current_setting('compute_query_id') = 'off'
 UNION ALL
SELECT 'pg_stat_statements.track is none, so that no statement is counted; as a superuser: ALTER \
        SYSTEM SET pg_stat_statements.track = top; SELECT pg_reload_conf()'
 WHERE current_setting('pg_stat_statements.track', true) = 'none'";

impl Unseen {
    /// The statement for a collector on a version, if anything may stay unseen there.
    pub fn statement(collector: &str, version: u32) -> Option<&'static str> {
        let of_collector = UNSEEN.iter().find(|unseen| unseen.collector == collector)?;
        Query::newest(of_collector.queries, version)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Collector;
    use super::*;

    #[test]
    fn every_reason_is_of_a_collector_and_its_statements_are_newest_first() {
        for unseen in UNSEEN {
            assert!(Collector::named(unseen.collector).is_some(), "{}", unseen.collector);
            assert!(unseen.queries.is_sorted_by(|a, b| a.since > b.since), "{}", unseen.collector);
        }
    }
}
