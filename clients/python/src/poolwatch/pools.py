"""Watching a pool of SQLAlchemy that already exists, by wrapping the methods of that one pool.

Its class stays what it was: `type(engine.pool)` tells what it always told, and an engine made with
that class is not watched.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Callable

from sqlalchemy import event, exc
from sqlalchemy.pool import Pool, QueuePool

from poolwatch.gauges import gauges
from poolwatch.ledger import Ledger
from poolwatch.queues import unwatch_queue, watch_queue
from poolwatch.watches import Gauges, Watch
from poolwatch.wrappers import unwrap, wrap

Listener = tuple[str, Callable[..., None]]


class SqlalchemyWatch(Watch):
    timeouts = (exc.TimeoutError,)
    unknown = frozenset[str]()
    sees_statements = True

    def __init__(self, pool: Pool, ledger: Ledger) -> None:
        super().__init__(pool, ledger)
        self.counts_itself = isinstance(pool, QueuePool)
        self.listeners: tuple[Listener, ...] = ()
        self.begins: Callable[[], None] | None = None
        self._invalid: set[int] = set()

    def gauges(self, pool: Any) -> Gauges | None:
        return gauges(pool)

    def checks_before_use(self, pool: Any) -> bool | None:
        return bool(pool._pre_ping)

    def forked(self, held: int) -> None:
        super().forked(held)
        self._invalid.clear()

    def listen(self, pool: Pool) -> None:
        self.listeners = (
            ("connect", lambda made, *_: self.ledger.connected(made, self.origin)),
            ("invalidate", lambda _, record, *__: self._invalidated(record)),
            ("soft_invalidate", lambda _, record, *__: self._invalidated(record)),
            ("close", lambda _, record: self._closed(record)),
        )
        for name, listener in self.listeners:
            event.listen(pool, name, listener)

    def _invalidated(self, record: Any) -> None:
        self._invalid.add(id(record))
        self.ledger.disconnected()

    def _closed(self, record: Any) -> None:
        """One broken connection invalidates all that were opened before: each counts, once."""
        if id(record) in self._invalid:
            self._invalid.discard(id(record))
        elif record._ConnectionRecord__pool._invalidate_time > record.starttime:
            self.ledger.disconnected()


def watch_pool(pool: Pool, ledger: Ledger, begins: Callable[[], None]) -> None:
    """`begins` is called before each process's first use of it."""
    watch = SqlalchemyWatch(pool, ledger)
    watch.begins = begins
    watch.listen(pool)
    _adopt(pool, watch)


def watching(pool: Pool) -> Ledger | None:
    """The ledger this pool is written into already."""
    watch: Watch | None = pool.__dict__.get("_poolwatch")
    return watch.ledger if watch is not None else None


def unwatch_pool(pool: Any) -> None:
    """Takes the wrappers off that `_adopt` put on."""
    watch: SqlalchemyWatch = pool._poolwatch
    for name, listener in watch.listeners:
        with suppress(exc.InvalidRequestError):  # of a pool that was made anew
            event.remove(pool, name, listener)
    unwrap(pool)
    unwatch_queue(getattr(pool, "_pool", None))
    del pool._poolwatch
    watch.ledger.remove(watch)


def _adopt(pool: Any, watch: SqlalchemyWatch, instead_of: Watch | None = None) -> None:
    """Wraps what no event shows: the wait for a connection, and its timeout.

    No `checkout` listener, which would cost every checkout its fast path.
    """
    ledger = watch.ledger
    pool._poolwatch = watch
    wrap(pool, "connect", lambda connect: _connect(connect, watch))
    wrap(pool, "_do_return_conn", lambda put_back: _return(put_back, ledger))
    wrap(pool, "recreate", lambda recreate: _recreate(recreate, watch))
    watch_queue(getattr(pool, "_pool", None), ledger)
    ledger.add(watch, instead_of)


def _connect(connect: Callable[[], Any], watch: Watch) -> Callable[[], Any]:
    ledger = watch.ledger

    def connect_timed() -> Any:
        asked = ledger.asked(watch)
        try:
            connection = connect()
        except BaseException as error:
            ledger.refused(asked, watch, error)
            raise
        record: Any = connection._connection_record
        ledger.acquired(asked, watch, record, record.fairy_ref)
        return connection

    return connect_timed


def _return(put_back: Callable[[Any], None], ledger: Ledger) -> Callable[[Any], None]:
    def return_timed(record: Any) -> None:
        ledger.returned(record)
        put_back(record)

    return return_timed


def _recreate(recreate: Callable[[], Pool], watch: SqlalchemyWatch) -> Callable[[], Pool]:
    def recreate_watched() -> Pool:
        made = recreate()
        again = SqlalchemyWatch(made, watch.ledger)
        # SQLAlchemy hands the listeners on.
        again.listeners = watch.listeners
        again.origin = watch.origin
        again.begins = watch.begins
        _adopt(made, again, instead_of=watch)
        return made

    return recreate_watched
