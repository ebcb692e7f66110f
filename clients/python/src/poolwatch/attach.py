"""`watch` and `unwatch`: one call for an engine, or for a pool of another library."""

from __future__ import annotations

import logging
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Union

from poolwatch import forks, settings
from poolwatch.reporter import reporter

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

logger = logging.getLogger("poolwatch")

# The package that a target's class, or one of its bases, comes from, and who watches it.
LIBRARIES = {
    "sqlalchemy": "poolwatch.engines",
    "psycopg_pool": "poolwatch.psycopg_pools",
    "psycopg2": "poolwatch.psycopg2_pools",
    "asyncpg": "poolwatch.asyncpg_pools",
}
# Where an engine keeps that nobody asked for it to be watched.
AUTOMATIC = "_poolwatch_automatic"
# Two threads that watch one pool at once would wrap it twice.
_lock = threading.RLock()


class PsycopgPool(Protocol):
    """A pool of psycopg_pool, sync or async, or of psycopg2.pool."""

    def getconn(self, *_: Any, **__: Any) -> Any: ...
    def putconn(self, *_: Any, **__: Any) -> Any: ...


class AsyncpgPool(Protocol):
    def acquire(self, *_: Any, **__: Any) -> Any: ...
    def release(self, *_: Any, **__: Any) -> Any: ...


Watchable = TypeVar("Watchable", bound=Union["Engine", "AsyncEngine", PsycopgPool, AsyncpgPool])


def watch(
    target: Watchable,
    pool: str | None = None,
    socket: str | None = None,
    app: str | None = None,
) -> Watchable:
    """Reports `target`'s pool to the sidecar under the name `pool`, and returns `target`.

    `target` is an `Engine` or an `AsyncEngine` of SQLAlchemy, or a pool of `psycopg_pool`, of
    `psycopg2.pool` or of asyncpg. Those watched under one name are reported as one pool. What is
    not given comes from POOLWATCH_POOL, POOLWATCH_SOCKET and POOLWATCH_APP.
    A mistake is logged, never raised: watching must not be what stops an application.
    """
    try:
        with _lock:
            _watch(target, pool, socket, app)
    except Exception:
        logger.warning("%r is not watched", target, exc_info=True)
    return target


def watch_automatically(engine: Any) -> None:
    """By what the environment says, until the application says otherwise."""
    watch(engine)
    setattr(engine, AUTOMATIC, True)


def unwatch(target: Watchable) -> Watchable:
    """Takes `target` out of the reports and leaves it as it was before. What was counted stays."""
    try:
        library = _library_of(target)
        with _lock:
            _was_automatic(target)
            if library.watching(target) is not None:
                library.unwatch(target)
    except Exception:
        logger.warning("%r is still watched", target, exc_info=True)
    return target


def _watch(target: Any, pool: str | None, socket: str | None, app: str | None) -> None:
    name = settings.pool_name(pool, app)
    library = _library_of(target)
    if _was_automatic(target):
        # The application itself says how: that goes before.
        library.unwatch(target)
    ledger = library.watching(target)
    if ledger is None:
        ledger = reporter(settings.socket_path(socket), settings.app_name(app)).ledger(name)
        library.watch(target, ledger)
        logger.debug("%r is watched as pool %r", target, ledger.name)
        return
    if ledger.name != name:
        logger.warning("%r is already watched as pool %r", target, ledger.name)
    if hasattr(library, "watch_again"):
        library.watch_again(target, ledger)


def _forked() -> None:
    """In a child: another thread may have held the lock."""
    global _lock
    _lock = threading.RLock()


def _was_automatic(target: Any) -> bool:
    """Asked once: from then on the application has said what it wants."""
    engine = getattr(target, "sync_engine", target)
    return bool(getattr(engine, "__dict__", {}).pop(AUTOMATIC, False))


def _library_of(target: Any) -> Any:
    for each in type(target).__mro__:
        package = each.__module__.partition(".")[0]
        if package in LIBRARIES:
            return import_module(LIBRARIES[package])
    raise TypeError("it is no engine and no pool of a library that is known")


forks.around(lambda: None, lambda: None, _forked)
