"""Who holds the connections: by template and source line, in real frameworks."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref

import pytest
from conftest import VERSION
from receiver import count, findings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import poolwatch
from poolwatch.current_holds import LONG
from poolwatch.endpoints import MOST_NAMED
from poolwatch.reporter import LONGEST_DATAGRAM
from poolwatch.source_line import calling, line_of

ROUTES = 20


def query(engine):
    with engine.connect() as connection:
        connection.execute(text("select 1"))


def by_name(pool):
    return {one["name"]: one for one in pool.get("endpoints", [])}


def line_of_text(text_in_it):
    """`file:line` of this file, as the client writes it."""
    with open(__file__, encoding="utf-8") as source:
        for number, line in enumerate(source, start=1):
            if text_in_it in line and "line_of_text" not in line:
                return f"test_holders.py:{number}"
    raise AssertionError(text_in_it)


def one_hold(**expected):
    def as_expected(holds):
        return bool(holds) and all(holds[0].get(key) == value for key, value in expected.items())

    return as_expected


def get(app, path, method="GET"):
    """One request to a WSGI application, its whole answer."""
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80",
        "wsgi.url_scheme": "http", "wsgi.input": None, "wsgi.errors": None, "QUERY_STRING": "",
    }  # fmt: skip
    answer = app(environ, lambda *_: None)
    try:
        return b"".join(answer)
    finally:
        if hasattr(answer, "close"):
            answer.close()


async def get_async(app, path):
    sent, received = [], []
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "headers": [],
        "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
        "server": ("x", 80), "client": ("x", 1), "asgi": {"version": "3.0"}, "extensions": {},
    }  # fmt: skip

    async def receive():
        if received:
            await asyncio.Event().wait()
        received.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent


def test_where_nothing_is_marked_no_endpoint_is_reported(engine, receiver):
    query(engine)
    assert by_name(receiver.pool(hold=lambda figure: count(figure) == 1)) == {}


def test_a_long_hold_has_its_line_its_last_statement_and_whether_one_runs(engine, receiver):
    with engine.connect() as connection:  # a long hold
        connection.execute(text("select 'secret', 1 as number"))
        idle = receiver.pool(holds=one_hold(active=False))["holds"][0]
        assert idle["where"].endswith(line_of_text("# a long hold"))
        assert (idle["sql"], idle.get("endpoint")) == ("SELECT ?, ? as number".lower(), None) or (
            idle["sql"] == "select ?, ? as number"
        )
        assert idle["age"] >= LONG
        running = threading.Thread(target=connection.execute, args=(text("select pg_sleep(2)"),))
        running.start()
        active = receiver.pool(holds=one_hold(active=True))["holds"][0]
        assert active["sql"] == "select pg_sleep(?)"
        running.join()
        receiver.pool(holds=one_hold(active=False))
    assert "holds" not in receiver.settled()


def test_a_statement_that_failed_runs_no_longer(engine, receiver):
    with engine.connect() as connection:
        with pytest.raises(Exception, match="division"):
            connection.execute(text("select 1 / 0"))
        receiver.pool(holds=one_hold(active=False))


def test_the_line_is_that_of_the_session(engine, receiver):
    with Session(engine) as session:
        for _ in range(2):
            session.execute(text("select 1"))  # the session's
            session.commit()
        session.execute(text("select 1"))  # the last of the session
        hold = receiver.pool(holds=bool)["holds"][0]
    assert hold["where"].endswith(line_of_text("# the last of the session"))


def test_a_hold_keeps_nothing_of_the_application_alive(engine, receiver):
    class Precious:
        pass

    def take():
        precious = Precious()
        return weakref.ref(precious), engine.connect()

    reference, connection = take()
    gc.collect()
    assert reference() is None
    connection.close()


def test_what_the_collector_returned_is_found_with_its_line(engine, receiver):
    with poolwatch.endpoint("GET /forgetful"):
        engine.connect()  # forgotten
    gc.collect()
    (found,) = receiver.wait_for(lambda reports: findings(reports, "collected"))
    assert found["where"].endswith(line_of_text("# forgotten"))
    assert found["sql"] == "a connection of GET /forgetful"


def test_an_endpoint_may_be_named_by_the_application(engine, receiver):
    with poolwatch.endpoint("nightly report"), engine.connect():
        assert by_name(receiver.pool(endpoints=bool))["nightly report"]["out"] == 1
    with poolwatch.request("import"):
        query(engine)
        poolwatch.endpoint("import of users")
        query(engine)
    query(engine)
    pool = receiver.pool(hold=lambda figure: count(figure) == 4)
    expected = {"nightly report": 1, "import": 1, "import of users": 1, "other": 1}
    assert {name: one["checkouts"] for name, one in by_name(pool).items()} == expected


def test_the_sum_of_many_endpoints_is_exact_and_the_greatest_gets_an_entry(plain, receiver):
    engine = plain(pool_size=5)
    for _ in range(2):
        for number in range(3 * ROUTES):
            with poolwatch.endpoint(f"GET /{number}"):
                query(engine)
    with poolwatch.endpoint(f"GET /{3 * ROUTES - 1}"), engine.connect():
        pool = receiver.pool(
            endpoints=lambda found: any(one["name"] == "GET /59" and one["out"] for one in found)
        )
    pool = receiver.settled()
    assert len(pool["endpoints"]) == MOST_NAMED + 1
    last = {}
    for report in receiver.reports:
        last.update(by_name(report["pools"][0]))
    whole = 2 * 3 * ROUTES + 1
    assert sum(one["checkouts"] for one in last.values()) == whole
    assert sum(count(one["hold"]) for one in last.values()) == count(pool["hold"]) == whole
    held = sum(one["held"] for one in last.values())
    assert held == pytest.approx(pool["hold"]["sum"], abs=0.1)
    for earlier, later in zip(receiver.reports, receiver.reports[1:]):
        before, after = (by_name(one["pools"][0]) for one in (earlier, later))
        for name in before.keys() & after.keys():
            assert before[name]["checkouts"] <= after[name]["checkouts"], name
            assert before[name]["held"] <= after[name]["held"], name


def test_a_report_of_many_pools_with_many_endpoints_is_not_too_long(url, receiver):
    from sqlalchemy import create_engine  # noqa: PLC0415

    engines = []
    for number in range(15):
        made = create_engine(url("psycopg2"), pool_size=1)
        engines.append(poolwatch.watch(made, pool=f"pool {number}", socket=receiver.path, app="x"))
    for engine in engines:
        for number in range(30):
            with poolwatch.endpoint(f"GET /{number}/" + 90 * "é"), engine.connect():
                pass
    for engine in engines:
        with engine.connect() as connection:
            connection.execute(
                text("select " + 90 * "é" + " from (select 1) as x(" + 90 * "é" + ")")
            )
    receiver.wait_for(lambda reports: reports[-1]["seq"] > 3 and len(reports[-1]["pools"]) == 15)
    receiver.settled("pool 14")
    assert max(receiver.sizes) <= LONGEST_DATAGRAM
    for engine in engines:
        engine.dispose()


def test_flask_is_told_by_its_rules(engine, receiver):
    flask = pytest.importorskip("flask")
    app = flask.Flask("app")
    app.wsgi_app = poolwatch.WSGIMiddleware(app.wsgi_app)
    leaked = []

    def add(number):
        @app.get(f"/things{number}/<int:thing>", endpoint=str(number))
        def show(thing):
            if number == ROUTES - 1:
                leaked.append(engine.connect())  # the leak of one route
            else:
                query(engine)
            return "ok"

    for number in range(ROUTES):
        add(number)

    @app.get("/streamed")
    def streamed():
        def lines():
            with engine.connect() as connection:
                for row in connection.execute(text("select generate_series(1, 3)")):
                    yield str(row[0])

        return flask.Response(lines())

    for number in range(ROUTES - 1):
        assert get(app, f"/things{number}/7") == b"ok"
    assert get(app, "/streamed") == b"123"
    assert get(app, "/nowhere")
    get(app, f"/things{ROUTES - 1}/7")
    pool = receiver.pool(holds=bool)
    hold = pool["holds"][0]
    assert hold["endpoint"] == f"GET /things{ROUTES - 1}/<int:thing>"
    assert hold["where"].endswith(line_of_text("# the leak of one route"))
    expected = {f"GET /things{number}/<int:thing>": 1 for number in range(ROUTES - 1)}
    named = {name: one["checkouts"] for name, one in by_name(pool).items()}
    assert {name: named[name] for name in expected} == expected
    leaked.pop().close()


def test_fastapi_and_starlette_are_told_by_their_templates(url, async_driver, receiver):
    fastapi = pytest.importorskip("fastapi")
    if VERSION < (2, 0):
        pytest.skip("once is enough")
    engine = create_async_engine(url(async_driver), pool_size=3)
    poolwatch.watch(engine, pool="web", socket=receiver.path, app="test")
    app, admin = fastapi.FastAPI(), fastapi.FastAPI()
    app.add_middleware(poolwatch.ASGIMiddleware)
    leaked = []

    async def connection():
        async with engine.connect() as opened:
            yield opened

    @app.get("/posts/{post}/comments")
    async def comments(post: int, opened=fastapi.Depends(connection)):  # noqa: B008
        await opened.execute(text("select 1"))
        return post

    @app.get("/leak/{thing}")
    async def leak(thing: str):
        opened = await engine.connect()  # the leak of a coroutine
        leaked.append(opened)

    @app.get("/streamed/{thing}")
    async def streamed(thing: str):
        async def lines():
            async with engine.connect() as opened:
                yield str((await opened.execute(text("select 1"))).scalar())

        return fastapi.responses.StreamingResponse(lines())

    @admin.get("/users/{user}")
    async def user(user: str, opened=fastapi.Depends(connection)):  # noqa: B008
        await opened.execute(text("select 1"))

    app.mount("/admin", admin)

    async def run():
        for path in ("/posts/7/comments", "/posts/8/comments", "/streamed/a", "/admin/users/x"):
            assert (await get_async(app, path))[0]["status"] == 200
        await get_async(app, "/leak/a")
        pool = await asyncio.to_thread(receiver.pool, holds=bool)
        await leaked.pop().close()
        await engine.dispose()
        return pool

    pool = asyncio.run(run())
    named = {name: one["checkouts"] for name, one in by_name(pool).items()}
    assert named == {
        "GET /posts/{post}/comments": 2,
        "GET /streamed/{thing}": 1,
        "GET /admin/users/{user}": 1,
        "GET /leak/{thing}": 1,
    }
    hold = pool["holds"][0]
    assert hold["endpoint"] == "GET /leak/{thing}"
    assert hold["where"].endswith(line_of_text("# the leak of a coroutine"))


def test_a_leak_is_named(url, receiver, monkeypatch):
    from sqlalchemy import create_engine  # noqa: PLC0415

    monkeypatch.setenv("POOLWATCH_PERIOD", "1")
    made = create_engine(url("psycopg2"))
    engine = poolwatch.watch(made, pool="web", socket=receiver.path, app="leaking")
    with poolwatch.request("GET /leak"):
        leaked = engine.connect()  # leaked
    receiver.pool(holds=bool)
    pools = [pool for report in receiver.reports for pool in report["pools"]]
    named = [one for pool in pools for one in pool.get("holds", ())]
    assert named[0]["endpoint"] == "GET /leak"
    assert named[0]["where"].endswith(line_of_text("# leaked"))
    leaked.close()
    engine.dispose()


def test_an_unknown_method_makes_no_name(engine, receiver):
    flask = pytest.importorskip("flask")
    app = flask.Flask("app")
    app.wsgi_app = poolwatch.WSGIMiddleware(app.wsgi_app)

    @app.route("/any", methods=["GET", "BREW"])
    def anything():
        query(engine)
        return "ok"

    get(app, "/any", method="BREW")
    assert set(by_name(receiver.pool(endpoints=bool))) == {"/any"}


def called(depth, innermost):
    return innermost() if depth == 0 else called(depth - 1, innermost)


def test_the_line_is_right_however_deep_the_stack_is():
    """Told by the depth of the last, and walked where that does not fit."""
    for depth in (0, 3, 0, 40, 1, 1, 2):
        call = called(depth, lambda: calling())  # the innermost
        assert line_of(call).endswith(line_of_text("# the innermost"))


def test_without_source_lines_there_are_none(url, receiver, monkeypatch):
    from sqlalchemy import create_engine  # noqa: PLC0415

    monkeypatch.setenv("POOLWATCH_SOURCE_LINES", "0")
    made = create_engine(url("psycopg2"))
    engine = poolwatch.watch(made, pool="web", socket=receiver.path, app="bare")
    with engine.connect():
        assert "where" not in receiver.pool(holds=bool)["holds"][0]
    engine.dispose()
    assert json.dumps(receiver.reports)
