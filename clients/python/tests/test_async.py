from __future__ import annotations

import asyncio
import contextlib
import time

import psycopg2
import pytest
from receiver import PATIENCE, count, findings
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

import poolwatch


@pytest.fixture
def engine(url, async_driver, receiver):
    made = create_async_engine(url(async_driver), pool_size=1, max_overflow=1, pool_timeout=0.3)
    return poolwatch.watch(made, pool="web", socket=receiver.path)


def run(engine, coroutine):
    """Leaves no connection behind for another event loop to find."""

    async def all_of_it():
        try:
            await coroutine(engine)
        finally:
            await engine.dispose()

    asyncio.run(all_of_it())


async def in_thread(receiver, **expected):
    return await asyncio.to_thread(receiver.pool, **expected)


def test_every_call_of_many_tasks_is_counted_exactly(url, async_driver, receiver):
    engine = create_async_engine(url(async_driver), pool_size=2, max_overflow=1)
    poolwatch.watch(engine, pool="web", socket=receiver.path)

    async def one():
        async with engine.begin() as connection:
            await connection.execute(text("select 1"))

    async def many(_):
        await asyncio.gather(*(one() for _ in range(100)))

    run(engine, many)
    pool = receiver.settled()
    figures = (pool[key] for key in ("query", "commit", "acquire", "hold"))
    assert [count(figure) for figure in figures] == [100] * 4
    assert (pool["checked_out"], pool["pending"], pool["timeouts"]) == (0, 0, 0)


def test_a_task_that_waits_is_pending_and_its_timeout_counted(engine, receiver):
    async def wait(_):
        async with engine.connect(), engine.connect():
            waiting = asyncio.ensure_future(engine.connect().start())
            await in_thread(receiver, pending=1, connecting=0, checked_out=2)
            with pytest.raises(exc.TimeoutError):
                await waiting
            await in_thread(receiver, pending=0, timeouts=1)

    run(engine, wait)


def test_a_cancelled_wait_is_no_error_and_no_longer_pending(engine, receiver):
    async def give_up(_):
        async with engine.connect(), engine.connect():
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(engine.connect().start(), 0.05)

    run(engine, give_up)
    pool = receiver.settled()
    assert (pool["pending"], pool["timeouts"], pool["acquire_errors"]) == (0, 0, 0)
    assert (count(pool["acquire"]), count(pool["hold"])) == (3, 2)


def wait_until_it_sleeps(postgres):
    """A query cancelled before the server has it is not cancelled there."""
    watching = psycopg2.connect(host=postgres, user="postgres", dbname="postgres")
    watching.autocommit = True
    deadline = time.monotonic() + PATIENCE
    with watching.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("select from pg_stat_activity where wait_event = 'PgSleep'")
            if cursor.rowcount:
                break
    watching.close()


def test_a_cancelled_query_returns_its_connection(engine, receiver, postgres):
    async def sleep():
        async with engine.connect() as connection:
            await connection.execute(text("select pg_sleep(30)"))

    async def cancel(_):
        task = asyncio.ensure_future(sleep())
        await asyncio.to_thread(wait_until_it_sleeps, postgres)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await in_thread(receiver, checked_out=0, query_errors=0)
        pool = receiver.settled()
        assert (count(pool["query"]), count(pool["hold"])) == (1, 1)

    run(engine, cancel)


@pytest.mark.parametrize("poolclass", [NullPool, StaticPool])
def test_other_async_pools_count_what_is_out(url, async_driver, receiver, poolclass):
    engine = create_async_engine(url(async_driver), poolclass=poolclass)
    poolwatch.watch(engine, pool="web", socket=receiver.path)

    async def hold(_):
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))
            await in_thread(receiver, checked_out=1, max_overflow=None)
        await in_thread(receiver, checked_out=0, query=lambda figure: count(figure) == 1)

    run(engine, hold)


def test_pings_are_not_counted(url, async_driver, receiver):
    engine = create_async_engine(url(async_driver), pool_pre_ping=True)
    poolwatch.watch(engine, pool="web", socket=receiver.path)

    async def three(_):
        for _ in range(3):
            async with engine.connect() as connection:
                await connection.execute(text("select 1"))

    run(engine, three)
    assert count(receiver.settled()["query"]) == 3


def test_a_finding_names_the_line_of_the_coroutine(engine, receiver):
    async def loop(_):
        async with engine.connect() as connection:
            await connection.execute(text("select n from generate_series(1, 12) as n"))
            for n in range(1, 13):
                await connection.execute(
                    text("select n from generate_series(1, 12) n where n = cast(:n as int)"),
                    {"n": n},
                )

    run(engine, loop)
    (found,) = receiver.wait_for(lambda reports: findings(reports, "n_plus_one"))
    assert found["where"].split(":")[0].endswith("test_async.py")
    assert (found["count"], found["rows"]) == (12, 12)


def test_the_reporter_never_makes_the_queue_of_the_event_loop(engine, receiver):
    """On Python 3.9 it would belong to no loop, or to another thread's."""

    async def connect(_):
        async with engine.connect():
            pass

    run(engine, connect)
    receiver.settled()
    assert "_queue" not in engine.sync_engine.pool._pool.__dict__
