"""Watching an engine of SQLAlchemy, sync or async: its pool, and its dialect's statements."""

from __future__ import annotations

from typing import Any

from poolwatch import pools
from poolwatch.ledger import Ledger
from poolwatch.statements import unwatch_statements, watch_statements


def watching(engine: Any) -> Ledger | None:
    return pools.watching(_sync(engine).pool)


def watch(engine: Any, ledger: Ledger) -> None:
    engine = _sync(engine)
    pools.watch_pool(engine.pool, ledger)
    watch_statements(engine.dialect, ledger)


def watch_again(engine: Any, ledger: Ledger) -> None:
    """Another engine may share the pool, with a dialect of its own."""
    watch_statements(_sync(engine).dialect, ledger)


def unwatch(engine: Any) -> None:
    engine = _sync(engine)
    unwatch_statements(engine.dialect)
    pools.unwatch_pool(engine.pool)


def _sync(engine: Any) -> Any:
    return getattr(engine, "sync_engine", engine)
