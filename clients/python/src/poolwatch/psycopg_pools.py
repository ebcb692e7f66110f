"""Watching a `psycopg_pool` of any kind, by wrapping `getconn` and `putconn` of that one pool.

`connection()` and Django come through these two.
"""

from __future__ import annotations

import inspect
import weakref
from typing import Any, Callable

from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout

from poolwatch.ledger import Ledger
from poolwatch.signals import pass_on
from poolwatch.targets import Target, of_parameters
from poolwatch.watches import Gauges, Watch
from poolwatch.wrappers import unwrap, wrap

_ADDRESS = ("host", "hostaddr", "port", "dbname", "user")
_COUNTERS = ("connections_num", "connections_errors", "connections_lost", "returns_bad")


class PsycopgWatch(Watch):
    timeouts = (PoolTimeout,)

    def __init__(self, pool: Any, ledger: Ledger) -> None:
        super().__init__(pool, ledger)
        self._totals = dict.fromkeys(_COUNTERS, 0)
        self._last = dict.fromkeys(_COUNTERS, 0)

    def gauges(self, pool: Any) -> Gauges | None:
        if getattr(pool, "closed", False):
            # A closed pool has no place left, whatever it was given.
            return None
        stats = pool.get_stats()
        smallest, largest = stats["pool_min"], stats["pool_max"]
        available = stats["pool_available"]
        return Gauges(
            size=smallest,
            # A NullConnectionPool without a max_size opens as many as are asked for.
            max_overflow=max(0, largest - smallest) if largest else None,
            checked_in=available,
            # One that the pool is just opening, for nobody yet, has its place all the same.
            checked_out=max(0, stats["pool_size"] - available),
            timeout=pool.timeout,
            recycle=pool.max_lifetime,
        )

    def counters(self, pool: Any) -> dict[str, int]:
        if pool is not None:
            self._add(pool.get_stats())
        totals = self._totals
        return {
            "opened": max(0, totals["connections_num"] - totals["connections_errors"]),
            "invalidated": totals["connections_lost"] + totals["returns_bad"],
        }

    def _add(self, stats: dict[str, int]) -> None:
        """`pop_stats()` sets them back to zero; the protocol's counters never fall."""
        for key in _COUNTERS:
            now, last = stats.get(key, 0), self._last[key]
            self._totals[key] += now - last if now >= last else now
            self._last[key] = now

    def forked(self, held: int) -> None:
        """The child has its parent's counters, and has to forget them."""
        super().forked(held)
        if self.pool is not None:
            self.counters(self.pool)
        self._totals = dict.fromkeys(_COUNTERS, 0)


def watching(pool: Any) -> Ledger | None:
    watch: Watch | None = pool.__dict__.get("_poolwatch")
    return watch.ledger if watch is not None else None


def watch(pool: Any, ledger: Ledger) -> None:
    its = PsycopgWatch(pool, ledger)
    pool._poolwatch = its
    if hasattr(pool, "_connect"):
        wrap(pool, "_connect", _connect_async(its) if _is_async(pool) else _connect(its))
    for connection in list(getattr(pool, "_pool", ())):
        ledger.reached(connection)
    wrap(pool, "getconn", _getconn_async(its) if _is_async(pool) else _getconn(its))
    wrap(pool, "putconn", _putconn_async(its) if _is_async(pool) else _putconn(its))
    ledger.add(its)
    ledger.declare(_targets(pool))
    # It opens connections by itself, before any is asked for.
    ledger.begin(its)


def _targets(pool: Any) -> list[Target]:
    """Its settings may be made anew for each connection, and then the connection tells."""
    try:
        if callable(pool.conninfo) or callable(pool.kwargs):
            return []
        settings = pool.kwargs or {}
        given = {key: settings[key] for key in _ADDRESS if key in settings}
        return of_parameters(conninfo_to_dict(pool.conninfo, **given))
    except Exception as error:
        pass_on(error)
        return []


def unwatch(pool: Any) -> None:
    its: PsycopgWatch = pool._poolwatch
    unwrap(pool)
    del pool._poolwatch
    its.ledger.remove(its)


def adopt(pool: Any, connection: Any) -> None:
    """Counts a connection that was given out before its pool was watched from now on."""
    watch: PsycopgWatch = pool._poolwatch
    if id(connection) not in watch.ledger.holds:
        _given_out(watch, watch.ledger.asked(watch), connection)


def _is_async(pool: Any) -> bool:
    return inspect.iscoroutinefunction(type(pool).getconn)


def _connect(watch: PsycopgWatch) -> Callable[[Any], Any]:
    def make(connect: Any) -> Any:
        def connect_told(*words: Any, **named: Any) -> Any:
            made = connect(*words, **named)
            watch.ledger.reached(made)
            return made

        return connect_told

    return make


def _connect_async(watch: PsycopgWatch) -> Callable[[Any], Any]:
    def make(connect: Any) -> Any:
        async def connect_told(*words: Any, **named: Any) -> Any:
            made = await connect(*words, **named)
            watch.ledger.reached(made)
            return made

        return connect_told

    return make


def _getconn(watch: PsycopgWatch) -> Callable[[Any], Any]:
    def make(getconn: Any) -> Any:
        def getconn_timed(timeout: float | None = None) -> Any:
            asked, waits = _ask(watch)
            try:
                connection = getconn(timeout)
            except BaseException as error:
                watch.ledger.refused(asked, watch, error)
                raise
            finally:
                _waited(watch, waits)
            _given_out(watch, asked, connection)
            return connection

        return getconn_timed

    return make


def _getconn_async(watch: PsycopgWatch) -> Callable[[Any], Any]:
    def make(getconn: Any) -> Any:
        async def getconn_timed(timeout: float | None = None) -> Any:
            asked, waits = _ask(watch)
            try:
                connection = await getconn(timeout)
            except BaseException as error:
                watch.ledger.refused(asked, watch, error)
                raise
            finally:
                _waited(watch, waits)
            _given_out(watch, asked, connection)
            return connection

        return getconn_timed

    return make


def _putconn(watch: PsycopgWatch) -> Callable[[Any], Any]:
    def make(putconn: Any) -> Any:
        def putconn_timed(conn: Any) -> Any:
            watch.ledger.returned(id(conn))
            return putconn(conn)

        return putconn_timed

    return make


def _putconn_async(watch: PsycopgWatch) -> Callable[[Any], Any]:
    def make(putconn: Any) -> Any:
        async def putconn_timed(conn: Any) -> Any:
            watch.ledger.returned(id(conn))
            return await putconn(conn)

        return putconn_timed

    return make


def _ask(watch: PsycopgWatch) -> tuple[float, bool]:
    asked = watch.ledger.asked(watch)
    waits = _is_exhausted(watch.pool)
    if waits:
        watch.ledger.waits()
    return asked, waits


def _waited(watch: PsycopgWatch, waits: bool) -> None:
    if waits:
        watch.ledger.waited()


def _is_exhausted(pool: Any) -> bool:
    """Whether a caller has to wait for another to return a connection."""
    try:
        largest = pool.max_size
        return bool(largest) and not pool._pool and pool._nconns >= largest
    except Exception as error:
        pass_on(error)
        return False


def _given_out(watch: PsycopgWatch, asked: float, connection: Any) -> None:
    """By its id: one that is never returned must not be kept alive by whoever counts it."""
    key, ledger = id(connection), watch.ledger
    if not ledger.targets():
        ledger.reached(connection)
    owner = weakref.ref(connection, lambda _: ledger.returned(key))
    ledger.acquired(asked, watch, key, owner)
