"""The schema: the nine indexes, and that each serves the query it was made for."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from sqlalchemy import create_engine, text
from test_endpoints import statements

from redditbot import db
from redditbot.session import engine

INDEXES = {
    "idx_client_created": "matched_posts(client_id, created_at)",
    "idx_client_reviewed": "matched_posts(client_id, reviewed)",
    "idx_subreddit_created": "matched_posts(subreddit, created_at)",
    "idx_responses_post_client": "ai_responses(post_id, client_id)",
    "idx_responses_client_created": "ai_responses(client_id, created_at)",
    "idx_responses_quality_score": "ai_responses(score)",
    "idx_analytics_client_date": "analytics_events(client_id, created_at)",
    "idx_analytics_client_event": "analytics_events(client_id, event_type)",
    "idx_analytics_event_date": "analytics_events(event_type, created_at)",
}
NEEDED_BY = {
    "idx_client_created": "/api/posts/of-client",
    "idx_client_reviewed": "/api/posts/of-client?reviewed=no",
    "idx_subreddit_created": "/api/posts/of-subreddit",
    "idx_responses_post_client": "/api/responses/of-post",
    "idx_responses_client_created": "/api/responses/quality",
    "idx_responses_quality_score": "/api/responses/best",
    "idx_analytics_client_date": "/api/analytics/daily",
    "idx_analytics_client_event": "/api/analytics/client-events",
    "idx_analytics_event_date": "/api/analytics/recent",
}


def indexes(address: str) -> dict[str, str]:
    """Name to table(columns) of all indexes that no constraint made."""
    query = text("""
        SELECT i.relname AS name,
            format('%s(%s)', t.relname, string_agg(a.attname, ', ' ORDER BY k.place)) AS columns
        FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_class t ON t.oid = x.indrelid AND t.relnamespace = 'public'::regnamespace
        CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number
        WHERE NOT x.indisunique AND x.indisvalid
        GROUP BY i.relname, t.relname
    """)
    fresh = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with fresh.connect() as connection:
        found = {row.name: row.columns for row in connection.execute(query)}
    fresh.dispose()
    return found


def create(address: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "redditbot.db", *arguments],
        env={"DATABASE_URL": address},
        cwd=Path(__file__).parent.parent,
        check=True,
        timeout=60,
    )


def test_the_schema_has_the_nine_indexes(schema: None, postgres: Cluster) -> None:
    assert indexes(postgres.address("redditbot")) == INDEXES


def test_creating_twice_changes_nothing(schema: None, postgres: Cluster, http: Any) -> None:
    tables = ("posts", "users", "configs")
    before = [http.get(f"/api/{table}/count").json for table in tables]
    create(postgres.address("redditbot"))
    assert [http.get(f"/api/{table}/count").json for table in tables] == before


def test_an_index_can_be_left_out_and_comes_back(postgres: Cluster) -> None:
    address = postgres.create_database("without_index")
    create(address, "--without-index", "idx_analytics_event_date")
    assert set(INDEXES) - set(indexes(address)) == {"idx_analytics_event_date"}
    create(address)
    assert indexes(address) == INDEXES


def test_filling_a_database_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    options = "plugin=poolwatch&poolwatch_pool=web&application_name=me"
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u@/d?host=/tmp&{options}")
    assert dict(db.plain_url().query) == {"host": "/tmp", "application_name": "me"}


def test_the_tables_are_tied_by_foreign_keys(http: Any) -> None:
    query = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"
    with engine.connect() as connection:
        assert connection.scalar(text(query)) == 6


@pytest.mark.parametrize("name", INDEXES)
def test_each_index_serves_its_endpoint(http: Any, name: str) -> None:
    with statements() as seen:
        assert http.get(NEEDED_BY[name]).status_code == 200
    [(statement, parameters)] = seen
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars()
        assert name in "\n".join(plan)
