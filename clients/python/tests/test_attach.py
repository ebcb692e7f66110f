from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from receiver import count
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import poolwatch
from poolwatch import settings
from poolwatch.reporter import reporter

PROGRAM_OPTIONS = "&plugin=poolwatch&poolwatch_pool=plugged&poolwatch_app=blog&poolwatch_socket="


def query(engine):
    with engine.connect() as connection:
        return connection.execute(text("select 1")).scalar()


async def query_async(engine):
    async with engine.connect() as connection:
        await connection.execute(text("select 1"))
    await engine.dispose()


def test_an_engine_is_reported_under_its_name(engine, receiver):
    query(engine)
    pool = receiver.pool(query=lambda figure: count(figure) == 1)
    assert (pool["size"], pool["max_overflow"]) == (2, 1)
    assert receiver.reports[-1]["app"] == "test"
    assert receiver.reports[-1]["pid"] == os.getpid()


def test_an_async_engine_is_reported_under_its_name(url, async_driver, receiver):
    engine = create_async_engine(url(async_driver), pool_size=4, max_overflow=2)
    assert poolwatch.watch(engine, pool="web", socket=receiver.path) is engine
    asyncio.run(query_async(engine))
    pool = receiver.pool(query=lambda figure: count(figure) == 1)
    assert (pool["size"], pool["max_overflow"]) == (4, 2)


def test_a_plugin_in_the_url_watches_with_no_code(url, driver, receiver):
    engine = create_engine(url(driver) + PROGRAM_OPTIONS + receiver.path)
    query(engine)
    receiver.pool("plugged", query=lambda figure: count(figure) == 1)
    assert receiver.reports[-1]["app"] == "blog"
    engine.dispose()


def test_a_plugin_in_the_url_watches_an_async_engine(url, async_driver, receiver):
    asyncio.run(
        query_async(create_async_engine(url(async_driver) + PROGRAM_OPTIONS + receiver.path))
    )
    receiver.pool("plugged", query=lambda figure: count(figure) == 1)


def test_what_is_not_said_comes_from_the_environment(url, receiver, monkeypatch):
    monkeypatch.setenv("POOLWATCH_SOCKET", receiver.path)
    monkeypatch.setenv("POOLWATCH_POOL", "from-environment")
    monkeypatch.setenv("POOLWATCH_APP", "shop")
    engine = create_engine(url("psycopg2") + "&plugin=poolwatch")
    query(engine)
    receiver.pool("from-environment")
    assert receiver.reports[-1]["app"] == "shop"
    engine.dispose()


@pytest.mark.parametrize("command", ["shop/__main__.py", "bin/shop"])
def test_two_applications_that_share_a_url_may_be_two_pools(url, receiver, monkeypatch, command):
    monkeypatch.setattr(sys, "argv", [command])
    monkeypatch.setenv("POOLWATCH_SOCKET", receiver.path)
    engines = [
        create_engine(url("psycopg2") + "&plugin=poolwatch&poolwatch_pool=db-{app}" + more)
        for more in ("", "&poolwatch_app=tasks")
    ]
    for engine in engines:
        query(engine)
        engine.dispose()
    receiver.pool("db-shop")
    receiver.pool("db-tasks")


def test_a_pool_without_a_name_is_called_app(url, receiver):
    engine = poolwatch.watch(create_engine(url("psycopg2")), socket=receiver.path)
    query(engine)
    receiver.pool("app")
    engine.dispose()


def test_watching_twice_counts_once(engine, receiver, caplog):
    poolwatch.watch(engine, pool="web", socket=receiver.path)
    assert not caplog.records
    poolwatch.watch(engine, pool="other", socket=receiver.path)
    assert "already watched as pool 'web'" in caplog.text
    query(engine)
    pool = receiver.settled()
    assert count(pool["query"]) == count(pool["acquire"]) == pool["opened"] == 1


def test_many_threads_that_watch_one_engine_count_once(url, receiver):
    engine = create_engine(url("psycopg2"))
    start = threading.Barrier(8)

    def watch_it(_):
        start.wait()
        poolwatch.watch(engine, pool="web", socket=receiver.path)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(watch_it, range(8)))
    query(engine)
    receiver.pool(query=lambda f: count(f) == 1, acquire=lambda f: count(f) == 1)
    engine.dispose()


def test_engines_of_one_name_are_reported_as_one_pool(plain, receiver):
    first, second = plain(pool_size=2, max_overflow=1), plain(pool_size=3, max_overflow=4)
    query(first)
    query(second)
    receiver.pool(size=5, max_overflow=5, checked_in=2, query=lambda figure: count(figure) == 2)


def test_a_thousand_engines_of_tenants_are_one_pool(url, receiver):
    """Of which nothing is kept once they are gone."""
    engines = [create_engine(url("psycopg2"), pool_size=2) for _ in range(1000)]
    for engine in engines:
        poolwatch.watch(engine, pool="web", socket=receiver.path, app="test")
    for engine in engines[:20]:
        query(engine)
    receiver.pool(size=2000, checked_in=20, query=lambda f: count(f) == 20)
    assert max(receiver.sizes) < 5_000
    for engine in engines:
        engine.dispose()
    del engine, engines
    gc.collect()
    receiver.pool(size=None, query=lambda f: count(f) == 20)
    (ledger,) = reporter(receiver.path, "test").ledgers.values()
    assert not ledger.watches()


def test_no_thread_runs_before_the_first_use(url, receiver):
    # Not their number: a thread of an earlier test may end meanwhile.
    before = set(threading.enumerate())
    engine = poolwatch.watch(create_engine(url("psycopg2")), pool="web", socket=receiver.path)
    assert set(threading.enumerate()) <= before
    query(engine)
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["poolwatch"]
    engine.dispose()


def test_an_engine_that_is_watched_no_longer_is_as_it_was(engine, receiver):
    query(engine)
    receiver.pool(query=lambda figure: count(figure) == 1)
    for _ in range(2):
        assert poolwatch.unwatch(engine) is engine
    query(engine)
    engine.dispose()
    query(engine)
    figures = receiver.settled()
    assert "size" not in figures
    assert [count(figures[key]) for key in ("query", "acquire", "hold", "opened")] == [1, 1, 1, 1]
    for each in (engine.pool, engine.dialect):
        assert not [name for name in vars(each) if "poolwatch" in name]
    assert not {"connect", "_do_return_conn", "recreate"} & set(vars(engine.pool))
    assert not [name for name in vars(engine.dialect) if name.startswith("do_")]
    poolwatch.watch(engine, pool="web", socket=receiver.path, app="test")
    query(engine)
    receiver.pool(size=2, query=lambda figure: count(figure) == 2, opened=1)


def test_what_another_tool_wrapped_stays_wrapped(engine, receiver):
    calls = []
    connect = engine.pool.connect
    engine.pool.connect = lambda: calls.append(1) or connect()
    poolwatch.unwatch(engine)
    query(engine)
    assert calls == [1]


def test_an_engine_that_is_not_watched_may_be_unwatched(url, caplog):
    engine = create_engine(url("psycopg2"))
    assert poolwatch.unwatch(engine) is engine
    assert not caplog.records


def test_watching_what_is_no_engine_is_logged_and_not_raised(caplog):
    with caplog.at_level(logging.WARNING, "poolwatch"):
        assert poolwatch.watch(None) is None
    assert "None is not watched" in caplog.text


def test_a_process_reports_no_more_than_16_pools(url, receiver, caplog):
    engines = [create_engine(url("psycopg2")) for _ in range(18)]
    for number, engine in enumerate(engines):
        poolwatch.watch(engine, pool=f"pool-{number}", socket=receiver.path)
    query(engines[-1])
    query(engines[-2])
    query(engines[0])
    receiver.pool("other", query=lambda figure: count(figure) == 2)
    assert len(receiver.reports[-1]["pools"]) <= 16
    assert caplog.text.count("is reported as 'other'") == 1
    for engine in engines:
        engine.dispose()


def test_two_engines_may_share_one_pool(engine, url, driver, receiver):
    other = poolwatch.watch(create_engine(url(driver), pool=engine.pool), pool="web")
    query(engine)
    query(other)
    receiver.pool(query=lambda f: count(f) == 2, acquire=lambda f: count(f) == 2)


def test_a_connection_that_was_out_before_is_counted_from_then_on(url, receiver):
    engine = create_engine(url("psycopg2"), pool_size=2)
    with engine.connect() as connection:
        poolwatch.watch(engine, pool="web", socket=receiver.path)
        connection.execute(text("select 1"))
    query(engine)
    receiver.pool(query=lambda f: count(f) == 2, hold=lambda f: count(f) == 2, checked_out=0)
    engine.dispose()


def test_a_name_of_100_characters_is_not_cut(url, receiver):
    engine = poolwatch.watch(create_engine(url("psycopg2")), pool="n" * 100, socket=receiver.path)
    query(engine)
    receiver.pool("n" * 100)
    engine.dispose()


def test_the_socket_is_looked_for_in_the_users_folder_too(monkeypatch, tmp_path):
    monkeypatch.delenv("POOLWATCH_SOCKET", raising=False)
    monkeypatch.setattr(settings, "DEFAULT_SOCKET", str(tmp_path / "absent.sock"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert settings.socket_path(None) == settings.DEFAULT_SOCKET
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert settings.socket_path(None) == "/run/user/7/poolwatch/poolwatch.sock"
    assert settings.socket_path("/named.sock") == "/named.sock"
    (tmp_path / "absent.sock").touch()
    assert settings.socket_path(None) == settings.DEFAULT_SOCKET


@pytest.mark.parametrize("name", ["sqlalchemy.pool.impl.QueuePool"])
def test_the_pools_own_logger_keeps_its_name(engine, name):
    assert engine.pool.logger.name == name
    engine.dispose()
    assert engine.pool.logger.name == name
