"""Watching an engine of SQLAlchemy, sync or async: its pool, and its dialect's statements."""

from __future__ import annotations

import weakref
from typing import Any

from poolwatch import pools
from poolwatch.handled import unwatch_handled, watch_handled
from poolwatch.ledger import Ledger
from poolwatch.statements import unwatch_statements, watch_statements


def watching(engine: Any) -> Ledger | None:
    return pools.watching(_sync(engine).pool)


def watch(engine: Any, ledger: Ledger) -> None:
    engine = _sync(engine)
    reference = weakref.ref(engine)
    pools.watch_pool(engine.pool, ledger, lambda: _begins(reference, ledger))
    watch_statements(engine.dialect, ledger)


def watch_again(engine: Any, ledger: Ledger) -> None:
    """Another engine may share the pool, with a dialect of its own."""
    watch_statements(_sync(engine).dialect, ledger)


def unwatch(engine: Any) -> None:
    engine = _sync(engine)
    unwatch_handled(engine)
    unwatch_statements(engine.dialect)
    pools.unwatch_pool(engine.pool)


def _begins(reference: weakref.ref[Any], ledger: Ledger) -> None:
    """By its first use the application has said which events it listens to."""
    engine = reference()
    if engine is not None:
        watch_handled(engine, ledger)


def _sync(engine: Any) -> Any:
    return getattr(engine, "sync_engine", engine)
