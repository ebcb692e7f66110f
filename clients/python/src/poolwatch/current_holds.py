"""Connections that are held for long, or that nobody returned: who took them, and where."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Any

from poolwatch.findings import Finding
from poolwatch.ignored import is_ignored
from poolwatch.source_line import line_of
from poolwatch.statement_text import shown
from poolwatch.watches import Hold

MOST = 10
# Seconds from which a hold is a long one. Two reports may be as near as this, and the second is to
# have it.
LONG = 0.9


def longest(holds: Iterable[Hold]) -> list[dict[str, Any]]:
    """The longest of the long ones, the longest first."""
    now = perf_counter()
    long = sorted((one for one in holds if now - one.started >= LONG), key=lambda one: one.started)
    return [_snapshot(hold, now) for hold in long[:MOST]]


def forgotten(hold: Hold) -> Finding | None:
    """A connection that the garbage collector had to return."""
    where = _line(hold)
    endpoint = hold.place.endpoint if hold.place is not None else None
    sql = _statement(hold) or (f"a connection of {endpoint}" if endpoint else "a connection")
    return None if is_ignored(sql, where) else Finding("collected", sql, where, 1, 0)


def _snapshot(hold: Hold, now: float) -> dict[str, Any]:
    running = hold.running
    sees = hold.watch.sees_statements or running is not None or hold.last is not None
    fields = {
        "endpoint": hold.place.endpoint if hold.place is not None else None,
        "where": _line(hold),
        "age": round(now - hold.started, 3),
        "sql": _statement(hold),
        "active": running is not None if sees else None,
        "running": round(now - hold.running_since, 3) if running is not None else None,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _line(hold: Hold) -> str | None:
    try:
        return line_of(hold.call) if hold.call is not None else None
    except OSError:
        # The current folder was removed.
        return None


def _statement(hold: Hold) -> str | None:
    running, last = hold.running, hold.last
    if running is not None:
        return shown(running)
    return last.statement.shown if last is not None else None
