"""Statements worth naming: N+1 in one checkout or request, and whole tables fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from poolwatch.ignored import is_ignored
from poolwatch.statement_runs import REPEATED, Runs

# This many rows without a LIMIT is a list that will grow until it hurts.
MANY_ROWS = 1000
# A list of this many values bounds what a statement returns, and makes it a batch.
BATCH = 10
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


def n_plus_one(all_runs: Iterable[Runs]) -> Iterator[tuple[Runs, Finding]]:
    """Statements run for each row of something. `all_runs` in the order of their first run."""
    parents: list[int] = []
    for one in all_runs:
        is_one = one.runs >= REPEATED and _is_a_loop(one) and _has_cause(one, parents)
        if is_one and not is_ignored(one.statement.shown, one.line):
            rows = max(0, one.rows)
            yield one, Finding("n_plus_one", one.statement.shown, one.line, one.runs, rows)
        parents.append(one.rows)


def _is_a_loop(one: Runs) -> bool:
    """Looked up by one value after the other: not the same question again, no batches of many."""
    return len(one.keys) > 1 and one.list_length < BATCH and not one.flushed


def _has_cause(one: Runs, parents: list[int]) -> bool:
    """Whether the loop runs over rows that an earlier statement returned.

    Where each run touches its one row, none is needed: `session.get` or an UPDATE in a loop.
    Figures of a fixed number of groups are counted for all rows or for none.
    """
    statement = one.statement
    if statement.aggregates:
        return any(one.runs <= rows <= one.runs * 1.25 for rows in parents)
    if statement.changes:
        return one.rows <= one.runs
    single = one.runs / 2 <= one.rows <= one.runs
    return single or any(rows >= one.runs for rows in parents)


def unpaginated(runs: Runs, rows: int, line: str | None) -> Finding | None:
    if is_ignored(runs.statement.shown, line):
        return None
    return Finding("unpaginated", runs.statement.shown, line, 1, rows)
