//! Tables: how they are used and how vacuum keeps up; their sizes apart, for sizes walk the
//! disk. A table that somebody has locked has no size meanwhile: asking would wait. The largest are
//! measured, as many as are shown, and those that have outgrown the size in the catalogue, which
//! vacuum and analyze write: it may be a thousandth of the true one, above all of what is in TOAST.

use super::{Bound, Collector, Pace, Query, Rank, Reader, Scope, Table, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_user_tables",
    pace: Pace::Tables,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_user_tables",
        labels: &["datname", "schemaname", "relname"],
        queries: &[
            Query {
                since: 18,
                sql: "SELECT current_database() AS datname, schemaname, relname, relid,
               seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del AS activity,
               seq_scan, seq_tup_read, idx_scan, idx_tup_fetch,
               n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd,
               n_live_tup, n_dead_tup, n_mod_since_analyze,
               extract(epoch FROM last_vacuum) AS last_vacuum,
               extract(epoch FROM last_autovacuum) AS last_autovacuum,
               extract(epoch FROM last_analyze) AS last_analyze,
               extract(epoch FROM last_autoanalyze) AS last_autoanalyze,
               vacuum_count, autovacuum_count, analyze_count, autoanalyze_count,
               n_tup_newpage_upd AS n_tup_newpage_upd_total,
               total_vacuum_time / 1000.0 AS vacuum_seconds_total,
               total_autovacuum_time / 1000.0 AS autovacuum_seconds_total,
               total_analyze_time / 1000.0 AS analyze_seconds_total,
               total_autoanalyze_time / 1000.0 AS autoanalyze_seconds_total
          FROM pg_stat_user_tables",
            },
            Query {
                since: 16,
                sql: "SELECT current_database() AS datname, schemaname, relname, relid,
               seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del AS activity,
               seq_scan, seq_tup_read, idx_scan, idx_tup_fetch,
               n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd,
               n_live_tup, n_dead_tup, n_mod_since_analyze,
               extract(epoch FROM last_vacuum) AS last_vacuum,
               extract(epoch FROM last_autovacuum) AS last_autovacuum,
               extract(epoch FROM last_analyze) AS last_analyze,
               extract(epoch FROM last_autoanalyze) AS last_autoanalyze,
               vacuum_count, autovacuum_count, analyze_count, autoanalyze_count,
               n_tup_newpage_upd AS n_tup_newpage_upd_total
          FROM pg_stat_user_tables",
            },
            Query {
                since: 13,
                sql: "SELECT current_database() AS datname, schemaname, relname, relid,
               seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del AS activity,
               seq_scan, seq_tup_read, idx_scan, idx_tup_fetch,
               n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd,
               n_live_tup, n_dead_tup, n_mod_since_analyze,
               extract(epoch FROM last_vacuum) AS last_vacuum,
               extract(epoch FROM last_autovacuum) AS last_autovacuum,
               extract(epoch FROM last_analyze) AS last_analyze,
               extract(epoch FROM last_autoanalyze) AS last_autoanalyze,
               vacuum_count, autovacuum_count, analyze_count, autoanalyze_count
          FROM pg_stat_user_tables",
            },
        ],
        columns: &[
            counter("seq_scan", "Sequential scans; pg_stat_user_tables.seq_scan."),
            counter(
                "seq_tup_read",
                "Rows read by sequential scans; pg_stat_user_tables.seq_tup_read.",
            ),
            counter("idx_scan", "Index scans; pg_stat_user_tables.idx_scan."),
            counter(
                "idx_tup_fetch",
                "Rows fetched by index scans; pg_stat_user_tables.idx_tup_fetch.",
            ),
            counter("n_tup_ins", "Rows inserted; pg_stat_user_tables.n_tup_ins."),
            counter("n_tup_upd", "Rows updated; pg_stat_user_tables.n_tup_upd."),
            counter("n_tup_del", "Rows deleted; pg_stat_user_tables.n_tup_del."),
            counter(
                "n_tup_hot_upd",
                "Rows updated without a new index entry; pg_stat_user_tables.n_tup_hot_upd.",
            ),
            gauge("n_live_tup", "Live rows, as estimated; pg_stat_user_tables.n_live_tup."),
            gauge("n_dead_tup", "Dead rows, as estimated; pg_stat_user_tables.n_dead_tup."),
            gauge(
                "n_mod_since_analyze",
                "Rows changed since the last analyze; pg_stat_user_tables.n_mod_since_analyze.",
            ),
            gauge(
                "last_vacuum",
                "When the table was last vacuumed by hand, in Unix seconds, absent when \
                never; pg_stat_user_tables.last_vacuum.",
            )
            .apart(),
            gauge(
                "last_autovacuum",
                "When the table was last vacuumed by autovacuum, in Unix seconds, absent when \
                never; pg_stat_user_tables.last_autovacuum.",
            )
            .apart(),
            gauge(
                "last_analyze",
                "When the table was last analyzed by hand, in Unix seconds, absent when \
                never; pg_stat_user_tables.last_analyze.",
            )
            .apart(),
            gauge(
                "last_autoanalyze",
                "When the table was last analyzed by autovacuum, in Unix seconds, absent when \
                never; pg_stat_user_tables.last_autoanalyze.",
            )
            .apart(),
            counter("vacuum_count", "Vacuums by hand; pg_stat_user_tables.vacuum_count."),
            counter(
                "autovacuum_count",
                "Vacuums by autovacuum; pg_stat_user_tables.autovacuum_count.",
            ),
            counter("analyze_count", "Analyzes by hand; pg_stat_user_tables.analyze_count."),
            counter(
                "autoanalyze_count",
                "Analyzes by autovacuum; pg_stat_user_tables.autoanalyze_count.",
            ),
            counter(
                "n_tup_newpage_upd_total",
                "Rows updated onto another page; pg_stat_user_tables.n_tup_newpage_upd.",
            )
            .since(16),
            counter(
                "vacuum_seconds_total",
                "Time spent in vacuums by hand; pg_stat_user_tables.total_vacuum_time.",
            )
            .since(18),
            counter(
                "autovacuum_seconds_total",
                "Time spent in vacuums by autovacuum; \
                pg_stat_user_tables.total_autovacuum_time.",
            )
            .since(18),
            counter(
                "analyze_seconds_total",
                "Time spent in analyzes by hand; pg_stat_user_tables.total_analyze_time.",
            )
            .since(18),
            counter(
                "autoanalyze_seconds_total",
                "Time spent in analyzes by autovacuum; \
                pg_stat_user_tables.total_autoanalyze_time.",
            )
            .since(18),
        ],
        bound: Some(Bound {
            rank: Rank::Server { key: "relid", column: "activity", kept: &["datname"] },
            limit: 100,
        }),
        ..Table::EMPTY
    }],
};

pub(super) const SIZE: Collector = Collector {
    name: "stat_user_tables_size",
    pace: Pace::Sizes,
    scope: Scope::Database,
    enabled: true,
    part_of: Some("stat_user_tables"),
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_user_tables",
        labels: &["datname", "schemaname", "relname"],
        queries: &[Query {
            since: 13,
            sql: "WITH locked AS MATERIALIZED (
           SELECT relation FROM pg_locks
            WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
      listed AS MATERIALIZED (
           SELECT relid, schemaname, relname, pages, outgrown,
                  row_number() OVER (ORDER BY outgrown DESC, pages DESC) AS place
             FROM (SELECT class.oid AS relid, nspname AS schemaname, class.relname,
                          class.relpages::bigint + coalesce(toast.relpages, 0) AS pages,
                          (class.relpages = 0 AND pg_stat_get_tuples_inserted(class.oid) > 0)
                          OR pg_stat_get_mod_since_analyze(class.oid) > greatest(class.reltuples, 0)
                          OR coalesce(pg_stat_get_ins_since_vacuum(toast.oid)
                                          > greatest(toast.reltuples, 0), false) AS outgrown
                     FROM pg_class AS class
                     JOIN pg_namespace ON pg_namespace.oid = class.relnamespace
                     LEFT JOIN pg_class AS toast ON toast.oid = class.reltoastrelid
                    WHERE class.relkind IN ('r', 't', 'm')
                      AND nspname NOT IN ('pg_catalog', 'information_schema')
                      AND nspname !~ '^pg_toast'
                      AND class.oid NOT IN (SELECT relation FROM locked)
                      AND class.reltoastrelid NOT IN (SELECT relation FROM locked)
                      AND NOT EXISTS (
                              SELECT FROM pg_index JOIN locked ON relation = indexrelid
                               WHERE indrelid IN (class.oid, class.reltoastrelid))) AS tables)
      SELECT current_database() AS datname, schemaname, relname, relid,
             CASE WHEN measured THEN pg_table_size(relid)
                  WHEN NOT outgrown
                  THEN pages * current_setting('block_size')::bigint END AS table_size_bytes,
             CASE WHEN measured THEN pg_indexes_size(relid)
                  ELSE (SELECT sum(index.relpages::bigint)
                          FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
                         WHERE indrelid = relid) * current_setting('block_size')::bigint
              END AS index_size_bytes
        FROM (SELECT *, place <= CASE WHEN outgrown THEN 10 * $1 ELSE $1 END
                     OR relid::text IN (SELECT unnest($2::text[])) AS measured
                FROM listed) AS listed",
        }],
        columns: &[
            gauge(
                "index_size_bytes",
                "Size of its indexes on disk in bytes; of those that are summed up, as of the last \
                vacuum or analyze; pg_indexes_size().",
            ),
            gauge(
                "table_size_bytes",
                "Size on disk in bytes without indexes, with TOAST; of those that are summed up, as \
                of the last vacuum or analyze; pg_table_size().",
            ),
        ],
        bound: Some(Bound {
            rank: Rank::Server { key: "relid", column: "table_size_bytes", kept: &["datname"] },
            limit: 100,
        }),
        ..Table::EMPTY
    }],
};
