"""Watching a pool of asyncpg.

`asyncpg.Pool` has slots, so that no method of one pool can be wrapped. Those of the class are, at
the first pool that is watched, and ask whether this one is.
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable

from asyncpg import introspection
from asyncpg.pool import Pool, PoolConnectionHolder

from poolwatch.ledger import Ledger
from poolwatch.signals import pass_on
from poolwatch.watches import Gauges, Watch

_watches: dict[int, AsyncpgWatch] = {}
_INTROSPECTION = frozenset(
    text for text in vars(introspection).values() if isinstance(text, str) and "SELECT" in text
)


class AsyncpgWatch(Watch):
    timeouts = (asyncio.TimeoutError, TimeoutError)
    # It does not tell how many rows a statement returned, nor why a connection was closed.
    unknown = frozenset({"n_plus_one", "unpaginated", "invalidated"})

    def __init__(self, pool: Any, ledger: Ledger) -> None:
        # No weak reference to it can be had: it is let go when it is closed.
        self._pool = pool
        self._pool_ref = self._pool_until_closed
        self.ledger = ledger
        self.is_new = True
        self.inherited = 0

    def _pool_until_closed(self) -> Any:
        if self._pool is not None and self._pool._closed:
            _watches.pop(id(self._pool), None)
            self._pool = None
        return self._pool

    def gauges(self, pool: Any) -> Gauges | None:
        holders = list(pool._holders)
        out = sum(1 for holder in holders if holder._in_use is not None)
        return Gauges(
            size=pool._minsize,
            max_overflow=max(0, pool._maxsize - pool._minsize),
            checked_in=max(0, sum(1 for holder in holders if holder.is_connected()) - out),
            checked_out=out,
        )

    def logged(self, record: Any) -> None:
        """One statement, as asyncpg itself tells of it."""
        try:
            text = record.query
            if text in _INTROSPECTION or text.startswith(("BEGIN", "ROLLBACK;")):
                return
            if text == "COMMIT;":
                self.ledger.commit.observe(record.elapsed)
            elif record.exception is not None:
                self.ledger.failed(record.elapsed, record.exception)
            else:
                self.ledger.query.observe(record.elapsed)
        except Exception as error:
            pass_on(error)


def watching(pool: Any) -> Ledger | None:
    watch = _watches.get(id(pool))
    return watch.ledger if watch is not None else None


def watch(pool: Any, ledger: Ledger) -> None:
    _wrap_classes()
    its = AsyncpgWatch(pool, ledger)
    _watches[id(pool)] = its
    ledger.add(its)
    ledger.begin(its)
    for holder in [holder for holder in pool._holders if holder.is_connected()]:
        ledger.connected(holder._con)


def unwatch(pool: Any) -> None:
    its = _watches.pop(id(pool))
    its.ledger.remove(its)


def _wrap_classes() -> None:
    if hasattr(Pool, "_poolwatch"):
        return
    Pool._poolwatch = True
    Pool._acquire = _acquire(Pool._acquire)
    Pool.release = _release(Pool.release)
    PoolConnectionHolder.connect = _connect(PoolConnectionHolder.connect)
    PoolConnectionHolder._release = _put_back(PoolConnectionHolder._release)


def _acquire(acquire: Callable[..., Any]) -> Callable[..., Any]:
    async def acquire_timed(self: Any, timeout: float | None) -> Any:
        its = _watches.get(id(self))
        if its is None:
            return await acquire(self, timeout)
        ledger = its.ledger
        asked, waits = ledger.asked(its), _is_exhausted(self)
        if waits:
            ledger.waits()
        try:
            proxy = await acquire(self, timeout)
        except BaseException as error:
            ledger.refused(asked, its, error)
            raise
        finally:
            if waits:
                ledger.waited()
        ledger.acquired(asked, its, id(proxy._holder))
        _log(proxy._con, its, "add_query_logger")
        return proxy

    return acquire_timed


def _is_exhausted(pool: Any) -> bool:
    try:
        return bool(pool._initialized) and bool(pool._queue.empty())
    except Exception as error:
        pass_on(error)
        return False


def _release(release: Callable[..., Any]) -> Callable[..., Any]:
    async def release_unlogged(self: Any, connection: Any, *, timeout: float | None = None) -> Any:
        its = _watches.get(id(self))
        if its is not None:
            # What resets it is no statement of the application.
            _log(getattr(connection, "_con", None), its, "remove_query_logger")
        return await release(self, connection, timeout=timeout)

    return release_unlogged


def _log(connection: Any, its: AsyncpgWatch, method: str) -> None:
    try:
        if hasattr(connection, method):  # since asyncpg 0.29
            getattr(connection, method)(its.logged)
    except Exception as error:
        pass_on(error)


def _connect(connect: Callable[..., Any]) -> Callable[..., Any]:
    async def connect_counted(self: Any) -> None:
        await connect(self)
        its = _watches.get(id(self._pool))
        if its is not None:
            its.ledger.connected(self._con)

    return connect_counted


def _put_back(put_back: Callable[..., Any]) -> Callable[..., Any]:
    """A connection that the application has closed comes this way too."""

    def put_back_timed(self: Any) -> None:
        its = _watches.get(id(self._pool))
        if its is not None and self._in_use is not None:
            its.ledger.returned(id(self))
        put_back(self)

    return put_back_timed
