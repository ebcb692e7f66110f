"""uWSGI forks in C, past Python's own hooks."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from receiver import instances, total
from serving import ask_all, program, serving, wait_until_idle, watched

pytest.importorskip("pyuwsgi")
pytestmark = pytest.mark.servers


@contextmanager
def uwsgi(folder, url, receiver, *options, **environment):
    path = f"{receiver.folder}/http.sock"
    command = [program("uwsgi"), "--master", "--processes=3", "--http-socket", path]
    command += ["--module=preloaded", "--need-app", "--die-on-term", *options]
    command += [f"--stats={path}.stats"]
    with serving(command, folder, watched(url, receiver), path, **environment) as (truth, master):
        yield path, truth, master


def busy(reports):
    return [one for one in instances(reports).values() if total([one], "hold")]


FORKING = [((), False), ((), True), (("--enable-threads",), True), (("--lazy-apps",), False)]


@pytest.mark.parametrize(("options", "used_before_the_fork"), FORKING)
def test_every_worker_is_seen_and_counts_exactly(
    url, receiver, tmp_path, options, used_before_the_fork
):
    environment = {"DISPOSE_AFTER_FORK": "1"}
    if used_before_the_fork:
        environment["CONNECT_AT_IMPORT"] = "1"
    with uwsgi(tmp_path, url("psycopg2"), receiver, *options, **environment) as running:
        path, truth, _ = running
        before = int(used_before_the_fork)
        asked = ask_until_shared(path, truth)
        wait_until_idle(f"{path}.stats")
        true = truth.read()
    assert true["checkouts"] == asked
    receiver.wait_for(lambda reports: total(reports, "hold") == asked + before)
    assert total(receiver.reports, "query") == true["queries"]
    assert total(receiver.reports, "commit") == true["commits"]
    assert total(receiver.reports, "query_errors") == true["errors"]
    pids = [report["pid"] for report in busy(receiver.reports)]
    assert len(pids) == len(set(pids))
    assert truth.workers() <= set(pids)


def ask_until_shared(path, truth, at_least=300):
    """The number of requests after which two workers or more have answered some.

    A worker that loads the application late may leave many to the first.
    """
    asked = 0
    while asked < at_least or len(truth.workers()) < 2:
        assert ask_all(path, 100) == [200] * 100
        asked += 100
        assert asked < 100 * at_least
    return asked
