"""Celery's children end in os._exit, past atexit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from receiver import endpoints, findings, total
from serving import python_path, watched
from truth import Truth

pytest.importorskip("celery")
pytestmark = pytest.mark.servers
TASKS = 40
# Seconds: children start again and again, each of which imports Celery.
LIMIT = 600
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


def send(program, its):
    command = [sys.executable, "-c", program]
    subprocess.run(command, env={**its, "CONNECT_AT_IMPORT": ""}, check=True)


@contextmanager
def worker(folder, its, *options):
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--without-mingle"]
    command += ["--without-gossip", "--without-heartbeat", "--loglevel=WARNING", *options]
    with open(folder / "log", "wb") as log:
        started = subprocess.Popen(command, env=its, stdout=log, stderr=log, cwd=folder)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(timeout=LIMIT)


def test_children_that_end_after_a_few_tasks_count_exactly(url, receiver, tmp_path):
    its = environment(tmp_path, url, receiver)
    truth = Truth(its["TRUTH"])
    send(SEND, its)
    options = ("--pool=prefork", "--concurrency=2", "--max-tasks-per-child=5")
    with worker(tmp_path, its, *options) as running:
        deadline = time.monotonic() + LIMIT
        while truth.read()["checkouts"] < TASKS:
            assert running.poll() is None and time.monotonic() < deadline, (
                tmp_path / "log"
            ).read_text()
            time.sleep(0.05)
        # Those that have not come to their limit report in time; to their SIGTERM nobody could.
        receiver.wait_for(lambda reports: total(reports, "hold") >= TASKS + 1, LIMIT)
    true = truth.read()
    assert total(receiver.reports, "hold") == true["checkouts"] + 1
    assert total(receiver.reports, "query") == true["queries"]
    assert total(receiver.reports, "commit") == true["commits"]
    assert len(truth.workers()) >= TASKS // 5 - 1


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_a_task_is_judged_as_one_and_reported_at_its_end(url, receiver, tmp_path, pool):
    """A period of 5 s, and a worker that is ended with SIGTERM long before."""
    its = environment(tmp_path, url, receiver)
    send("import tasks\ntasks.look_up.delay()", its)
    with worker(tmp_path, its, f"--pool={pool}", "--concurrency=1"):
        (found,) = receiver.wait_for(lambda reports: findings(reports, "n_plus_one"), LIMIT)
    assert (found["count"], found["seen"]) == (20, 1)
    assert total(receiver.reports, "n_plus_one") == 1
    assert total(receiver.reports, "hold") == 1 + 21
    assert endpoints(receiver.reports)["tasks.look_up"] == 21
