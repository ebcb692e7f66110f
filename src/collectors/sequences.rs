//! The sequences nearest to their end.

use super::{Bound, Collector, Pace, Query, Rank, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "sequences",
    pace: Pace::Slow,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_sequence",
        labels: &["datname", "schemaname", "sequencename"],
        queries: &[Query { since: 13, sql: SQL }],
        columns: &[gauge(
            "used_ratio",
            "Share of the values from its start to its end that a sequence has used, where the end \
             is that of the column it feeds if that comes sooner; pg_sequences.last_value.",
        )
        .apart()],
        bound: Some(Bound {
            rank: Rank::Server { key: "key", column: "used_ratio", kept: &["datname"] },
            limit: 20,
        }),
        ..Table::EMPTY
    }],
};

/// Before 17 the function fails for want of a privilege, and of an unlogged sequence on a standby.
/// A sequence feeds the columns that own it, and those whose default names it. A column's type may be
/// a domain over another domain. What counts are steps: one of 100 ends the sequence that has 99 left.
const SQL: &str = "\
SELECT current_database() AS datname, schemaname, sequencename,
       concat_ws('/', schemaname, sequencename) AS key,
       CASE WHEN ends < starts AND rises OR ends > starts AND NOT rises THEN 1
            ELSE least(1, (floor(abs(last_value - starts) / step) + 1)
                          / (floor(abs(ends - starts) / step) + 1))
        END AS used_ratio
  FROM (SELECT schemaname, sequencename, rises, step, last_value,
               CASE WHEN rises THEN least(start, last_value) ELSE greatest(start, last_value)
                END AS starts,
               CASE WHEN rises THEN least(highest, columns_highest)
                    ELSE greatest(lowest, -columns_highest - 1) END AS ends
          FROM (SELECT nspname AS schemaname, relname AS sequencename, seqincrement > 0 AS rises,
                       abs(seqincrement::float8) AS step,
                       seqstart::float8 AS start, seqmin::float8 AS lowest,
                       seqmax::float8 AS highest,
                       CASE WHEN has_sequence_privilege(seqrelid, 'SELECT, USAGE')
                             AND NOT (relpersistence = 'u' AND pg_is_in_recovery())
                            THEN pg_sequence_last_value(seqrelid)::float8 END AS last_value,
                       (SELECT min(CASE
                                   WHEN base.oid = 'int2'::regtype THEN 32767::float8
                                   WHEN base.oid = 'int4'::regtype THEN 2147483647::float8
                                   WHEN base.oid = 'numeric'::regtype AND modifier >= 4
                                   THEN 10::float8 ^ least(((modifier - 4) >> 16 & 65535)
                                        - (((modifier - 4 & 2047) # 1024) - 1024), 30)::float8 - 1
                                   END)
                          FROM pg_depend AS depend
                          LEFT JOIN pg_attrdef AS of_default
                            ON depend.classid = 'pg_attrdef'::regclass
                           AND of_default.oid = depend.objid
                          JOIN pg_attribute
                            ON (attrelid, attnum) = (adrelid, adnum)
                            OR depend.classid = 'pg_class'::regclass
                           AND depend.objid = seqrelid
                           AND (attrelid, attnum) = (depend.refobjid, depend.refobjsubid)
                         CROSS JOIN LATERAL (
                               WITH RECURSIVE base AS (
                                    SELECT atttypid AS oid, atttypmod AS modifier
                                     UNION ALL
                                    SELECT typbasetype, typtypmod
                                      FROM base JOIN pg_type ON pg_type.oid = base.oid
                                     WHERE typbasetype <> 0)
                               SELECT oid, modifier FROM base) AS base
                         WHERE depend.refclassid = 'pg_class'::regclass
                           AND (depend.refobjid = seqrelid AND adrelid IS NOT NULL
                                OR depend.classid = 'pg_class'::regclass
                                   AND depend.objid = seqrelid AND depend.deptype IN ('a', 'i'))
                       ) AS columns_highest
                  FROM pg_sequence
                  JOIN pg_class ON pg_class.oid = seqrelid
                  JOIN pg_namespace ON pg_namespace.oid = relnamespace
                 WHERE NOT seqcycle AND NOT pg_is_other_temp_schema(relnamespace)) AS sequences
         WHERE last_value IS NOT NULL) AS used";
