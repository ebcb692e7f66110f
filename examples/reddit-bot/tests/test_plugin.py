"""With `?plugin=poolwatch` in DATABASE_URL every worker reports, without a change of code."""

import importlib.util
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Served

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("poolwatch") is None, reason="the client is not installed"
)


class Listener:
    """In the place of poolwatch: takes the workers' reports."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(5)

    def reports(self, seconds: float) -> Iterator[dict[str, Any]]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield json.loads(self._socket.recv(1 << 20))


@pytest.fixture(scope="module")
def reporting(schema: None) -> Iterator[tuple[Served, Listener]]:
    with tempfile.TemporaryDirectory(prefix="rb-", dir="/tmp") as folder:
        path = f"{folder}/poolwatch.sock"
        listener = Listener(path)
        address = os.environ["DATABASE_URL"] + "&plugin=poolwatch&poolwatch_pool=web"
        reporting = {"POOLWATCH_SOCKET": path, "POOLWATCH_PERIOD": "0.2"}
        served = Served(address, Path(folder), **reporting)
        try:
            served.wait_until_up()
            yield served, listener
        finally:
            served.stop()


def newest_of(
    listener: Listener, pids: set[int], seconds: float = 0.8
) -> dict[int, dict[str, Any]]:
    newest = {report["pid"]: report for report in listener.reports(seconds)}
    return {pid: report["pools"][0] for pid, report in newest.items() if pid in pids}


def test_every_worker_reports_its_own_pool(reporting: tuple[Served, Listener]) -> None:
    served, listener = reporting
    workers = served.workers()
    # A worker is silent until it has used its pool.
    for count, worker in enumerate(workers, start=1):
        worker.ask("POST", f"/troubles/leak?count={count}")
    pools = newest_of(listener, {worker.pid for worker in workers})
    assert [pools[worker.pid]["checked_out"] for worker in workers] == [1, 2, 3, 4]
    assert {(pool["name"], pool["size"], pool["max_overflow"]) for pool in pools.values()} == {
        ("web", 5, 15)
    }
    served.put_right()


@pytest.mark.parametrize(
    ("path", "n_plus_one", "unpaginated"),
    [
        ("/api/{name}", 0, 0),
        ("/api/{name}?loading=lazy", 1, 0),
        ("/api/{name}?paginated=no", 0, 1),
        ("/api/{name}/count", 0, 0),
        ("/api/{name}/count?counting=python", 0, 1),
    ],
)
def test_each_list_is_judged_right(
    reporting: tuple[Served, Listener], path: str, n_plus_one: int, unpaginated: int
) -> None:
    served, listener = reporting
    worker = served.workers()[0]
    worker.ask("GET", "/api/posts/of-subreddit")
    before = newest_of(listener, {worker.pid})[worker.pid]
    for name in ("posts", "users", "configs"):
        worker.ask("GET", path.format(name=name))
    after = newest_of(listener, {worker.pid})[worker.pid]
    assert after["n_plus_one"] - before["n_plus_one"] == 3 * n_plus_one
    assert after["unpaginated"] - before["unpaginated"] == 3 * unpaginated
