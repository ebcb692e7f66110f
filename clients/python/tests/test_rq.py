"""RQ forks a horse for each job, which ends in os._exit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest
from receiver import PATIENCE, endpoints, findings, total
from serving import python_path, watched
from truth import Truth

redis = pytest.importorskip("redis")
rq = pytest.importorskip("rq")
SERVER = shutil.which("redis-server") or shutil.which("redis-server", path="/usr/bin:/usr/sbin")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(SERVER is None, reason="redis-server is not installed"),
]
JOBS = 12


@pytest.fixture
def queue(tmp_path):
    path = f"{tmp_path}/redis.sock"
    command = [SERVER, "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=path)
    try:
        wait_until_it_answers(client, server)
        yield rq.Queue(connection=client)
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


def wait_until_it_answers(client, server):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            client.ping()
            return
        except redis.ConnectionError:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)


def test_each_job_is_counted_exactly_and_judged_as_one(queue, url, receiver, tmp_path):
    truth = Truth(str(tmp_path / "truth"))
    for number in range(JOBS):
        queue.enqueue("preloaded.handle", number)
    queue.enqueue("preloaded.look_up_one_by_one")
    path = queue.connection.connection_pool.connection_kwargs["path"]
    command = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", f"unix://{path}"]
    environment = {
        **os.environ,
        "DATABASE_URL": watched(url("psycopg2"), receiver),
        "TRUTH": truth.path,
        "PYTHONPATH": python_path(),
        # Longer than a horse lives: only its final report can be complete.
        "POOLWATCH_PERIOD": "5",
    }
    command += ["--worker-class", "poolwatch.rq.Worker"]
    subprocess.run(command, env=environment, check=True, cwd=tmp_path, timeout=PATIENCE)
    true = truth.read()
    assert true["checkouts"] == JOBS
    receiver.wait_for(lambda reports: total(reports, "hold") >= JOBS + 21)
    assert total(receiver.reports, "hold") == JOBS + 21
    assert total(receiver.reports, "query") == true["queries"] + 21
    assert total(receiver.reports, "commit") == true["commits"]
    assert total(receiver.reports, "n_plus_one") == 1
    (found,) = findings(receiver.reports, "n_plus_one")
    assert (found["count"], "preloaded.py:" in found["where"]) == (20, True)
    expected = {"preloaded.handle": JOBS, "preloaded.look_up_one_by_one": 21}
    named = endpoints(receiver.reports)
    assert {name: named.get(name) for name in expected} == expected
