"""What really happened, in memory shared by processes."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import Any

from sqlalchemy.pool import NullPool

POOLS: dict[str, dict[str, Any]] = {
    "QueuePool": {"pool_size": 2, "max_overflow": 1},
    "NullPool": {"poolclass": NullPool},
}
NAMES = ("checkouts", "queries", "commits", "errors")
LAYOUT = struct.Struct(f"{len(NAMES)}q")


class Truth:
    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "a+b") as file:
            file.truncate(LAYOUT.size)
            self._shared = mmap.mmap(file.fileno(), LAYOUT.size)

    def add(self, **happened: int) -> None:
        # Opened each time: a lock on a file opened before the fork is one with the other workers'.
        with open(self.path, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            now = self.read()
            LAYOUT.pack_into(self._shared, 0, *(now[n] + happened.get(n, 0) for n in NAMES))
            open(f"{self.path}.{os.getpid()}", "w").close()

    def read(self) -> dict[str, int]:
        return dict(zip(NAMES, LAYOUT.unpack_from(self._shared)))

    def workers(self) -> set[int]:
        """The processes that did any of it."""
        folder, name = os.path.split(self.path)
        return {int(f[len(name) + 1 :]) for f in os.listdir(folder) if f.startswith(f"{name}.")}
