"""Celery's children end in os._exit, past atexit."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from receiver import total
from serving import python_path, watched
from truth import Truth

pytest.importorskip("celery")
pytestmark = pytest.mark.servers
TASKS = 40
SEND = f"import tasks\nfor number in range({TASKS}): tasks.work.delay(number)"


def environment(folder, url, receiver):
    (folder / "queue" / "control").mkdir(parents=True)
    return {
        **os.environ,
        "DATABASE_URL": watched(url("psycopg2"), receiver),
        "TRUTH": str(folder / "truth"),
        "QUEUE": str(folder / "queue"),
        "PYTHONPATH": python_path(),
        "CONNECT_AT_IMPORT": "1",
        # Longer than a child lives: only what is said at its end can be complete.
        "POOLWATCH_PERIOD": "5",
    }


def test_children_that_end_after_a_few_tasks_count_exactly(url, receiver, tmp_path):
    its = environment(tmp_path, url, receiver)
    truth = Truth(its["TRUTH"])
    subprocess.run([sys.executable, "-c", SEND], env={**its, "CONNECT_AT_IMPORT": ""}, check=True)
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool=prefork"]
    command += ["--concurrency=2", "--max-tasks-per-child=5", "--without-mingle"]
    command += ["--without-gossip", "--without-heartbeat", "--loglevel=WARNING"]
    with open(tmp_path / "log", "wb") as log:
        worker = subprocess.Popen(command, env=its, stdout=log, stderr=log, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while truth.read()["checkouts"] < TASKS:
            assert worker.poll() is None and time.monotonic() < deadline, (
                tmp_path / "log"
            ).read_text()
            time.sleep(0.05)
        # Those that have not come to their limit report in time; to their SIGTERM nobody could.
        receiver.wait_for(lambda reports: total(reports, "hold") >= TASKS + 1)
    finally:
        worker.terminate()
        worker.wait(timeout=60)
    true = truth.read()
    assert total(receiver.reports, "hold") == true["checkouts"] + 1
    assert total(receiver.reports, "query") == true["queries"]
    assert total(receiver.reports, "commit") == true["commits"]
    assert len(truth.workers()) >= TASKS // 5 - 1
