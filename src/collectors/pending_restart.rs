//! Settings that were changed and wait for a restart.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "settings_pending_restart",
    pace: Pace::Tables,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_setting",
        labels: &["name"],
        queries: &[Query {
            since: 13,
            sql: "SELECT name, 1 AS pending_restart FROM pg_settings WHERE pending_restart",
        }],
        columns: &[gauge(
            "pending_restart",
            "1 for each setting whose new value waits for a restart; \
                pg_settings.pending_restart.",
        )],
        ..Table::EMPTY
    }],
};
