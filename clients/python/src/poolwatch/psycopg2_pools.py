"""Watching a pool of `psycopg2.pool`, by wrapping `getconn` and `putconn` of that one pool."""

from __future__ import annotations

from typing import Any, Callable

from poolwatch.ledger import Ledger
from poolwatch.watches import Gauges, Watch
from poolwatch.wrappers import unwrap, wrap


class Psycopg2Watch(Watch):
    """Nobody waits for such a pool: an exhausted one raises an error at once."""

    def gauges(self, pool: Any) -> Gauges | None:
        if pool.closed:
            return None
        return Gauges(
            size=pool.minconn,
            max_overflow=max(0, pool.maxconn - pool.minconn),
            checked_in=len(pool._pool),
            checked_out=len(pool._used),
        )


def watching(pool: Any) -> Ledger | None:
    watch: Watch | None = pool.__dict__.get("_poolwatch")
    return watch.ledger if watch is not None else None


def watch(pool: Any, ledger: Ledger) -> None:
    its = Psycopg2Watch(pool, ledger)
    pool._poolwatch = its
    wrap(pool, "_connect", _connect(its))
    wrap(pool, "getconn", _getconn(its))
    wrap(pool, "putconn", _putconn(its))
    ledger.add(its)
    ledger.begin(its)
    # A pool opens its first connections while it is made.
    for connection in [*pool._pool, *pool._used.values()]:
        ledger.connected(connection)


def unwatch(pool: Any) -> None:
    its: Psycopg2Watch = pool._poolwatch
    unwrap(pool)
    del pool._poolwatch
    its.ledger.remove(its)


def _connect(watch: Psycopg2Watch) -> Callable[[Any], Any]:
    def make(connect: Any) -> Any:
        def connect_counted(*words: Any, **named: Any) -> Any:
            made = connect(*words, **named)
            watch.ledger.connected(made)
            return made

        return connect_counted

    return make


def _getconn(watch: Psycopg2Watch) -> Callable[[Any], Any]:
    def make(getconn: Any) -> Any:
        def getconn_timed(key: Any = None) -> Any:
            asked = watch.ledger.asked(watch)
            try:
                connection = getconn(key)
            except BaseException as error:
                watch.ledger.refused(asked, watch, error)
                raise
            # The pool itself keeps what is out alive, so its id is its own until then.
            watch.ledger.acquired(asked, watch, id(connection))
            return connection

        return getconn_timed

    return make


def _putconn(watch: Psycopg2Watch) -> Callable[[Any], Any]:
    def make(putconn: Any) -> Any:
        def putconn_timed(conn: Any = None, key: Any = None, close: bool = False) -> Any:
            broken = close or bool(getattr(conn, "closed", False))
            watch.ledger.returned(id(conn))
            done = putconn(conn, key, close)
            if broken:
                watch.ledger.disconnected()
            return done

        return putconn_timed

    return make
