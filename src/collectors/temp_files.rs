//! Temporary files that are there now: a statement that fills the disk is seen before it ends.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "temp_files",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_temp_files",
        queries: &[Query {
            since: 13,
            sql: "SELECT count(name) AS current, coalesce(sum(size), 0) AS current_bytes
                    FROM pg_tablespace, LATERAL pg_ls_tmpdir(pg_tablespace.oid)
                   WHERE spcname <> 'pg_global'",
        }],
        columns: &[
            gauge("current", "Temporary files in all tablespaces; pg_ls_tmpdir()."),
            gauge("current_bytes", "Their size in bytes; pg_ls_tmpdir()."),
        ],
        ..Table::EMPTY
    }],
};
