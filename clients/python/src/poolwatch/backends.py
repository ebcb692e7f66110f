"""The processes of the server at the other end of a pool's connections, as their drivers tell.

Each is asked for once, when its connection was made. The connection is not kept alive.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Callable

from poolwatch.signals import pass_on

# What the protocol allows of one pool: beyond it none are reported.
MOST_PIDS = 200

# The connection, its process on the server, the process that opened it, and the origin of its pool.
_Known = tuple[Callable[[], Any], int, int, object]


class Backends:
    """The open connections of the pools of one name."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._tells = False

    def add(self, connection: Any, origin: object = None) -> None:
        """Of a connection that was just made; of SQLAlchemy's adapters the driver's own."""
        try:
            connection = getattr(connection, "_connection", connection)
            pid = _pid_of(connection)
            if pid is not None:
                self._tells = True
                key, known = id(connection), self._known
                forgotten = weakref.ref(connection, lambda _: known.pop(key, None))
                known[key] = forgotten, pid, os.getpid(), origin
        except Exception as error:
            # A connection that was closed meanwhile tells nothing.
            pass_on(error)

    def forget_inherited(self, origin: object) -> None:
        """In a child that disposed of this pool: what the parent opened is still open there, and no
        pool has it. Other pools of the name keep what they inherited."""
        own = os.getpid()
        for key, (_, _, opened_by, of) in list(self._known.items()):
            if opened_by != own and of is origin:
                self._known.pop(key, None)

    def snapshot(self) -> list[int] | None:
        """None where no driver told, or there are too many."""
        if not self._tells:
            return None
        pids = [pid for key, (of, pid, *_) in list(self._known.items()) if self._is_open(key, of)]
        return pids if len(pids) <= MOST_PIDS else None

    def _is_open(self, key: int, of: Callable[[], Any]) -> bool:
        connection = of()
        if connection is not None and not _is_closed(connection):
            return True
        self._known.pop(key, None)
        return False


def _pid_of(connection: Any) -> int | None:
    for name in ("get_backend_pid", "get_server_pid"):  # psycopg2, asyncpg
        if hasattr(connection, name):
            return int(getattr(connection, name)())
    info: Any = getattr(connection, "info", None)
    if hasattr(info, "backend_pid"):  # psycopg
        return int(info.backend_pid)
    key = getattr(connection, "_backend_key_data", None)  # pg8000
    return int.from_bytes(key[:4], "big") if isinstance(key, bytes) else None


def _is_closed(connection: Any) -> bool:
    if hasattr(connection, "is_closed"):
        return bool(connection.is_closed())
    return bool(getattr(connection, "closed", False))
