//! The progress of each vacuum. A table is named with its schema where `search_path` does not lead
//! to it, so that two tables of one name stay apart. `PostgreSQL` 17 counts the dead rows that it
//! remembers in bytes: families in rows stay in rows here.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_progress_vacuum",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_stat_progress",
            labels: &["datname", "relname", "phase"],
            queries: &[Query {
                since: 13,
                sql: "SELECT vacuum.datname, vacuum.relname, phases.phase,
                (vacuum.phase = phases.phase)::int AS vacuum_phase
           FROM (
                SELECT datname, phase,
                       CASE WHEN datname = current_database() THEN regexp_replace(relid::regclass::text, '^public[.]', '')
                            ELSE relid::text END AS relname
                  FROM pg_stat_progress_vacuum) AS vacuum
          CROSS JOIN unnest(ARRAY['initializing', 'scanning heap', 'vacuuming indexes',
                                  'vacuuming heap', 'cleaning up indexes', 'truncating heap',
                                  'performing final cleanup']) AS phases (phase)",
            }],
            columns: &[gauge(
                "vacuum_phase",
                "1 for the phase the vacuum is in, else 0; pg_stat_progress_vacuum.phase.",
            )],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_progress_vacuum",
            labels: &["datname", "relname"],
            queries: &[
                Query {
                    since: 17,
                    sql: "SELECT datname,
             CASE WHEN datname = current_database() THEN regexp_replace(relid::regclass::text, '^public[.]', '')
                  ELSE relid::text END AS relname,
             heap_blks_total AS heap_blks, heap_blks_scanned, heap_blks_vacuumed,
             index_vacuum_count AS index_vacuums,
             NULL AS max_dead_tuples, num_dead_item_ids AS num_dead_tuples,
             max_dead_tuple_bytes, dead_tuple_bytes, indexes_total AS indexes, indexes_processed
        FROM pg_stat_progress_vacuum",
                },
                Query {
                    since: 13,
                    sql: "SELECT datname,
                         CASE WHEN datname = current_database() THEN regexp_replace(relid::regclass::text, '^public[.]', '')
                              ELSE relid::text END AS relname,
                         heap_blks_total AS heap_blks, heap_blks_scanned, heap_blks_vacuumed,
                         index_vacuum_count AS index_vacuums,
                         max_dead_tuples, num_dead_tuples
                    FROM pg_stat_progress_vacuum",
                },
            ],
            columns: &[
                gauge("heap_blks", "Blocks of the table; pg_stat_progress_vacuum.heap_blks_total."),
                gauge(
                    "heap_blks_scanned",
                    "Blocks scanned; pg_stat_progress_vacuum.heap_blks_scanned.",
                ),
                gauge(
                    "heap_blks_vacuumed",
                    "Blocks vacuumed; pg_stat_progress_vacuum.heap_blks_vacuumed.",
                ),
                gauge(
                    "index_vacuums",
                    "Rounds over the indexes; pg_stat_progress_vacuum.index_vacuum_count.",
                ),
                gauge(
                    "max_dead_tuples",
                    "Dead rows that fit in memory before a round over the indexes, before 17; \
                pg_stat_progress_vacuum.max_dead_tuples.",
                ),
                gauge(
                    "num_dead_tuples",
                    "Dead rows remembered; pg_stat_progress_vacuum.num_dead_item_ids, before 17 \
                num_dead_tuples.",
                ),
                gauge(
                    "max_dead_tuple_bytes",
                    "Bytes of dead rows that fit in memory before a round over the indexes; \
                pg_stat_progress_vacuum.max_dead_tuple_bytes.",
                )
                .since(17),
                gauge(
                    "dead_tuple_bytes",
                    "Bytes of dead rows remembered; pg_stat_progress_vacuum.dead_tuple_bytes.",
                )
                .since(17),
                gauge(
                    "indexes",
                    "Indexes to vacuum or clean up; pg_stat_progress_vacuum.indexes_total.",
                )
                .since(17),
                gauge(
                    "indexes_processed",
                    "Indexes vacuumed or cleaned up in this round; \
                pg_stat_progress_vacuum.indexes_processed.",
                )
                .since(17),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_progress_vacuum",
            labels: &["datname", "relname", "mode", "started_by"],
            queries: &[Query {
                since: 19,
                sql: "SELECT datname,
             CASE WHEN datname = current_database() THEN regexp_replace(relid::regclass::text, '^public[.]', '')
                  ELSE relid::text END AS relname, mode, started_by, 1 AS info
        FROM pg_stat_progress_vacuum",
            }],
            columns: &[gauge(
                "info",
                "1 with the vacuum's mode (normal, aggressive, failsafe) and who started \
                it (manual, autovacuum, autovacuum_wraparound); pg_stat_progress_vacuum.mode.",
            )],
            ..Table::EMPTY
        },
    ],
};
