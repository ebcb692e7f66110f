from __future__ import annotations

import asyncio
import gc

import asyncpg
import pytest
from receiver import count

import poolwatch


def run(receiver, postgres, use, **options):
    """`use(pool, seen)` with a watched pool; `seen` waits for figures beside the event loop."""

    async def all_of_it():
        limits = {"min_size": 1, "max_size": 2, **options}
        async with asyncpg.create_pool(host=postgres, user="postgres", **limits) as pool:
            poolwatch.watch(pool, "web", socket=receiver.path)

            async def seen(**expected):
                return await asyncio.to_thread(receiver.pool, **expected)

            await use(pool, seen)

    asyncio.run(all_of_it())


def test_it_says_where_it_connects_to(receiver, postgres):
    async def use(pool, seen):
        target = {"host": postgres, "port": 5432, "database": "postgres", "role": "postgres"}
        await seen(targets=[target])

    run(receiver, postgres, use)


def test_its_figures_are_in_the_protocols_words(receiver, postgres):
    async def use(pool, seen):
        await seen(size=1, max_overflow=1, checked_in=1, checked_out=0, opened=1)
        async with pool.acquire(), pool.acquire():
            await seen(checked_in=0, checked_out=2, peak=2, opened=2, oldest=lambda age: age > 0)
        figures = await seen(checked_in=2, checked_out=0, hold=lambda f: count(f) == 2)
        assert count(figures["acquire"]) == 2
        assert not {"n_plus_one", "unpaginated", "invalidated"} & set(figures)

    run(receiver, postgres, use)


def test_statements_and_commits_are_timed_and_its_own_are_not(receiver, postgres):
    async def use(pool, seen):
        async with pool.acquire() as connection:
            async with connection.transaction():
                await connection.execute("select pg_sleep(0.02)")
                await connection.fetch("select $1::int", 1)
            with pytest.raises(asyncpg.PostgresError):
                await connection.fetch("select 1 / 0")
        await pool.fetchval("select 1")
        figures = await seen(query=lambda f: count(f) == 4, hold=lambda f: count(f) == 2)
        assert (figures["query_errors"], count(figures["commit"])) == (1, 1)
        assert figures["query"]["sum"] >= 0.02

    run(receiver, postgres, use)


def test_a_caller_that_waits_is_pending_and_its_timeout_counted(receiver, postgres):
    async def use(pool, seen):
        async with pool.acquire(), pool.acquire():
            waiting = asyncio.create_task(pool.fetchval("select 1"))
            await seen(pending=1)
            with pytest.raises(asyncio.TimeoutError):
                await pool.acquire(timeout=0.05)
            given_up = asyncio.create_task(pool.fetchval("select 1"))
            await seen(pending=2)
            given_up.cancel()
        assert await waiting == 1
        await seen(pending=0, timeouts=1, abandoned=1, acquire_errors=0)

    run(receiver, postgres, use)


def test_a_connection_that_is_closed_while_out_is_no_longer_held(receiver, postgres):
    async def use(pool, seen):
        async with pool.acquire() as connection:
            await connection.close()
        await seen(checked_out=0, hold=lambda f: count(f) == 1)

    run(receiver, postgres, use)


def test_pools_that_are_not_watched_or_no_longer_are_not_counted(receiver, postgres):
    async def use(pool, seen):
        await pool.fetchval("select 1")
        await seen(hold=lambda f: count(f) == 1)
        async with asyncpg.create_pool(host=postgres, user="postgres", min_size=1) as other:
            await other.fetchval("select 1")
        poolwatch.unwatch(pool)
        await pool.fetchval("select 1")
        await seen(size=None, hold=lambda f: count(f) == 1, query=lambda f: count(f) == 1)

    run(receiver, postgres, use)


def test_a_closed_pool_is_let_go_and_leaves_its_counters(receiver, postgres):
    async def use(pool, seen):
        await pool.fetchval("select 1")
        await pool.close()
        await seen(size=None, opened=1, query=lambda f: count(f) == 1)

    run(receiver, postgres, use)
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, asyncpg.Pool)]
