"""Watching a pool that already exists, by giving it a subclass of its own class."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from poolwatch.ledger import Ledger


class WatchedPool(Pool):
    """Times what no event shows: the wait for a connection, and its timeout.

    Overrides and no `checkout` listener: a listener alone would cost every checkout its fast path.
    """

    _poolwatch_ledger: Ledger
    _poolwatch_new = True

    def connect(self) -> Any:
        ledger = self._poolwatch_ledger
        asked = ledger.asked(self)
        try:
            connection: Any = super().connect()
        except BaseException as error:
            ledger.refused(asked, error)
            raise
        ledger.acquired(asked, self, connection._connection_record)
        return connection

    def _do_return_conn(self, record: Any) -> None:
        self._poolwatch_ledger.returned(record)
        super()._do_return_conn(record)

    def recreate(self) -> Pool:
        pool = super().recreate()
        _adopt(pool, self._poolwatch_ledger, instead_of=self)
        return pool


def watch_pool(pool: Pool, ledger: Ledger) -> None:
    event.listen(pool, "connect", lambda *_: ledger.connected())
    event.listen(pool, "invalidate", lambda *_: ledger.disconnected())
    event.listen(pool, "soft_invalidate", lambda *_: ledger.disconnected())
    _adopt(pool, ledger)


def watching(pool: Pool) -> Any:
    """The ledger this pool is written into already, else None."""
    return pool.__dict__.get("_poolwatch_ledger")


def _adopt(pool: Pool, ledger: Ledger, instead_of: Any = None) -> None:
    pool.__dict__["_poolwatch_ledger"] = ledger
    if not isinstance(pool, WatchedPool):
        pool.__class__ = _watched(type(pool))
    ledger.add(pool, instead_of)


_classes: dict[type[Pool], type[Pool]] = {}


def _watched(base: type[Pool]) -> type[Pool]:
    """Under the name of its base, which SQLAlchemy's loggers are called by."""
    if base not in _classes:
        same = {key: getattr(base, key) for key in ("__module__", "__qualname__", "__doc__")}
        _classes[base] = type(base.__name__, (WatchedPool, base), same)
    return _classes[base]
