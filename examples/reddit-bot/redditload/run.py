"""One phase while it runs: its clock, its threads, and what went wrong."""

import contextlib
import math
import threading
import time
from collections.abc import Iterable
from typing import Any, Callable, Optional

from redditload.workers import FAILURES, Application, Refused, Worker

Task = Callable[[], None]

# How long a stopped phase waits for the requests still under way.
LAST_REQUESTS = 2.0


class Run:
    def __init__(
        self, application: Application, workers: list[Worker], seconds: float, stop: threading.Event
    ) -> None:
        self.application = application
        self.workers = workers
        self.seconds = seconds
        self._stop = stop
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self.failures = 0
        self.last_failure = ""

    @property
    def remaining(self) -> float:
        return max(0.0, self._started + self.seconds - time.monotonic())

    @property
    def over(self) -> bool:
        return self._stop.is_set() or self.remaining == 0

    @property
    def level(self) -> float:
        """A breath: 0 at the start, 1 in the middle, 0 at the end."""
        elapsed = 1 - self.remaining / self.seconds
        return (1 - math.cos(2 * math.pi * elapsed)) / 2

    def wait(self, seconds: float) -> None:
        self._stop.wait(min(seconds, self.remaining))

    def worker(self, place: int) -> Worker:
        return self.workers[place % len(self.workers)]

    def get(self, place: int, path: str) -> Optional[dict[str, Any]]:
        return self._ask(place, "GET", path)

    def post(self, place: int, path: str) -> Optional[dict[str, Any]]:
        return self._ask(place, "POST", path)

    def _ask(self, place: int, method: str, path: str) -> Optional[dict[str, Any]]:
        """The answer, or None: the load goes on whatever happens to the application."""
        try:
            return self.worker(place).ask(method, path)
        except Refused as error:
            self._failed(f"{path}: {error}")
        except FAILURES as error:
            self._failed(f"{path}: {error!r}")
        # Nothing is asked again at once by who was just refused.
        self.wait(0.2)
        return None

    def _failed(self, failure: str) -> None:
        with self._lock:
            self.failures += 1
            self.last_failure = failure

    def _look_up_workers(self) -> None:
        """A worker that dies is replaced by another, which is to get its share."""
        while not self.over:
            self.wait(1)
            with contextlib.suppress(*FAILURES, Refused):
                # Never empty: there would be nobody to ask.
                self.workers = self.application.workers() or self.workers

    def drive(self, tasks: Iterable[Task]) -> None:
        """All tasks side by side until the time is over, then everything is put right."""
        # Daemons: a request that hangs does not keep the program from ending.
        threads = [
            threading.Thread(target=task, daemon=True) for task in (self._look_up_workers, *tasks)
        ]
        for thread in threads:
            thread.start()
        self._stop.wait(self.remaining)
        # Once so that requests which hold or wait end, once for those that were just being sent.
        self._put_right()
        until = time.monotonic() + LAST_REQUESTS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._put_right()

    def _put_right(self) -> None:
        try:
            self.application.put_right()
        except (*FAILURES, Refused) as error:
            self._failed(f"putting right: {error!r}")
