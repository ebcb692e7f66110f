"""Whether this process is still the one that the client began in.

`os.register_at_fork` covers forks made by Python. uWSGI, mod_wsgi and other hosts that embed an
interpreter fork in C, past it, so the process itself must be recognized at its first use of a pool.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from typing import Any, Callable

# Linux clears such a page in every child, however it was forked. Reading a byte of it costs a
# tenth of a call of getpid().
MADV_WIPEONFORK = 18


class _Pid:
    """Where no page can be marked: 1 in the process that made it, and 0 in its children."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, place: int) -> int:
        return int(os.getpid() == self._pid)

    def __setitem__(self, place: int, value: int) -> None:
        self._pid = os.getpid()


def _mark() -> Any:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(MADV_WIPEONFORK)
    except (AttributeError, OSError, ValueError):
        return _Pid()
    return page


# `same_process[0]` is 0 in a child whose fork has not been noticed yet.
same_process = _mark()
same_process[0] = 1

_before: list[Callable[[], None]] = []
_in_parent: list[Callable[[], None]] = []
_in_child: list[Callable[[], None]] = []
# A lock for each process: one that was held at the moment of a fork stays locked in the child.
_noticing: dict[int, Any] = {}


def around(
    before: Callable[[], None], in_parent: Callable[[], None], in_child: Callable[[], None]
) -> None:
    """Has the first two run around the forks that Python makes, and `in_child` once in each child
    process, however it was made, before it uses the client.
    """
    _before.append(before)
    _in_parent.append(in_parent)
    _in_child.append(in_child)


def may_still_fork() -> bool:
    """Whether this is uWSGI's process before it forks its workers.

    A thread that waits for the interpreter's lock at that moment leaves a child that waits for it
    for ever: uWSGI forks past the hooks by which Python makes the lock anew.
    """
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi is not None and uwsgi.worker_id() == 0 and uwsgi.mule_id() == 0


def notice() -> None:
    """Runs what must run in a child that nobody told of its fork."""
    if same_process[0]:
        return
    pid = os.getpid()
    with _noticing.setdefault(pid, threading.RLock()):
        if not same_process[0]:
            _forked()


def _forked() -> None:
    _run(_in_child)
    same_process[0] = 1
    _noticing.clear()


def _run(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _run(_before),
        after_in_parent=lambda: _run(_in_parent),
        after_in_child=_forked,
    )
