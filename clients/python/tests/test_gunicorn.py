"""Workers forked from a preloaded application, against the truth they keep in shared memory."""

from __future__ import annotations

import sys
from contextlib import contextmanager

from receiver import instances, total
from serving import ask, ask_all, serving, watched

CONFIG = """
def post_fork(server, worker):
    import preloaded
    preloaded.engine.dispose(close=False)
"""


@contextmanager
def gunicorn(folder, url, receiver, *options, **environment):
    path = f"{receiver.folder}/http.sock"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--bind", f"unix:{path}", *options]
    command.append("preloaded:application")
    with serving(command, folder, watched(url, receiver), path, **environment) as (truth, master):
        yield path, truth, master


def test_four_preloaded_workers_count_exactly(url, receiver, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(CONFIG)
    options = ("--workers=4", "--worker-class=gthread", "--threads=4", f"--config={config}")
    environment = {"CONNECT_AT_IMPORT": "1"}
    with gunicorn(tmp_path, url("psycopg2"), receiver, *options, **environment) as running:
        path, truth, master = running
        assert ask_all(path, 600) == [200] * 600
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
