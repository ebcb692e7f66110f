"""The frameworks and tools that people use SQLAlchemy with, against truth."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from conftest import VERSION
from receiver import endpoints, findings, instances, total
from serving import ask, ask_all, program, python_path, serving, watched
from sqlalchemy import create_engine, text

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(VERSION < (2, 0), reason="once is enough"),
]
REQUESTS = 60


def agree(receiver, true, more=0):
    """Beyond what the truth has: as many checkouts, with one statement each."""
    receiver.wait_for(lambda reports: total(reports, "hold") >= true["checkouts"] + more)
    figures = [total(receiver.reports, key) for key in ("hold", "query", "commit", "query_errors")]
    assert figures == [
        true["checkouts"] + more,
        true["queries"] + more,
        true["commits"],
        true["errors"],
    ]


def found_once(receiver, count, file):
    (found,) = receiver.wait_for(lambda reports: findings(reports, "n_plus_one"))
    assert (found["count"], found["seen"]) == (count, 1)
    assert file in found["where"]
    assert total(receiver.reports, "n_plus_one") == 1


def test_flask_is_counted_exactly_and_its_requests_are_judged_as_one(url, receiver, tmp_path):
    pytest.importorskip("flask")
    path = f"{receiver.folder}/http.sock"
    command = [sys.executable, "-m", "gunicorn", "--bind", f"unix:{path}", "--workers=2"]
    command += ["--worker-class=gthread", "--threads=3", "flask_site:app"]
    with serving(command, tmp_path, watched(url("psycopg"), receiver), path) as (truth, _):
        assert ask_all(path, REQUESTS, at_once=6) == [200] * REQUESTS
        assert ask(path, "names") == 200
        true = truth.read()
    agree(receiver, true, more=21)
    found_once(receiver, 20, "preloaded.py:")
    assert endpoints(receiver.reports) == {"GET /<int:number>": REQUESTS, "GET /names": 21}


def test_fastapi_with_sqlmodel_is_counted_exactly_and_its_requests_are_judged_as_one(
    url, receiver, tmp_path
):
    pytest.importorskip("fastapi")
    pytest.importorskip("sqlmodel")
    plain = create_engine(url("psycopg"))
    with plain.begin() as connection:
        connection.execute(text("create table reader (id serial primary key, name text)"))
        connection.execute(text("insert into reader (name) select generate_series(1, 15)"))
    path = f"{receiver.folder}/http.sock"
    command = [program("uvicorn"), "--uds", path, "--workers=2", "fastapi_site:app"]
    try:
        with serving(command, tmp_path, watched(url("psycopg"), receiver), path) as (truth, _):
            assert ask_all(path, REQUESTS, at_once=4) == [200] * REQUESTS
            assert ask(path, "names") == 200
            true = truth.read()
        agree(receiver, true, more=16)
        found_once(receiver, 15, "fastapi_site.py:")
        assert endpoints(receiver.reports) == {"GET /{number}": REQUESTS, "GET /names": 16}
        ends = [one["bye"] for one in instances(receiver.reports).values() if one["pools"]]
        assert all(ends)
    finally:
        with plain.begin() as connection:
            connection.execute(text("drop table reader"))
        plain.dispose()


ENVIRONMENT = """
import os
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
MIGRATION = """
from alembic import op

revision, down_revision = "1", None


def upgrade():
    op.execute("create temporary table migrated (id int)")
    op.execute("insert into migrated values (1)")
"""


def test_alembic_with_the_url_of_the_application_is_counted(url, receiver, tmp_path):
    pytest.importorskip("alembic")
    (tmp_path / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / "migrations" / "env.py").write_text(ENVIRONMENT)
    (tmp_path / "migrations" / "versions" / "1.py").write_text(MIGRATION)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    environment = {**os.environ, "DATABASE_URL": watched(url("psycopg2"), receiver)}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    (last,) = receiver.wait_for(lambda reports: [one for one in reports if one["bye"]])
    assert last["pools"][0]["size"] == 0
    assert [total([last], key) for key in ("hold", "commit", "query_errors")] == [1, 1, 0]
    assert total([last], "query") >= 4
    plain = create_engine(url("psycopg2"))
    with plain.begin() as connection:
        connection.execute(text("drop table alembic_version"))
    plain.dispose()


SUITE = """
import os
import pytest
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DATABASE_URL"])


@pytest.mark.parametrize("number", range(40))
def test_a_query(number):
    with engine.begin() as connection:
        assert connection.execute(text("select 1")).scalar() == 1
"""


def test_the_workers_of_xdist_are_counted_exactly(url, receiver, tmp_path):
    pytest.importorskip("xdist")
    (tmp_path / "test_suite.py").write_text(SUITE)
    environment = {**os.environ, "DATABASE_URL": watched(url("psycopg2"), receiver)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "3", "test_suite.py"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    receiver.wait_for(lambda reports: total(reports, "hold") >= 40)
    figures = [total(receiver.reports, key) for key in ("hold", "query", "commit")]
    assert figures == [40, 40, 40]


WORK = """
import multiprocessing, os
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DATABASE_URL"])

def work(number):
    with engine.begin() as connection:
        connection.execute(text("select 1"))

if __name__ == "__main__":
    with multiprocessing.get_context(os.environ["METHOD"]).Pool(3) as pool:
        pool.map(work, range(60), chunksize=5)
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_processes_is_counted_exactly(url, receiver, tmp_path, method):
    (tmp_path / "work.py").write_text(textwrap.dedent(WORK))
    environment = {
        **os.environ,
        "DATABASE_URL": watched(url("psycopg2"), receiver),
        "METHOD": method,
        "PYTHONPATH": python_path(),
        "POOLWATCH_PERIOD": "5",
    }
    subprocess.run([sys.executable, "work.py"], env=environment, cwd=tmp_path, check=True)
    receiver.wait_for(lambda reports: total(reports, "hold") >= 60)
    figures = [total(receiver.reports, key) for key in ("hold", "query", "commit", "inherited")]
    assert figures == [60, 60, 60, 0]
