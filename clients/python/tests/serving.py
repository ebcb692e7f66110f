"""Real application servers over `preloaded.py`, with the truth kept beside them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from receiver import PATIENCE
from truth import Truth

HERE = Path(__file__).parent


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)


def ask(path, number):
    connection = UnixConnection(path)
    try:
        connection.request("GET", f"/{number}")
        return connection.getresponse().status
    finally:
        connection.close()


def ask_all(path, requests, at_once=16):
    with ThreadPoolExecutor(at_once) as clients:
        return list(clients.map(lambda number: ask(path, number), range(requests)))


def watched(url, receiver):
    return f"{url}&plugin=poolwatch&poolwatch_pool=web&poolwatch_socket={receiver.path}"


def python_path():
    return os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])


def program(name):
    """The command of an installed program, by this interpreter's environment."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def serving(command, folder, url, path, **environment):
    """Ends with SIGTERM, and by then has said all there was to say."""
    truth = Truth(str(folder / "truth"))
    own = {"DATABASE_URL": url, "TRUTH": truth.path, "PYTHONPATH": python_path()}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            command,
            env={**os.environ, **own, **environment},
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    try:
        wait_until_it_answers(path, server, folder / "log")
        yield truth, server.pid
    finally:
        end(server)


def wait_until_idle(stats):
    """Until every worker of uWSGI has loaded the application, and none is busy.

    One that is told to end while it loads goes on, and the master waits for it for a minute. One
    that is busy ends without any hook of Python's, and it is so for a moment after its answer.
    """
    deadline = time.monotonic() + PATIENCE
    while any(not is_idle(worker) for worker in statistics(stats)["workers"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_idle(worker):
    return worker["accepting"] and worker["apps"] and worker["status"] != "busy"


def statistics(stats):
    """What uWSGI says to whoever connects to its `--stats`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.connect(stats)
        return json.loads(b"".join(iter(lambda: asking.recv(1 << 16), b"")))


def end(server):
    """Fails if the server does not end by itself, and leaves none of its processes behind."""
    server.terminate()
    try:
        server.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        raise


def wait_until_it_answers(path, server, log):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.connect(path)
            return
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
