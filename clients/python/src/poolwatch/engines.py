"""`watch`: one call for an engine, sync or async."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from poolwatch import settings
from poolwatch.pools import watch_pool, watching
from poolwatch.reporter import reporter
from poolwatch.statements import watch_statements

logger = logging.getLogger("poolwatch")
AnyEngine = TypeVar("AnyEngine")


def watch(
    engine: AnyEngine,
    pool: str | None = None,
    socket: str | None = None,
    app: str | None = None,
) -> AnyEngine:
    """Reports `engine`'s pool to the sidecar under the name `pool`, and returns `engine`.

    `engine` is an `Engine` or an `AsyncEngine`. Engines watched under one name are reported as
    one pool. What is not given comes from POOLWATCH_POOL, POOLWATCH_SOCKET and POOLWATCH_APP.
    A mistake is logged, never raised: watching must not be what stops an application.
    """
    try:
        _watch(getattr(engine, "sync_engine", engine), pool, socket, app)
    except Exception:
        logger.warning("%r is not watched", engine, exc_info=True)
    return engine


def _watch(engine: Any, pool: str | None, socket: str | None, app: str | None) -> None:
    name = settings.pool_name(pool)
    ledger = watching(engine.pool)
    if ledger is None:
        ledger = reporter(settings.socket_path(socket), settings.app_name(app)).ledger(name)
        watch_pool(engine.pool, ledger)
    elif ledger.name != name:
        logger.warning("%r is already watched as pool %r", engine, ledger.name)
    # Another engine may share the pool, with a dialect of its own.
    watch_statements(engine.dialect, ledger)
