"""Statements worth naming: N+1 in one checkout, and whole tables fetched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from poolwatch.statement_text import is_select, shown

# A statement run this often within one checkout may be an N+1; a fixed fan-out runs less often.
REPEATED = 10
# A statement run more often than this is no parent of an N+1 but a child itself.
PARENT_RUNS = 2
# This many rows without a LIMIT is a list that will grow until it hurts.
MANY_ROWS = 1000
MOST_STATEMENTS = 200
MOST_FINDINGS = 20


@dataclass
class Finding:
    kind: str
    sql: str
    where: str | None
    count: int
    rows: int
    seen: int = 1

    def absorb(self, other: Finding) -> None:
        """Keeps the worse of the two: a finding names its worst checkout."""
        self.seen += other.seen
        if (other.count, other.rows) > (self.count, self.rows):
            self.count, self.rows = other.count, other.rows

    def snapshot(self, pool: str) -> dict[str, Any]:
        fields = {"kind": self.kind, "pool": pool, "sql": self.sql, "where": self.where}
        counts = {"count": self.count, "rows": self.rows, "seen": self.seen}
        return {
            key: value for key, value in (*fields.items(), *counts.items()) if value is not None
        }


class Findings:
    """What was found since the last report that went out; at most MOST_FINDINGS."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str | None], Finding] = {}

    def add(self, finding: Finding) -> None:
        key = (finding.kind, finding.sql, finding.where)
        known = self._found.get(key)
        if known is not None:
            known.absorb(finding)
        elif len(self._found) < MOST_FINDINGS:
            self._found[key] = finding

    def take(self, most: int) -> list[Finding]:
        return [self._found.pop(key) for key in list(self._found)[:most]]


def n_plus_one(statements: dict[str, list[int]], lines: dict[str, str | None]) -> Iterator[Finding]:
    """SELECTs repeated in one checkout after another one had returned as many rows.

    `statements` holds runs and rows by statement in the order of their first run, `lines` the
    source line of each repeated one.
    """
    parent_rows = 0
    for statement, (runs, rows) in statements.items():
        if not is_select(statement):
            continue
        if runs <= PARENT_RUNS:
            parent_rows = max(parent_rows, rows)
        elif runs >= REPEATED and parent_rows >= runs:
            yield Finding("n_plus_one", shown(statement), lines.get(statement), runs, max(0, rows))


def unpaginated(statement: str, rows: int, line: str | None) -> Finding:
    return Finding("unpaginated", shown(statement), line, 1, rows)
