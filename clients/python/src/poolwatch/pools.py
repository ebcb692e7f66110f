"""Watching a pool that already exists, by wrapping the methods of that one pool.

Its class stays what it was: `type(engine.pool)` tells what it always told, and an engine made with
that class is not watched.
"""

from __future__ import annotations

from typing import Any, Callable

from sqlalchemy import event
from sqlalchemy.pool import Pool

from poolwatch.ledger import Ledger, Watch
from poolwatch.queues import watch_queue


def watch_pool(pool: Pool, ledger: Ledger) -> None:
    event.listen(pool, "connect", lambda *_: ledger.connected())
    event.listen(pool, "invalidate", lambda _, record, *__: ledger.disconnected(record))
    event.listen(pool, "soft_invalidate", lambda _, record, *__: ledger.disconnected(record))
    event.listen(pool, "close", lambda _, record: ledger.closed(record))
    _adopt(pool, ledger)


def watching(pool: Pool) -> Ledger | None:
    """The ledger this pool is written into already."""
    watch: Watch | None = pool.__dict__.get("_poolwatch")
    return watch.ledger if watch is not None else None


def _adopt(pool: Any, ledger: Ledger, instead_of: Pool | None = None) -> None:
    """Wraps what no event shows: the wait for a connection, and its timeout.

    No `checkout` listener, which would cost every checkout its fast path.
    """
    watch = Watch(pool, ledger)
    pool._poolwatch = watch
    pool.connect = _connect(pool.connect, watch)
    pool._do_return_conn = _return(pool._do_return_conn, ledger)
    watch_queue(getattr(pool, "_pool", None), ledger)
    pool.recreate = _recreate(pool.recreate, pool, ledger)
    ledger.add(pool, instead_of)


def _connect(connect: Callable[[], Any], watch: Watch) -> Callable[[], Any]:
    ledger = watch.ledger

    def connect_timed() -> Any:
        asked = ledger.asked(watch)
        try:
            connection = connect()
        except BaseException as error:
            ledger.refused(asked, error)
            raise
        ledger.acquired(asked, watch, connection._connection_record)
        return connection

    return connect_timed


def _return(put_back: Callable[[Any], None], ledger: Ledger) -> Callable[[Any], None]:
    def return_timed(record: Any) -> None:
        ledger.returned(record)
        put_back(record)

    return return_timed


def _recreate(recreate: Callable[[], Pool], pool: Pool, ledger: Ledger) -> Callable[[], Pool]:
    def recreate_watched() -> Pool:
        made = recreate()
        _adopt(made, ledger, instead_of=pool)
        return made

    return recreate_watched
