"""`python -m poolwatch check`: whether what this process would report arrives, and if not, why."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
import sys
from collections.abc import Iterator
from importlib import import_module

from poolwatch import settings
from poolwatch.reporter import Reporter, all_reporters

Line = tuple[str, str]


def check(module: str | None) -> int:
    """Prints a line for each question; 1 if something is wrong, else 0."""
    lines = list(_lines(settings.socket_path(None), module))
    for sign, text in lines:
        print(sign, text)
    return int(any(sign == "✗" for sign, _ in lines))


def _lines(path: str, module: str | None) -> Iterator[Line]:
    yield "✓", f"reports go to {path} ({_named_by()})"
    wrong = _wrong_with(path)
    if wrong is None:
        wrong = _wrong_with_sending(path)
    yield ("✗", wrong) if wrong else ("✓", "poolwatch hears this process")
    if module is not None:
        yield from _pools_of(module)
        return
    pool, app = settings.pool_name(None), settings.app_name(None)
    yield "✓", f"a pool without a name would be reported as {pool!r}, by the application {app!r}"
    url = os.environ.get("DATABASE_URL", "")
    if url and "plugin=poolwatch" not in url and not _is_started_by_run():
        yield (
            "!",
            "DATABASE_URL has no ?plugin=poolwatch: an engine made of it is reported only where "
            "the application calls poolwatch.watch(engine) or is started by poolwatch-run",
        )


def _is_started_by_run() -> bool:
    return "poolwatch.automatic" in sys.modules


def _pools_of(module: str) -> Iterator[Line]:
    """Those that the application watches once it is loaded."""
    sys.path.insert(0, os.getcwd())
    try:
        import_module(module)
    except Exception as error:
        yield "✗", f"{module} cannot be imported: {type(error).__name__}: {error}"
        return
    lines = [line for each in all_reporters() for line in _pools_reported_by(each)]
    yield from lines
    if not lines:
        yield (
            "✗",
            f"{module} watches no pool: call poolwatch.watch(engine) where it is made, put "
            "?plugin=poolwatch into its URL, or start it by poolwatch-run",
        )


def _pools_reported_by(each: Reporter) -> Iterator[Line]:
    for ledger in each.ledgers.values():
        if ledger.is_vain():
            continue
        now = ledger.snapshot()
        size, more = now.get("size", "unknown"), now.get("max_overflow", "unknown")
        limit = "no limit" if more is None else f"max overflow {more}"
        yield (
            "✓",
            f"pool {ledger.name!r}, size {size}, {limit}, is reported to {each.path} "
            f"by the application {each.app!r}",
        )


def _named_by() -> str:
    return "from POOLWATCH_SOCKET" if os.environ.get("POOLWATCH_SOCKET") else "the usual place"


def _wrong_with(path: str) -> str | None:
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno == errno.EACCES:
            return (
                f"the folder of {path} may not be entered: give this user the right to (chmod o+x)"
            )
        return f"there is no {path}: start poolwatch, share its folder, or set POOLWATCH_SOCKET"
    if not stat.S_ISSOCK(found.st_mode):
        return f"{path} is no socket: set POOLWATCH_SOCKET to that of poolwatch"
    if not os.access(path, os.W_OK):
        return f"{path} may not be written to: make this user a member of group {found.st_gid}"
    return None


def _wrong_with_sending(path: str) -> str | None:
    """A report of no pool, at once the last, which leaves nothing behind."""
    report = f'{{"v":1,"inst":"check-{secrets.token_hex(8)}","seq":1,"bye":true,"pools":[]}}'
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outgoing:
            outgoing.settimeout(2.0)
            outgoing.sendto(report.encode(), path)
    except socket.timeout:
        return "poolwatch does not read: its queue stays full. See whether it runs or is stopped"
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            return f"nobody listens on {path}: poolwatch has ended. Start it again"
        return f"cannot send to {path}: {error.strerror}"
    return None
