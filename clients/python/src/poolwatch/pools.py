"""Watching a pool that already exists, by giving it a subclass of its own class."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from poolwatch.ledger import Ledger

_watched_classes: dict[type[Pool], type[Pool]] = {}


def watch_pool(pool: Pool, ledger: Ledger) -> None:
    event.listen(pool, "connect", lambda *_: ledger.connected())
    event.listen(pool, "invalidate", lambda *_: ledger.disconnected())
    event.listen(pool, "soft_invalidate", lambda *_: ledger.disconnected())
    _adopt(pool, ledger)


def watching(pool: Pool) -> Any:
    """The ledger this pool is written into already, else None."""
    return pool.__dict__.get("_poolwatch_ledger")


def _adopt(pool: Pool, ledger: Ledger, instead_of: Pool | None = None) -> None:
    pool.__dict__["_poolwatch_ledger"] = ledger
    if not hasattr(type(pool), "_poolwatch_new"):
        pool.__class__ = _watched_class(type(pool))
    ledger.add(pool, instead_of)


def _watched_class(base: type[Pool]) -> type[Pool]:
    if base not in _watched_classes:
        _watched_classes[base] = _watched(base)
    return _watched_classes[base]


def _watched(base: Any) -> type[Pool]:
    """Times what no event shows: the wait for a connection, and its timeout.

    Overrides and no `checkout` listener, which would cost every checkout its fast path; the
    base's methods at hand and no `super()`, which costs a third of a microsecond before 3.12.
    """
    connect, put_back, recreate = base.connect, base._do_return_conn, base.recreate

    class Watched(base):  # type: ignore[misc]
        _poolwatch_ledger: Ledger
        _poolwatch_new = True

        def connect(self) -> Any:
            ledger = self._poolwatch_ledger
            asked = ledger.asked(self)
            try:
                connection = connect(self)
            except BaseException as error:
                ledger.refused(asked, error)
                raise
            ledger.acquired(asked, self, connection._connection_record)
            return connection

        def _do_return_conn(self, record: Any) -> None:
            self._poolwatch_ledger.returned(record)
            put_back(self, record)

        def recreate(self) -> Pool:
            pool: Pool = recreate(self)
            _adopt(pool, self._poolwatch_ledger, instead_of=self)
            return pool

    # SQLAlchemy's loggers are called by the name of the class.
    Watched.__name__, Watched.__qualname__ = base.__name__, base.__qualname__
    Watched.__module__, Watched.__doc__ = base.__module__, base.__doc__
    return Watched
