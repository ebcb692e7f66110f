"""Sends what the ledgers hold to the sidecar: one datagram a period, from a thread of its own."""

from __future__ import annotations

import atexit
import json
import logging
import os
import random
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from itertools import takewhile
from time import perf_counter
from typing import Any, Callable, NoReturn

from poolwatch import forks, settings
from poolwatch.findings import Finding
from poolwatch.histogram import ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS
from poolwatch.ledger import Ledger

VERSION = 1
JITTER = 0.1
SEND_TIMEOUT = 0.1
FINAL_ATTEMPTS = 10
JOIN_TIMEOUT = 0.2
# The shortest pause between reports at the end of tasks.
SOON = 0.1
# Periods without a report after which the application's own thread sends: uWSGI without
# --enable-threads runs no other.
OVERDUE_PERIODS = 2
# What the protocol allows; together they keep the largest datagram below 64 KiB.
MOST_POOLS = 16
MOST_FINDINGS_SENT = 10
# What the sidecar reads, with room to spare.
LONGEST_DATAGRAM = 60_000
# Of the endpoints and holds of each pool, if the whole does not fit.
SHARES = (1.0, 0.5, 0.2, 0.0)
OTHER_POOLS = "other"
# What ends a process that has no handler for it, where the platform has it.
_DEADLY = frozenset(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)

logger = logging.getLogger("poolwatch")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Reporter:
    """One instance of the protocol: a process, reporting to one socket under one app name."""

    def __init__(self, path: str, app: str) -> None:
        self.path = path
        self.app = app
        self.period = settings.period()
        self.ledgers: dict[str, Ledger] = {}
        self._is_full = False
        self._reset()

    def _reset(self) -> None:
        self.instance = secrets.token_hex(8)
        self.sequence = 0
        self.overdue_at = float("inf")
        self._sent_at = 0.0
        # What never changes is encoded once: it is half of a report and most of its cost.
        self._head = _encode(self._constants())[:-1] + ","
        # Held while sending; the application's threads never wait for it.
        self._turn = threading.Lock()
        # Reentrant: a signal handler may use a pool for the first time while another begins.
        self._registry = threading.RLock()
        self._ended = threading.Event()
        # In use: something was or will be reported. The thread may rest all the same.
        self._begun = False
        self._thread: tuple[threading.Thread, threading.Event] | None = None

    def _constants(self) -> dict[str, Any]:
        return {
            "v": VERSION,
            "inst": self.instance,
            "pid": os.getpid(),
            "period": self.period,
            "app": self.app,
            "bounds": BOUNDS,
            "hold_bounds": HOLD_BOUNDS,
            "acquire_bounds": ACQUIRE_BOUNDS,
        }

    def ledger(self, name: str) -> Ledger:
        """The ledger of that name, or of all names beyond MOST_POOLS."""
        with self._registry:
            name = self._name_with_room(name)
            if name not in self.ledgers:
                self.ledgers[name] = Ledger(name, self)
            return self.ledgers[name]

    def _name_with_room(self, name: str) -> str:
        if name in self.ledgers or len(self.ledgers) < MOST_POOLS - 1:
            return name
        if not self._is_full:
            self._is_full = True
            logger.warning(
                "pool %r is reported as %r, as are all beyond %d: give pools one name, "
                "as those of tenants",
                name,
                OTHER_POOLS,
                MOST_POOLS - 1,
            )
        return OTHER_POOLS

    def begin(self) -> None:
        """Starts reporting: at the first use in each process, and after each fork of a child."""
        with self._registry:
            if self._ended.is_set():
                return
            if not self._begun:
                self._begun = True
                # The first return reports: a process may end soon, and without a word.
                self.overdue_at = 0.0
                _at_exit(self.close)
            self._start_thread()

    def _start_thread(self) -> None:
        if self._thread is not None or forks.may_still_fork():
            return
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,), name="poolwatch", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread can be had: the application's own will report.
            return
        self._thread = thread, stop

    def _run(self, stop: threading.Event) -> None:
        pause = self.period * random.random()
        while not stop.wait(pause):
            self.report(stop)
            pause = self.period * random.uniform(1 - JITTER, 1 + JITTER)

    def rest(self) -> None:
        """Before a fork: no thread, for Python 3.12 warns of any, and the last figures.

        A process that only preloads makes its final report so. One that goes on begins again at
        its next use of a pool.
        """
        with self._registry:
            if not self._begun or self._ended.is_set():
                return
            resting = [ledger.rest() for ledger in list(self.ledgers.values())]
            running, self._thread = self._thread, None
        if running is not None:
            thread, stop = running
            stop.set()
            thread.join(JOIN_TIMEOUT)
        self.report_without_waiting(bye=all(resting))

    def forked_a_child(self) -> None:
        """In the parent: what it still holds must be reported on."""
        resting = not self._begun or self._thread is not None
        if not resting and any(not ledger.rest() for ledger in list(self.ledgers.values())):
            self.begin()

    def report(self, stop: threading.Event | None = None) -> bool:
        """Tries until the next report is due: the thread that waits has nothing else to do."""
        with self._turn:
            attempts = max(1, round(self.period / SEND_TIMEOUT))
            return not self._ended.is_set() and self._send(attempts=attempts, stop=stop)

    def report_without_waiting(self, bye: bool = False) -> None:
        if self._turn.acquire(blocking=False):
            try:
                if not self._ended.is_set():
                    self._send(timeout=0.0, attempts=1, bye=bye)
            finally:
                self._turn.release()

    def report_late(self) -> None:
        """Called by the application's own thread, when no other has sent what is due."""
        if self._thread is None:
            self.begin()
        self.report_without_waiting()

    def report_soon(self) -> None:
        if self._begun and perf_counter() > self._sent_at + SOON:
            self.report_without_waiting()

    def close(self) -> None:
        """Sends the final report: its counters stay, its gauges go."""
        if not self._begun or self._ended.is_set() or not forks.same_process[0]:
            return
        self._ended.set()
        if self._thread is not None:
            self._thread[1].set()
        if self._turn.acquire(timeout=1.0):
            try:
                self._send(attempts=FINAL_ATTEMPTS, bye=True)
            finally:
                self._turn.release()

    def forked(self) -> None:
        """In the child: another instance, with no thread and nothing counted."""
        self._reset()
        for ledger in self.ledgers.values():
            ledger.forked()

    def _send(
        self,
        attempts: int,
        timeout: float = SEND_TIMEOUT,
        bye: bool = False,
        stop: threading.Event | None = None,
    ) -> bool:
        """Cumulative, so a report that does not arrive costs nothing but its second."""
        if not forks.same_process[0]:
            # What is known is the parent's, and its own to tell.
            return False
        self._sent_at = perf_counter()
        self.overdue_at = self._sent_at + OVERDUE_PERIODS * self.period
        self.sequence += 1
        try:
            taken = self._take_findings()
            told = [ledger for ledger in list(self.ledgers.values()) if not ledger.is_vain()]
            pools = [found for ledger in told if (found := _snapshot(ledger)) is not None]
            going_on = (stop is None or not stop.is_set() for _ in range(attempts))
            sent = send(self.path, self._datagram(pools, taken, bye), timeout, going_on)
            if not sent:
                self._put_back(pools, taken)
        except Exception:
            logger.debug("no report", exc_info=True)
            return False
        return sent

    def _datagram(
        self, pools: list[dict[str, Any]], found: list[tuple[Ledger, Finding]], bye: bool
    ) -> bytes:
        """With fewer endpoints and holds of each pool, where all would be too much."""
        for share in SHARES:
            datagram = self._encoded([_with_share(pool, share) for pool in pools], found, bye)
            if len(datagram) <= LONGEST_DATAGRAM:
                break
        return datagram

    def _encoded(
        self, pools: list[dict[str, Any]], found: list[tuple[Ledger, Finding]], bye: bool
    ) -> bytes:
        report = {
            "seq": self.sequence,
            "bye": bye,
            "pools": pools,
            "findings": [finding.snapshot(ledger.name) for ledger, finding in found],
        }
        # A lone surrogate, as of a file name that is not UTF-8, would make all of it unreadable.
        return (self._head + _encode(report)[1:]).encode(errors="replace")

    def _take_findings(self) -> list[tuple[Ledger, Finding]]:
        taken: list[tuple[Ledger, Finding]] = []
        for ledger in list(self.ledgers.values()):
            taken += [
                (ledger, one) for one in ledger.take_findings(MOST_FINDINGS_SENT - len(taken))
            ]
        return taken

    def _put_back(self, pools: list[dict[str, Any]], found: list[tuple[Ledger, Finding]]) -> None:
        for ledger, finding in found:
            ledger.put_back(finding)
        for pool in pools:
            self.ledgers[pool["name"]].raise_peaks(pool["peak"], pool["pending_peak"])


def _snapshot(ledger: Ledger) -> dict[str, Any] | None:
    """None of a pool that cannot be told of, which must not silence the others."""
    try:
        return ledger.snapshot()
    except Exception:
        logger.debug("no report of the pool %s", ledger.name, exc_info=True)
        return None


def _with_share(pool: dict[str, Any], share: float) -> dict[str, Any]:
    """Those that hold most, and the longest holds. What is left out comes with a later report."""
    if share == 1.0:
        return pool
    endpoints, holds = pool.get("endpoints", []), pool.get("holds", [])
    by_holding = sorted(endpoints, key=lambda one: (one["out"], one["held"]), reverse=True)
    return {
        **pool,
        "endpoints": by_holding[: int(share * len(endpoints))],
        "holds": holds[: int(share * len(holds))],
    }


def send(path: str, datagram: bytes, timeout: float, going_on: Iterable[bool] = (True,)) -> bool:
    """A socket for each datagram and a path for each send.

    A connected one fails for ever after the sidecar's restart, and one kept open may have been
    closed and its number given to another file by the time it is used (daemons close all).
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outgoing:
            outgoing.settimeout(timeout)
            return any(_sent(outgoing, path, datagram) for _ in takewhile(bool, going_on))
    except OSError as error:
        logger.debug("no report to %s: %s", path, error)
        return False


def _sent(outgoing: socket.socket, path: str, datagram: bytes) -> bool:
    """False when the sidecar's queue is full, which it may soon no longer be."""
    try:
        outgoing.sendto(datagram, path)
    except (socket.timeout, BlockingIOError):
        return False
    return True


_reporters: dict[tuple[str, str], Reporter] = {}
_reporters_lock = threading.Lock()


def reporter(path: str, app: str) -> Reporter:
    forks.notice()
    with _reporters_lock:
        if (path, app) not in _reporters:
            _reporters[path, app] = Reporter(path, app)
        return _reporters[path, app]


def all_reporters() -> list[Reporter]:
    return list(_reporters.values())


def close_all() -> None:
    """The final report of this process, wherever it reports to."""
    for each in all_reporters():
        each.close()


def report_soon() -> None:
    """Reports what is new, unless a report went out just before."""
    for each in all_reporters():
        each.report_soon()


def _before_a_fork() -> None:
    for each in all_reporters():
        each.rest()


def _after_a_fork() -> None:
    for each in all_reporters():
        each.forked_a_child()


def _forked() -> None:
    global _reporters_lock
    _reporters_lock = threading.Lock()
    for each in _reporters.values():
        each.forked()


def _at_exit(close: Callable[[], None]) -> None:
    """Some processes end with os._exit, past atexit: multiprocessing's and Celery's children, which
    have finalizers of their own in part, and RQ's.
    """
    atexit.register(close)
    for name in ("multiprocessing.util", "billiard.util"):
        module = sys.modules.get(name)
        if module is not None:
            module.Finalize(None, close, exitpriority=0)
    if os._exit is not _exit:
        os._exit = _exit
    if signal.raise_signal is not _raise_signal:
        signal.raise_signal = _raise_signal


def _exit(status: int) -> NoReturn:
    """`os._exit` of a process that has used a pool: its final report comes before."""
    try:
        close_all()
    finally:
        _exit_at_once(status)


def _raise_signal(number: int) -> None:
    """Uvicorn, once it has shut down, ends itself by the signal that it was told to end by."""
    if signal.getsignal(number) is signal.SIG_DFL and number in _DEADLY:
        close_all()
    _raise_signal_at_once(number)


_exit_at_once = os._exit
_raise_signal_at_once = signal.raise_signal
forks.around(_before_a_fork, _after_a_fork, _forked)
