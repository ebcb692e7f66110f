//! Connections against those that ordinary roles can have.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "connections",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_connections",
        queries: &[Query {
            since: 13,
            sql: "SELECT count(*) FILTER (WHERE backend_type = 'client backend') AS used,
                current_setting('max_connections')::int
                    - current_setting('superuser_reserved_connections')::int
                    - coalesce(current_setting('reserved_connections', true)::int, 0) AS usable,
                current_setting('superuser_reserved_connections')::int AS superuser_reserved,
                coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
                count(*) FILTER (WHERE application_name = 'poolwatch') AS own
           FROM pg_stat_activity",
        }],
        columns: &[
            gauge(
                "used",
                "Connections of clients, poolwatch included; pg_stat_activity.backend_type.",
            ),
            gauge(
                "usable",
                "Connections that an ordinary role can have: max_connections less both \
                reservations; pg_settings.max_connections.",
            ),
            gauge(
                "superuser_reserved",
                "Connections kept for superusers; pg_settings.superuser_reserved_connections.",
            ),
            gauge(
                "reserved",
                "Connections kept for members of pg_use_reserved_connections, 0 before 16; \
                pg_settings.reserved_connections.",
            ),
            gauge("own", "Connections of poolwatch itself; pg_stat_activity.application_name."),
        ],
        ..Table::EMPTY
    }],
};
