-- Runs once, when PostgreSQL's container makes its database: the application's role, poolwatch's, and the statistics.

\set application `cat "${SECRETS:-/run/secrets}"/redditbot_password`
\set poolwatch `cat "${SECRETS:-/run/secrets}"/poolwatch_password`

CREATE ROLE redditbot LOGIN PASSWORD :'application';
ALTER DATABASE redditbot OWNER TO redditbot;

-- Enough for a pair of watchers of which one leads, and 11 with a `poolwatch check`.
CREATE ROLE poolwatch LOGIN PASSWORD :'poolwatch' CONNECTION LIMIT 8;
GRANT pg_monitor TO poolwatch;
-- With reserved_connections, the connections that are left when all others are taken.
GRANT pg_use_reserved_connections TO poolwatch;

CREATE EXTENSION pg_stat_statements;
