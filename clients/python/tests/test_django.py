"""Django with one line of settings: without a pool as most run it, and with one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from receiver import count, endpoints, findings, instances, newest, total
from serving import ask_all, program, python_path, serving

pytest.importorskip("django", minversion="5.1")
REQUESTS = 120


def environment(postgres, receiver, folder, **more):
    return {
        "DATABASE_HOST": postgres,
        "TRUTH": str(folder / "truth"),
        "POOLWATCH_SOCKET": receiver.path,
        "POOLWATCH_POOL": "web",
        "PYTHONPATH": python_path(),
        **more,
    }


@pytest.fixture
def run(postgres, receiver, tmp_path):
    """Runs a program in the site until it has said what it found."""

    def run_it(code, **more):
        its = environment(postgres, receiver, tmp_path, POOLWATCH_PERIOD="0.05", **more)
        text = "from django_site import *\nfrom django.test import RequestFactory\n"
        command = [sys.executable, "-c", text + textwrap.dedent(code)]
        subprocess.run(command, env={**os.environ, **its}, check=True, cwd=tmp_path)
        return receiver.wait_for(lambda reports: reports[-1]["bye"] and newest(reports, "web"))

    return run_it


TABLES = "make_tables()\nconnection.close()\n"
DROP = "\nwith connection.cursor() as c: c.execute('drop table blog_post, blog_author')\n"


def in_site(code):
    return TABLES + textwrap.dedent(code) + DROP


SERVERS = {
    "threads": lambda path: [
        sys.executable, "-m", "gunicorn", "--bind", f"unix:{path}", "--workers=2",
        "--worker-class=gthread", "--threads=4", "django_site:application",
    ],
    "asgi": lambda path: [
        program("uvicorn"), "--uds", path, "--workers=2", "django_site:asgi_application",
    ],
}  # fmt: skip
KINDS = [{}, {"CONN_MAX_AGE": "60"}, {"POOLED": "1"}]


@pytest.mark.servers
@pytest.mark.parametrize("kind", KINDS, ids=["as-it-comes", "max-age", "pooled"])
@pytest.mark.parametrize("server", SERVERS)
def test_every_worker_is_counted_exactly(postgres, receiver, tmp_path, server, kind):
    path = f"{receiver.folder}/http.sock"
    its = environment(postgres, receiver, tmp_path, **kind)
    with serving(SERVERS[server](path), tmp_path, "", path, **its) as (truth, _):
        assert ask_all(path, REQUESTS, at_once=6) == [200] * REQUESTS
        true = truth.read()
        receiver.wait_for(lambda reports: total(reports, "hold") >= REQUESTS)
        receiver.pool(checked_out=0)
    reports = receiver.wait_for(lambda all_of_it: all_have_ended(all_of_it) and all_of_it)
    figures = [total(reports, key) for key in ("hold", "query", "commit", "query_errors")]
    assert figures == [true[key] for key in ("checkouts", "queries", "commits", "errors")]
    assert total(reports, "acquire") == total(reports, "hold")
    assert endpoints(reports) == {"GET /<int:number>": REQUESTS}
    assert total(reports, "inherited", "timeouts", "acquire_errors", "collected") == 0
    pids = {report["pid"] for report in instances(reports).values() if report["pools"]}
    assert truth.workers() <= pids


def all_have_ended(reports):
    busy = [one for one in instances(reports).values() if one["pools"]]
    return busy and all(one["bye"] for one in busy)


@pytest.mark.parametrize("kind", KINDS, ids=["as-it-comes", "max-age", "pooled"])
def test_an_n_plus_one_over_a_foreign_key_is_found(run, receiver, kind):
    pool = run(in_site("application.get_response(RequestFactory().get('/names'))"), **kind)
    assert pool["n_plus_one"] == 1
    (found,) = findings(receiver.reports, "n_plus_one")
    assert found["count"] == 20
    assert "django_site.py:" in found["where"]
    assert 'FROM "blog_author"' in found["sql"]


def test_a_select_related_is_no_n_plus_one(run, receiver):
    pool = run(
        in_site(
            """
            for _ in range(30):
                list(Post.objects.select_related("author"))
                Author.objects.count()
            """,
        )
    )
    assert pool["n_plus_one"] == 0


def test_a_connection_rests_between_the_statements_of_a_command(run, receiver):
    """Of one that runs for hours it would be a leak that is none."""
    pool = run(
        """
        with connection.cursor() as cursor:
            for _ in range(5):
                cursor.execute("select 1")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("select 1")
            cursor.execute("select 1")
        import time
        from poolwatch.reporter import _reporters
        for each in _reporters.values():
            assert each.report()
        """
    )
    before = next(one for one in reversed(receiver.reports) if not one["bye"])["pools"][0]
    assert (before["checked_in"], before["checked_out"], before["oldest"]) == (1, 0, 0)
    assert (before["size"], before["max_overflow"]) == (0, None)
    assert [count(pool[key]) for key in ("hold", "query", "commit", "opened")] == [6, 7, 1, 1]


def test_a_connection_is_in_use_for_all_of_a_request(run, receiver):
    pool = run(
        """
        import poolwatch
        from poolwatch.reporter import _reporters
        with poolwatch.request(), connection.cursor() as cursor:
            cursor.execute("select 1")
            cursor.execute("select 1")
            for each in _reporters.values():
                assert each.report()
        """
    )
    during = [one["pools"][0]["checked_out"] for one in receiver.reports if not one["bye"]]
    assert during[-1] == 1
    assert [count(pool[key]) for key in ("hold", "query")] == [1, 2]


def test_a_server_that_cannot_be_reached_is_an_error_of_acquiring(run):
    pool = run(
        """
        from django.db import OperationalError
        connection.settings_dict["HOST"] = "/absent"
        try:
            connection.cursor()
        except OperationalError:
            pass
        """
    )
    assert (pool["acquire_errors"], pool["opened"], pool["checked_out"]) == (1, 0, 0)


def test_a_connection_of_a_thread_that_ended_is_collected(run):
    pool = run(
        """
        import gc, threading, warnings
        warnings.simplefilter("ignore")
        def work():
            transaction.atomic().__enter__()
            connection.cursor().execute("select 1")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        del thread
        gc.collect()
        """
    )
    assert (pool["collected"], count(pool["hold"]), pool["checked_out"]) == (1, 1, 0)


def test_a_broken_connection_is_invalidated(run):
    pool = run(
        """
        from django.db import OperationalError, close_old_connections
        with connection.cursor() as cursor:
            cursor.execute("select pg_backend_pid()")
            (pid,) = cursor.fetchone()
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(%s, 10000)", [pid])
        other.close()
        try:
            connection.cursor().execute("select 1")
        except OperationalError:
            pass
        close_old_connections()
        connection.cursor().execute("select 1")
        """,
        CONN_MAX_AGE="60",
    )
    assert (pool["invalidated"], pool["opened"], pool["query_errors"]) == (1, 2, 1)


def test_the_middleware_is_first_and_only_once(run):
    run(
        """
        assert settings.MIDDLEWARE == ["poolwatch.django.middleware.mark_requests"]
        connection.cursor().execute("select 1")
        """
    )
