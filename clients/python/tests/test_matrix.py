"""Every worker of every server, with each pool and driver, against the truth that the workers keep.

`POOLWATCH_MATRIX=all ./run-tests tests/test_matrix.py` runs all of it, else a few.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from itertools import product

import pytest
from conftest import VERSION
from receiver import PATIENCE, instances, total
from serving import ask_all, program, serving, wait_until_idle, watched

REQUESTS = 120


def gunicorn(*options):
    return lambda path: [
        sys.executable, "-m", "gunicorn", "--bind", f"unix:{path}", "--workers=3", *options,
        "preloaded:application",
    ]  # fmt: skip


def uwsgi(*options):
    return lambda path: [
        program("uwsgi"), "--master", "--processes=3", "--http-socket", path, "--need-app",
        "--die-on-term", "--module=preloaded", f"--stats={path}.stats", *options,
    ]  # fmt: skip


def uvicorn(path):
    return [program("uvicorn"), "--uds", path, "--workers=3", "asynchronous:application"]


def hypercorn(path):
    return [program("hypercorn"), "--bind", f"unix:{path}", "-w", "3", "asynchronous:application"]


def granian(path):
    return [program("granian"), "--uds", path, "--workers=3", "--interface=asgi",
            "asynchronous:application"]  # fmt: skip


SYNC_SERVERS = {
    "gunicorn": gunicorn(),
    "gunicorn-preload": gunicorn("--preload"),
    "gunicorn-gthread": gunicorn("--worker-class=gthread", "--threads=4"),
    "gunicorn-gevent": gunicorn("--worker-class=gevent"),
    "gunicorn-eventlet": gunicorn("--worker-class=eventlet"),
    "gunicorn-max-requests": gunicorn("--max-requests=25"),
    "uwsgi": uwsgi(),
    "uwsgi-threads": uwsgi("--enable-threads", "--threads=2"),
}
ASYNC_SERVERS = {"uvicorn": uvicorn, "hypercorn": hypercorn, "granian": granian}
MODULES = {"gunicorn-gevent": "gevent", "gunicorn-eventlet": "eventlet", "uwsgi": "pyuwsgi",
           "uwsgi-threads": "pyuwsgi"}  # fmt: skip
SYNC_DRIVERS = ("psycopg2", "pg8000") if VERSION < (2, 0) else ("psycopg2", "psycopg", "pg8000")
ASYNC_DRIVERS = ("asyncpg",) if VERSION < (2, 0) else ("asyncpg", "psycopg")
ALL = os.environ.get("POOLWATCH_MATRIX") == "all"


FEW = [
    ("gunicorn-gthread", "QueuePool", "psycopg"),
    ("uwsgi-threads", "NullPool", "pg8000"),
    ("uvicorn", "QueuePool", "asyncpg"),
    ("hypercorn", "NullPool", "psycopg"),
    ("granian", "QueuePool", "psycopg"),
]


def matrix():
    every = [
        *product(SYNC_SERVERS, ("QueuePool", "NullPool"), SYNC_DRIVERS),
        *product(ASYNC_SERVERS, ("QueuePool", "NullPool"), ASYNC_DRIVERS),
    ]
    return every if ALL else [each for each in FEW if each in every]


@pytest.mark.servers
@pytest.mark.parametrize(("server", "pool", "driver"), matrix())
def test_every_worker_is_counted_exactly(url, receiver, tmp_path, server, pool, driver):
    module = MODULES.get(server, server.split("-")[0])
    for needed in (module, driver):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    path = f"{receiver.folder}/http.sock"
    command = {**SYNC_SERVERS, **ASYNC_SERVERS}[server](path)
    address = watched(address_for(url, driver), receiver)
    with serving(command, tmp_path, address, path, POOL=pool) as (truth, _):
        if server == "granian":
            wait_until_all_have_begun(tmp_path / "log")
        assert ask_all(path, REQUESTS, at_once=6) == [200] * REQUESTS
        if server.startswith("uwsgi"):
            wait_until_idle(f"{path}.stats")
        true = truth.read()
    receiver.wait_for(lambda reports: total(reports, "hold") >= REQUESTS)
    figures = {key: total(receiver.reports, key) for key in EXPECTED}
    assert figures == {key: true[its] for key, its in EXPECTED.items()}
    assert total(receiver.reports, "inherited", "timeouts", "acquire_errors") == 0
    pids = [report["pid"] for report in instances(receiver.reports).values() if report["pools"]]
    assert truth.workers() <= set(pids)


def wait_until_all_have_begun(log, workers=3):
    """Granian listens before its workers have begun. One that gets SIGTERM too early loses it and
    never ends, with this client or without, and granian waits for it for ever.
    """
    deadline = time.monotonic() + PATIENCE
    while log.read_text().count("Started worker-") < workers:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


EXPECTED = {
    "acquire": "checkouts",
    "hold": "checkouts",
    "query": "queries",
    "commit": "commits",
    "query_errors": "errors",
}


def address_for(url, driver):
    if driver == "pg8000":
        folder = url("psycopg2").partition("host=")[2]
        return f"postgresql+pg8000://postgres@/postgres?unix_sock={folder}/.s.PGSQL.5432"
    return url(driver)
