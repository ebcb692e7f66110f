"""`poolwatch-run`: with no change of code, and none of a URL that psql gets too."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from receiver import count, newest, total
from serving import ask_all, program, python_path, serving, wait_until_idle

RUN = [sys.executable, "-m", "poolwatch.run"]
PROGRAM = """
import os
from sqlalchemy import create_engine, text
engine = create_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    connection.execute(text("select 1"))
"""


@pytest.fixture
def run(url, receiver, tmp_path):
    def run_it(code, *options, **environment):
        (tmp_path / "program.py").write_text(textwrap.dedent(code))
        its = {**os.environ, "DATABASE_URL": url("psycopg2"), **environment}
        command = [*RUN, "--socket", receiver.path, *options, sys.executable, "program.py"]
        done = subprocess.run(
            command, env=its, cwd=tmp_path, check=True, capture_output=True, text=True
        )
        assert done.stderr == ""
        return receiver.wait_for(lambda reports: reports and reports[-1]["bye"] and reports[-1])

    return run_it


def test_an_engine_is_watched_with_no_change(run):
    report = run(PROGRAM, "--pool", "web", "--app", "shop")
    assert report["app"] == "shop"
    assert [pool["name"] for pool in report["pools"]] == ["web"]
    assert count(report["pools"][0]["query"]) == count(report["pools"][0]["hold"]) == 1


def test_what_the_application_says_goes_before(run):
    report = run(
        PROGRAM.replace("text\n", "text\nimport poolwatch\n", 1).replace(
            "with engine", "poolwatch.watch(engine, pool='own', app='its')\nwith engine"
        )
    )
    assert (report["app"], [pool["name"] for pool in report["pools"]]) == ("its", ["own"])
    assert count(report["pools"][0]["query"]) == count(report["pools"][0]["hold"]) == 1


def test_the_plugin_in_a_url_goes_before(run, url):
    plugged = url("psycopg2") + "&plugin=poolwatch&poolwatch_pool=plugged"
    report = run(PROGRAM, DATABASE_URL=plugged)
    assert [pool["name"] for pool in report["pools"]] == ["plugged"]
    assert count(report["pools"][0]["query"]) == 1


def test_an_engine_that_is_unwatched_stays_so(run, url):
    code = """
        import os, poolwatch
        from sqlalchemy import create_engine, text
        for name in ("one", "two"):
            engine = create_engine(os.environ["DATABASE_URL"])
            if name == "one":
                poolwatch.unwatch(engine)
            engine.connect().close()
    """
    report = run(code, "--pool", "web")
    assert count(report["pools"][0]["hold"]) == 1


def test_an_async_engine_is_watched(run, url):
    code = """
        import asyncio, os
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import create_async_engine
        async def use():
            engine = create_async_engine(os.environ["DATABASE_URL"])
            async with engine.connect() as connection:
                await connection.execute(text("select 1"))
            await engine.dispose()
        asyncio.run(use())
    """
    report = run(code, DATABASE_URL=url("asyncpg"))
    assert count(report["pools"][0]["query"]) == 1


def test_sqlalchemy_is_not_loaded_where_it_is_not_used_and_keeps_its_loader(run):
    code = PROGRAM.replace("import os", "import os, sys; assert 'sqlalchemy' not in sys.modules", 1)
    code += """
import inspect, sqlalchemy.engine.base
assert "class Engine" in inspect.getsource(sqlalchemy.engine.base)
assert sqlalchemy.engine.base.__loader__.__class__.__name__ == "SourceFileLoader"
"""
    assert count(run(code)["pools"][0]["query"]) == 1


def test_a_sitecustomize_that_it_hides_runs_too(run, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import os\nos.environ['CUSTOM'] = 'yes'\n")
    code = PROGRAM + "assert os.environ['CUSTOM'] == 'yes'\n"
    path = os.pathsep.join([str(tmp_path / "site"), python_path()])
    assert count(run(code, PYTHONPATH=path)["pools"][0]["query"]) == 1


def test_a_command_that_is_not_there_is_said_so():
    done = subprocess.run([*RUN, "/absent/command"], capture_output=True, text=True, check=False)
    assert (done.returncode, "No such file" in done.stderr) == (127, True)


def test_another_program_gets_its_arguments_and_status():
    command = [*RUN, "sh", "-c", 'echo "$0 $1 $POOLWATCH_POOL"; exit 3', "--pool", "a b"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "--pool a b \n")


@pytest.mark.servers
@pytest.mark.parametrize("server", ["gunicorn", "uwsgi"])
def test_the_workers_of_a_server_are_counted_exactly(url, receiver, tmp_path, server):
    path = f"{receiver.folder}/http.sock"
    command = {
        "gunicorn": [sys.executable, "-m", "gunicorn", "--bind", f"unix:{path}", "--workers=2",
                     "preloaded:application"],
        "uwsgi": [program("uwsgi"), "--master", "--processes=2", "--http-socket", path,
                  "--need-app", "--die-on-term", f"--stats={path}.stats", "--module=preloaded"],
    }[server]  # fmt: skip
    command = [*RUN, "--pool=web", "--socket", receiver.path, *command]
    with serving(command, tmp_path, url("psycopg2"), path) as (truth, _):
        assert ask_all(path, 60, at_once=4) == [200] * 60
        if server == "uwsgi":
            wait_until_idle(f"{path}.stats")
        true = truth.read()
    receiver.wait_for(lambda reports: total(reports, "hold") >= 60)
    figures = [total(receiver.reports, key) for key in ("hold", "query", "commit", "query_errors")]
    assert figures == [true[key] for key in ("checkouts", "queries", "commits", "errors")]
    assert newest(receiver.reports, "web")["inherited"] == 0
