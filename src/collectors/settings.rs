//! The server's settings as figures: each that is a switch or a number is a family of its own,
//! in seconds or bytes where it has a unit. What poolwatch sets for its own sessions is shown as it
//! is for others.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "settings",
    pace: Pace::Slow,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_settings",
        labels: &["name", "help"],
        queries: &[Query {
            since: 13,
            sql: "SELECT regexp_replace(pg_settings.name, '[^A-Za-z0-9_]', '_', 'g')
              || coalesce('_' || unit.base, '') AS name,
          'Server setting ' || pg_settings.name || coalesce(' in ' || unit.base, '')
              || '; pg_settings.' AS help,
          CASE WHEN vartype = 'bool' THEN (setting = 'on')::int
               WHEN setting = '-1' THEN -1
               ELSE setting::float8 * coalesce(unit.factor, 1) END AS value
     FROM (SELECT name, unit, vartype,
                  CASE WHEN name = 'transaction_read_only'
                       THEN CASE WHEN pg_is_in_recovery() THEN 'on'
                                 ELSE (SELECT reset_val FROM pg_settings
                                        WHERE name = 'default_transaction_read_only') END
                       WHEN source = 'session' THEN reset_val ELSE setting END AS setting
             FROM pg_settings) AS pg_settings
     LEFT JOIN (VALUES
          ('us', 'seconds', 0.000001), ('ms', 'seconds', 0.001), ('s', 'seconds', 1),
          ('min', 'seconds', 60), ('h', 'seconds', 3600), ('d', 'seconds', 86400),
          ('B', 'bytes', 1), ('kB', 'bytes', 2 ^ 10), ('1kB', 'bytes', 2 ^ 10),
          ('2kB', 'bytes', 2 ^ 11), ('4kB', 'bytes', 2 ^ 12), ('8kB', 'bytes', 2 ^ 13),
          ('16kB', 'bytes', 2 ^ 14), ('32kB', 'bytes', 2 ^ 15), ('64kB', 'bytes', 2 ^ 16),
          ('MB', 'bytes', 2 ^ 20), ('1MB', 'bytes', 2 ^ 20), ('16MB', 'bytes', 2 ^ 24),
          ('32MB', 'bytes', 2 ^ 25), ('64MB', 'bytes', 2 ^ 26), ('GB', 'bytes', 2 ^ 30),
          ('TB', 'bytes', 2 ^ 40)) AS unit (name, base, factor)
       ON unit.name = pg_settings.unit
    WHERE vartype = 'bool'
       OR (vartype IN ('integer', 'real') AND setting ~ '^-?[0-9]+([.][0-9]+)?(e[+-]?[0-9]+)?$')
    ORDER BY 1",
        }],
        columns: &[gauge(
            "value",
            "Each setting that is a switch or a number, named after it; \
                pg_settings.setting.",
        )],
        named_by_row: true,
        ..Table::EMPTY
    }],
};
