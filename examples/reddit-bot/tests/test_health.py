"""The health endpoints, in the words that those who watch them rely on."""

import logging
import time
from typing import Any

import pytest
from sqlalchemy import create_engine

from redditbot import session
from redditbot.session import check_database_health, engine, get_connection_pool_stats

WORDS = {
    "pool_size",
    "max_overflow",
    "capacity",
    "checked_in",
    "checked_out",
    "overflow",
    "utilization_percent",
    "status",
    "recommendations",
}


def held(count: int) -> Any:
    """Keeps connections for as long as the caller keeps the list."""
    return [engine.connect() for _ in range(count)]


def returned(connections: Any) -> None:
    for connection in connections:
        connection.close()


def test_a_fresh_pool_has_no_overflow(http: Any) -> None:
    engine.dispose()
    assert engine.pool.overflow() == -5
    stats = http.get("/health/database/pool").json
    assert stats.keys() >= WORDS
    assert (stats["pool_size"], stats["max_overflow"], stats["capacity"]) == (5, 15, 20)
    assert (stats["checked_out"], stats["overflow"], stats["utilization_percent"]) == (0, 0, 0)
    assert (stats["status"], stats["recommendations"]) == ("healthy", [])


@pytest.mark.parametrize(
    ("count", "status"), [(14, "healthy"), (15, "warning"), (18, "warning"), (19, "critical")]
)
def test_status_follows_utilization(http: Any, count: int, status: str) -> None:
    connections = held(count)
    stats = http.get("/health/database/pool").json
    returned(connections)
    assert stats["status"] == status
    assert stats["checked_out"] == count
    assert stats["utilization_percent"] == count * 5
    assert stats["overflow"] == count - 5
    assert stats["recommendations"]


def test_overflow_is_never_negative(http: Any) -> None:
    engine.dispose()
    for count in range(8):
        connections = held(count)
        assert get_connection_pool_stats()["overflow"] == max(0, count - 5)
        returned(connections)


def test_checked_out_is_never_negative(http: Any) -> None:
    connections = held(1)
    engine.dispose()
    returned(connections)
    assert get_connection_pool_stats()["checked_out"] == 0


def test_a_pool_without_limit_has_no_utilization(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = create_engine(session.database_url(), max_overflow=-1)
    monkeypatch.setattr(session, "engine", unlimited)
    stats = get_connection_pool_stats()
    assert "capacity" not in stats
    assert "utilization_percent" not in stats
    assert stats["status"] == "healthy"


def test_health_words(http: Any) -> None:
    assert http.get("/health").json["status"] == "healthy"
    ready = http.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json["status"] == "healthy"
    assert ready.json["database"] == "connected"
    assert ready.json["pool_stats"].keys() >= WORDS
    detailed = http.get("/health/detailed").json
    assert detailed["recent_activity"]["events"] > 0
    assert detailed["resources"]["peak_memory_bytes"] > 1_000_000


def test_a_full_pool_is_unhealthy_without_waiting_for_it(http: Any) -> None:
    connections = held(20)
    started = time.monotonic()
    ready = http.get("/health/ready")
    detailed = http.get("/health/detailed")
    took = time.monotonic() - started
    returned(connections)
    assert took < 1
    assert (ready.status_code, ready.json["status"]) == (200, "unhealthy")
    assert "recent_activity" not in detailed.json


def test_a_degraded_pool_still_serves(http: Any) -> None:
    connections = held(16)
    ready = http.get("/health/ready")
    returned(connections)
    assert (ready.status_code, ready.json["status"]) == (200, "degraded")


def test_an_unreachable_database_is_not_ready(http: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = create_engine("postgresql+psycopg://somebody:secret@/nowhere?host=/nonexistent")
    monkeypatch.setattr(session, "engine", nowhere)
    assert check_database_health()["status"] == "unhealthy"
    assert http.get("/health/ready").status_code == 503


def test_pool_events_are_logged_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    debugged = create_engine(session.database_url())
    session.log_pool_events(debugged)
    with caplog.at_level(logging.DEBUG, "redditbot.session"):
        debugged.connect().close()
    debugged.dispose()
    assert [record.message for record in caplog.records] == [
        "Database connection established",
        "Connection checked out from pool",
        "Connection returned to pool",
    ]


@pytest.mark.parametrize(
    "given", ["postgresql://u@/d?host=/tmp&plugin=x", "postgres://u@/d?host=/tmp&plugin=x"]
)
def test_a_url_without_a_driver_is_given_one(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    url = session.database_url()
    assert str(url) == "postgresql+psycopg://u@/d?host=%2Ftmp&plugin=x"
