"""Watching an engine of SQLAlchemy, sync or async: its pool, and its dialect's statements."""

from __future__ import annotations

import weakref
from typing import Any

from poolwatch import pools
from poolwatch.handled import unwatch_handled, watch_handled
from poolwatch.ledger import Ledger
from poolwatch.signals import pass_on
from poolwatch.statements import unwatch_statements, watch_statements
from poolwatch.targets import Target, of_parameters


def watching(engine: Any) -> Ledger | None:
    return pools.watching(_sync(engine).pool)


def watch(engine: Any, ledger: Ledger) -> None:
    engine = _sync(engine)
    reference = weakref.ref(engine)
    pools.watch_pool(engine.pool, ledger, lambda: _begins(reference, ledger))
    watch_statements(engine.dialect, ledger)
    ledger.declare(_targets(engine))


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


def _targets(engine: Any) -> list[Target]:
    """As its URL has them: several hosts are in its query, each with its port or beside a list."""
    try:
        if engine.dialect.name != "postgresql":
            return []
        url = engine.url
        given = {"dbname": url.database, "user": url.username}
        hosts = url.query.get("host", url.host)
        if isinstance(hosts, tuple):
            pairs = [host.partition(":") if host[:1] != "/" else (host, "", "") for host in hosts]
            host, port = [pair[0] for pair in pairs], [pair[2] or "5432" for pair in pairs]
            return of_parameters({**given, "host": host, "port": port})
        return of_parameters({**given, "host": hosts, "port": url.query.get("port", url.port)})
    except Exception as error:
        pass_on(error)
        return []


def _sync(engine: Any) -> Any:
    return getattr(engine, "sync_engine", engine)
