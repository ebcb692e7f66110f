"""The load against the application as it is really run."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from served import HERE, Served, wait_for

from redditload.phases import PHASES
from redditload.workers import Worker


def load(served: Served, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, HERE / "load.py", "--target", served.address, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def watched(served: Served) -> Iterator[list[dict[str, Any]]]:
    """What the workers said of their pools meanwhile."""
    seen: list[dict[str, Any]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            seen.extend(served.pools())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(5)


def utilization(seen: list[dict[str, Any]]) -> list[float]:
    return [pool["utilization_percent"] for pool in seen]


def troubles_left(served: Served) -> list[Any]:
    answers = [worker.ask("GET", "/troubles") for worker in served.workers()]
    return [answer for answer in answers if answer["leaked"] or answer["missing_indexes"]]


def test_all_phases_run_and_leave_nothing_behind(served: Served) -> None:
    process = load(served, "--phase-seconds", "1")
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0
    assert [line.split()[0] for line in out.splitlines()] == list(PHASES)
    assert err == ""
    assert troubles_left(served) == []
    wait_for(lambda: sum(served.checked_out()) == 0, 5)


def test_a_healthy_phase_needs_no_overflow(served: Served) -> None:
    with watched(served) as seen:
        _, err = load(served, "--phases", "healthy:4", "--phase-seconds", "60").communicate(timeout=15)
    assert err == ""
    assert 5 <= max(utilization(seen)) < 75
    assert max(pool["overflow"] for pool in seen) == 0


def test_breathing_goes_above_ninety_percent_everywhere_and_back(served: Served) -> None:
    with watched(served) as seen:
        load(served, "--phases", "breathing", "--phase-seconds", "6").communicate(timeout=15)
    pids = {pool["worker_pid"] for pool in seen}
    assert len(pids) == 4
    for pid in pids:
        worker = utilization([pool for pool in seen if pool["worker_pid"] == pid])
        assert worker[0] <= 25
        assert max(worker) > 90
    wait_for(lambda: sum(served.checked_out()) == 0, 5)


def test_saturation_fills_one_worker_only(served: Served) -> None:
    process = load(served, "--phases", "saturation", "--phase-seconds", "60")
    wait_for(lambda: max(served.checked_out()) == 20, 10)
    assert sum(served.checked_out()) < 0.4 * 80
    stop(process)
    wait_for(lambda: sum(served.checked_out()) == 0, 5)


def test_a_leak_is_given_back_on_sigterm(served: Served) -> None:
    process = load(served, "--phases", "leak", "--phase-seconds", "10", "--cycles", "forever")
    wait_for(lambda: max(served.checked_out()) >= 5, 10)
    stop(process)
    assert troubles_left(served) == []


def test_a_missing_index_is_restored_on_sigint(served: Served) -> None:
    process = load(served, "--phases", "missing_index", "--phase-seconds", "60")
    wait_for(lambda: len(troubles_left(served)) == 4, 10)
    stop(process, signal.SIGINT)
    assert troubles_left(served) == []


def test_what_a_killed_load_left_is_put_right_by_the_next(served: Served) -> None:
    served.workers()[1].ask("POST", "/troubles/leak?count=2")
    load(served, "--phases", "healthy", "--phase-seconds", "0.5").communicate(timeout=15)
    assert troubles_left(served) == []


def test_the_load_survives_the_death_of_a_worker(served: Served) -> None:
    process = load(served, "--phases", "healthy", "--phase-seconds", "60")
    assert process.stdout is not None
    process.stdout.readline()
    pids = [worker.pid for worker in served.workers()]
    victim = pids[2]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in [worker.pid for worker in served.workers()], 10)
    wait_for(served.is_up, 10)
    [replacement] = [worker for worker in served.workers() if worker.pid not in pids]
    wait_for(lambda: used(replacement), 10)
    stop(process)


def test_sockets_of_a_killed_application_are_not_taken_for_workers(schema: None) -> None:
    with tempfile.TemporaryDirectory(prefix="rb-", dir="/tmp") as folder:
        left = Path(folder) / "worker-1.sock"
        left.touch()
        application = Served(os.environ["DATABASE_URL"], Path(folder), WORKERS="1")
        try:
            wait_for(lambda: not left.exists(), 30, application.log.read_text)
        finally:
            application.stop()
        assert list(Path(folder).glob("worker-*.sock")) == []


def used(worker: Worker) -> bool:
    """Whether a connection was ever taken from its pool."""
    pool = worker.ask("GET", "/health/database/pool")
    return bool(pool["checked_in"] or pool["checked_out"])


def stop(process: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> None:
    started = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "arguments",
    [
        ["--target", "http://example.com"],
        ["--target", "http://10.0.0.1:8000"],
        ["--target", "https://127.0.0.1"],
        ["--phases", "healthy,unheard_of"],
        ["--phases", "healthy:0"],
        ["--phase-seconds", "0"],
        ["--cycles", "-1"],
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    command = [sys.executable, HERE / "load.py", *arguments]
    finished = subprocess.run(command, capture_output=True, timeout=10, check=False)
    assert finished.returncode == 2
