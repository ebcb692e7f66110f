"""Watching a `psycopg_pool`, by what its `get_stats()` tells."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Any

from poolwatch import settings
from poolwatch.reporter import reporter

logger = logging.getLogger("poolwatch")

_COUNTERS = (
    "connections_num",
    "connections_errors",
    "connections_lost",
    "returns_bad",
    "requests_errors",
)


def watch_psycopg_pool(
    pool: Any,
    pool_name: str | None = None,
    socket: str | None = None,
    app: str | None = None,
) -> None:
    """Reports a `psycopg_pool` pool of any kind under `pool_name`.

    Call it in each worker, where the pool is opened: psycopg's pools do not survive a fork.
    """
    try:
        each = reporter(settings.socket_path(socket), settings.app_name(app))
        pools = each.source(settings.pool_name(pool_name), PsycopgPools)
        pools.add(PsycopgPool(pool))
        each.begin()
    except Exception:
        logger.warning("%r is not watched", pool, exc_info=True)


class PsycopgPools:
    """All pools of one name in this process, added up; those that are gone leave their counters."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._pools: list[PsycopgPool] = []
        self._gone: dict[str, int] = {}

    def add(self, pool: PsycopgPool) -> None:
        with self._lock:
            if not any(known.is_same(pool) for known in self._pools):
                self._pools.append(pool)

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            sum_of_all: dict[str, Any] = dict(self._gone)
            for pool in self._pools[:]:
                figures = pool.snapshot()
                _add(sum_of_all, figures)
                if pool.is_gone():
                    self._pools.remove(pool)
                    _add(self._gone, figures)
            return {"name": self.name, **sum_of_all}


def _add(sums: dict[str, Any], figures: dict[str, Any]) -> None:
    """One pool without a limit makes the sum unlimited."""
    for key, value in figures.items():
        known = sums.get(key, 0)
        sums[key] = None if value is None or known is None else known + value


class PsycopgPool:
    """Its figures in the protocol's words.

    There are no histograms: `requests_wait_ms` and `usage_ms` add whole milliseconds, so a wait
    of 0.9 ms counts as none. What cannot be known is left out, never 0.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = weakref.ref(pool)
        self._totals = dict.fromkeys(_COUNTERS, 0)
        self._last = dict.fromkeys(_COUNTERS, 0)
        # Only where the queue has no limit of its own is every failed request one that waited.
        self._failed = "acquire_errors" if getattr(pool, "max_waiting", 0) else "timeouts"

    def is_same(self, other: PsycopgPool) -> bool:
        return self._pool() is other._pool()

    def is_gone(self) -> bool:
        return self._pool() is None

    def snapshot(self) -> dict[str, Any]:
        pool = self._pool()
        stats = pool.get_stats() if pool is not None else {}
        # A closed pool has no place left, whatever it was given.
        closed = pool is None or getattr(pool, "closed", False)
        return {**({} if closed else self._gauges(stats)), **self._counters(stats)}

    def _gauges(self, stats: dict[str, int]) -> dict[str, int | None]:
        if not stats:
            return {}
        smallest, largest = stats["pool_min"], stats["pool_max"]
        available = stats["pool_available"]
        return {
            "size": smallest,
            # A NullConnectionPool without a max_size opens as many as are asked for.
            "max_overflow": max(0, largest - smallest) if largest else None,
            "checked_in": available,
            "checked_out": max(0, stats["pool_size"] - available),
            "pending": stats.get("requests_waiting", 0),
        }

    def _counters(self, stats: dict[str, int]) -> dict[str, int]:
        self._add(stats)
        totals = self._totals
        return {
            self._failed: totals["requests_errors"],
            "opened": max(0, totals["connections_num"] - totals["connections_errors"]),
            "invalidated": totals["connections_lost"] + totals["returns_bad"],
        }

    def _add(self, stats: dict[str, int]) -> None:
        """`pop_stats()` sets them back to zero; the protocol's counters never fall."""
        for key in _COUNTERS if stats else ():
            now, last = stats.get(key, 0), self._last[key]
            self._totals[key] += now - last if now >= last else now
            self._last[key] = now
