"""The sidecar's end of the socket, as a test needs it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
import time
from typing import Any, Callable

from poolwatch.reporter import _reporters

# Seconds: far more than anything here takes, even where the machine is busy.
PATIENCE = 120

Report = dict[str, Any]


class Receiver:
    """Keeps every report, in a thread, until closed. `pace` is a pause after each datagram."""

    def __init__(self, pace: float = 0.0) -> None:
        self.folder = tempfile.mkdtemp(prefix="pw-")
        self.path = f"{self.folder}/poolwatch.sock"
        self.reports: list[Report] = []
        self.sizes: list[int] = []
        self._pace = pace
        self._came = threading.Condition()
        self._open()

    def _open(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self._thread = threading.Thread(target=self._receive, args=(self._socket,), daemon=True)
        self._thread.start()

    def _receive(self, incoming: socket.socket) -> None:
        while datagram := incoming.recv(1 << 18):
            with self._came:
                self.reports.append(json.loads(datagram))
                self.sizes.append(len(datagram))
                self._came.notify_all()
            time.sleep(self._pace)

    def stop(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.path)
        self._thread.join()
        self._socket.close()
        os.unlink(self.path)

    def restart(self) -> None:
        self.stop()
        self._open()

    def close(self) -> None:
        """Its reporters end too, so that none of them disturbs the tests to come."""
        for key in [key for key in _reporters if key[0].startswith(self.folder)]:
            _reporters.pop(key).close()
        if os.path.exists(self.path):
            self.stop()
        shutil.rmtree(self.folder)

    def wait_for(self, condition: Callable[[list[Report]], Any], seconds: float = PATIENCE) -> Any:
        """What `condition` makes of the reports, once that is true."""

        def met() -> Any:
            try:
                return condition(self.reports)
            except LookupError:
                # The report, or what it is to have, is not there yet.
                return None

        with self._came:
            if not self._came.wait_for(met, seconds):
                raise AssertionError(f"never came in {len(self.reports)}: {self.reports[-1:]}")
            return condition(self.reports)

    def pool(self, name: str = "web", **expected: Any) -> dict[str, Any]:
        """The newest figures of a pool, once they are as expected."""

        def as_expected(reports: list[Report]) -> Any:
            pool = newest(reports, name)
            met = pool and all(is_met(pool.get(key), value) for key, value in expected.items())
            return pool if met else None

        return self.wait_for(as_expected)

    def settled(self, name: str = "web") -> dict[str, Any]:
        """A pool's figures, read after this call began."""
        before = len(self.reports)
        # The first to come may have been made before.
        self.wait_for(lambda reports: len(reports) >= before + 2)
        return self.pool(name)


def is_met(value: Any, expected: Any) -> bool:
    """A figure that an early report does not have yet meets no condition."""
    if callable(expected):
        return value is not None and bool(expected(value))
    return value == expected


def newest(reports: list[Report], name: str) -> dict[str, Any] | None:
    for report in reversed(reports):
        for pool in report["pools"]:
            if pool["name"] == name:
                return pool
    return None


def instances(reports: list[Report]) -> dict[str, Report]:
    """The newest report of each instance."""
    latest: dict[str, Report] = {}
    for report in reports:
        known = latest.get(report["inst"])
        if known is None or report["seq"] > known["seq"]:
            latest[report["inst"]] = report
    return latest


def total(reports: list[Report], *keys: str, name: str = "web") -> int:
    """A counter, or the count of a histogram, over all instances."""
    pools = [p for one in instances(reports).values() for p in one["pools"] if p["name"] == name]
    return sum(count(pool[key]) for pool in pools for key in keys)


def count(figure: Any) -> int:
    return sum(figure["counts"]) if isinstance(figure, dict) else figure


def endpoints(reports: list[Report], name: str = "web") -> dict[str, int]:
    """The checkouts of each endpoint, over all instances."""
    pools = [p for one in instances(reports).values() for p in one["pools"] if p["name"] == name]
    checkouts: dict[str, int] = {}
    for endpoint in (one for pool in pools for one in pool.get("endpoints", ())):
        key = endpoint["name"]
        checkouts[key] = checkouts.get(key, 0) + endpoint["checkouts"]
    return checkouts


def findings(reports: list[Report], kind: str) -> list[dict[str, Any]]:
    return [one for report in reports for one in report["findings"] if one["kind"] == kind]
