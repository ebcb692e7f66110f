"""Workers forked from a preloaded application, against the truth they keep in shared memory."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from receiver import instances, total
from truth import Truth

HERE = Path(__file__).parent
CONFIG = """
def post_fork(server, worker):
    import preloaded
    preloaded.engine.dispose(close=False)
"""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def ask(path, number):
    connection = UnixConnection(path)
    try:
        connection.request("GET", f"/{number}")
        return connection.getresponse().status
    finally:
        connection.close()


@contextmanager
def gunicorn(folder, url, receiver, *options, **environment):
    """Ends with SIGTERM, and by then has said all there was to say."""
    path = f"{receiver.folder}/http.sock"
    truth = Truth(str(folder / "truth"))
    watched = f"{url}&plugin=poolwatch&poolwatch_pool=web&poolwatch_socket={receiver.path}"
    own = {"DATABASE_URL": watched, "TRUTH": truth.path, "PYTHONPATH": _python_path()}
    command = [sys.executable, "-m", "gunicorn", "--preload", "--bind", f"unix:{path}", *options]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [*command, "preloaded:application"],
            env={**os.environ, **own, **environment},
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_it_answers(path, server, folder / "log")
        yield path, truth, server.pid
    finally:
        server.terminate()
        server.wait(timeout=30)


def _python_path():
    return os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])


def _wait_until_it_answers(path, server, log):
    deadline = time.monotonic() + 30
    while True:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.connect(path)
            return
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)


def test_four_preloaded_workers_count_exactly(url, receiver, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(CONFIG)
    options = ("--workers=4", "--worker-class=gthread", "--threads=4", f"--config={config}")
    environment = {"CONNECT_AT_IMPORT": "1"}
    with gunicorn(tmp_path, url("psycopg2"), receiver, *options, **environment) as running:
        path, truth, master = running
        with ThreadPoolExecutor(16) as clients:
            statuses = list(clients.map(lambda number: ask(path, number), range(600)))
        assert statuses == [200] * 600
        true = truth.read()
        receiver.wait_for(
            lambda reports: total(workers(reports, master), "hold") == true["checkouts"]
        )
        pids = {report["pid"] for report in workers(receiver.reports, master)}
    assert true["checkouts"] == 600
    byes = receiver.wait_for(lambda reports: all_gone(reports, master, pids))
    assert total(byes, "query") == true["queries"]
    assert total(byes, "commit") == true["commits"]
    assert total(byes, "query_errors") == true["errors"]
    assert total(byes, "acquire") == total(byes, "hold") == true["checkouts"]
    assert total(byes, "inherited", "timeouts", "acquire_errors") == 0
    assert all(figure(byes, key) == 0 for key in ("checked_out", "pending"))


def test_a_connection_made_before_the_fork_is_detected(url, receiver, tmp_path):
    environment = {"CONNECT_AT_IMPORT": "1"}
    with gunicorn(tmp_path, url("psycopg2"), receiver, "--workers=1", **environment) as running:
        path, _, master = running
        assert ask(path, 1) == 200
        receiver.wait_for(lambda reports: total(workers(reports, master), "inherited") == 1)


def workers(reports, master):
    """All but the master, which connected while it loaded the application."""
    return [report for report in reports if report["pid"] != master]


def all_gone(reports, master, pids):
    newest = instances(workers(reports, master)).values()
    gone = [report for report in newest if report["bye"] and report["pid"] in pids]
    return gone if {report["pid"] for report in gone} == pids else None


def figure(reports, key):
    return sum(report["pools"][0][key] for report in reports)
