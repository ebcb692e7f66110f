from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest
from receiver import count, newest
from sqlalchemy import create_engine

import poolwatch

psycopg_pool = pytest.importorskip("psycopg_pool")
PSYCOPG_POOL = tuple(int(part) for part in psycopg_pool.__version__.split(".")[:2])


@pytest.fixture
def conninfo(postgres):
    return f"host={postgres} user=postgres dbname=postgres"


@pytest.fixture
def pool(conninfo, receiver):
    with psycopg_pool.ConnectionPool(conninfo, min_size=2, max_size=3, timeout=0.3) as made:
        made.wait()
        poolwatch.watch(made, "django", socket=receiver.path)
        yield made


def test_its_gauges_are_in_the_protocols_words(pool, receiver):
    receiver.pool(
        "django", size=2, max_overflow=1, checked_in=2, checked_out=0, pending=0, opened=2
    )
    with pool.connection(), pool.connection():
        receiver.pool("django", checked_in=0, checked_out=2)


def test_it_says_where_it_connects_to(conninfo, postgres, receiver):
    target = {"host": postgres, "port": 5432, "database": "postgres", "role": "postgres"}
    with psycopg_pool.ConnectionPool(conninfo, min_size=1) as made:
        poolwatch.watch(made, "given", socket=receiver.path)
        receiver.pool("given", targets=[target])


@pytest.mark.skipif(PSYCOPG_POOL < (3, 3), reason="it takes no function")
def test_a_pool_of_changing_settings_says_where_its_connection_went(conninfo, postgres, receiver):
    target = {"host": postgres, "port": 5432, "database": "postgres", "role": "postgres"}
    with psycopg_pool.ConnectionPool(lambda: conninfo, min_size=1) as made:
        poolwatch.watch(made, "changing", socket=receiver.path)
        with made.connection():
            pass
        receiver.pool("changing", targets=[target])


def test_a_pool_that_keeps_no_connection_has_its_limit(conninfo, receiver):
    with psycopg_pool.ConnectionPool(conninfo, min_size=0, max_size=3) as pool:
        poolwatch.watch(pool, "django", socket=receiver.path)
        with pool.connection():
            receiver.pool("django", size=0, max_overflow=3, checked_out=1)


@pytest.mark.parametrize(("largest", "limit"), [(4, 4), (0, None)])
def test_a_null_pool_has_the_limit_it_was_given(conninfo, receiver, largest, limit):
    with psycopg_pool.NullConnectionPool(conninfo, min_size=0, max_size=largest) as pool:
        poolwatch.watch(pool, "django", socket=receiver.path)
        with pool.connection():
            receiver.pool("django", size=0, max_overflow=limit, checked_out=1)


def test_a_timeout_is_counted(pool, receiver):
    with pool.connection(), pool.connection(), pool.connection():
        with pytest.raises(psycopg_pool.PoolTimeout):
            pool.getconn()
        receiver.pool("django", timeouts=1, checked_out=3, opened=3)


def test_a_caller_that_waits_is_pending(conninfo, receiver):
    with psycopg_pool.ConnectionPool(conninfo, min_size=1, max_size=1) as pool:
        poolwatch.watch(pool, "django", socket=receiver.path)
        with pool.connection():
            waiting = threading.Thread(target=lambda: pool.putconn(pool.getconn()))
            waiting.start()
            receiver.pool("django", pending=1)
        waiting.join()
        receiver.pool("django", pending=0)


def test_a_caller_refused_by_a_full_queue_is_no_timeout(conninfo, receiver):
    with psycopg_pool.ConnectionPool(conninfo, min_size=1, max_size=1, max_waiting=1) as pool:
        poolwatch.watch(pool, "django", socket=receiver.path)
        with pool.connection():
            waiting = threading.Thread(target=lambda: pool.putconn(pool.getconn()))
            waiting.start()
            receiver.pool("django", pending=1)
            with pytest.raises(psycopg_pool.TooManyRequests):
                pool.getconn()
        waiting.join()
        receiver.pool("django", acquire_errors=1, timeouts=0, acquire=lambda f: count(f) == 3)


def test_waits_and_holds_have_distributions(pool, receiver):
    for _ in range(20):
        with pool.connection():
            pass
    with pool.connection() as first, pool.connection():
        receiver.pool("django", checked_out=2, peak=2, oldest=lambda seconds: seconds > 0)
        first.execute("select pg_sleep(0.03)")
    figures = receiver.pool("django", hold=lambda f: count(f) == 22, checked_out=0, oldest=0)
    assert count(figures["acquire"]) == 22
    assert figures["hold"]["sum"] >= 0.03
    assert sum(figures["hold"]["counts"][6:]) >= 1


def test_what_cannot_be_known_is_left_out(pool, receiver):
    figures = receiver.pool("django")
    assert not {"query", "commit", "query_errors", "n_plus_one", "unpaginated"} & set(figures)


def test_a_connection_that_is_forgotten_is_collected_and_not_kept_alive(pool, receiver):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        pool.getconn()
        gc.collect()
        receiver.pool("django", collected=1, hold=lambda f: count(f) == 1)


def test_a_connection_returned_broken_is_invalidated(pool, receiver):
    with pool.connection() as connection:
        connection.close()
    receiver.pool("django", invalidated=1, opened=3)


def test_counters_do_not_fall_when_the_application_pops_them(pool, receiver):
    receiver.pool("django", opened=2)
    pool.pop_stats()
    assert receiver.settled("django")["opened"] == 2


def test_an_async_pool_is_watched(conninfo, receiver):
    async def use():
        async with psycopg_pool.AsyncConnectionPool(conninfo, min_size=1, open=False) as pool:
            poolwatch.watch(pool, "django", socket=receiver.path)
            async with pool.connection():
                await asyncio.to_thread(receiver.pool, "django", checked_out=1)
                with pytest.raises(psycopg_pool.PoolTimeout):
                    await pool.getconn(timeout=0.05)
        await asyncio.to_thread(
            receiver.pool, "django", timeouts=1, acquire=lambda f: count(f) == 2
        )

    asyncio.run(use())


def test_a_caller_that_gives_up_is_no_error(conninfo, receiver):
    async def use():
        async with psycopg_pool.AsyncConnectionPool(
            conninfo, min_size=1, max_size=1, open=False
        ) as pool:
            poolwatch.watch(pool, "django", socket=receiver.path)
            async with pool.connection():
                caller = asyncio.create_task(pool.getconn())
                await asyncio.to_thread(receiver.pool, "django", pending=1)
                caller.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await caller
            expected = {"abandoned": 1, "acquire_errors": 0, "timeouts": 0, "pending": 0}
            await asyncio.to_thread(receiver.pool, "django", **expected)

    asyncio.run(use())


def test_a_pool_that_is_watched_no_longer_is_as_it_was(pool, receiver):
    with pool.connection():
        pass
    assert poolwatch.unwatch(pool) is pool
    assert not {"getconn", "putconn", "_poolwatch", "_poolwatch_before"} & set(vars(pool))
    with pool.connection():
        pass
    receiver.pool("django", opened=2, size=None, hold=lambda f: count(f) == 1)


def test_a_pool_that_is_gone_leaves_its_counters(conninfo, receiver):
    pool = psycopg_pool.ConnectionPool(conninfo, min_size=1, open=True)
    poolwatch.watch(pool, "django", socket=receiver.path)
    receiver.pool("django", opened=1)
    pool.close()
    del pool
    receiver.pool("django", opened=1, size=None)


def test_pools_of_one_name_add_up(conninfo, receiver):
    with psycopg_pool.ConnectionPool(conninfo, min_size=1, max_size=2) as first:
        poolwatch.watch(first, "django", socket=receiver.path)
        poolwatch.watch(first, "django", socket=receiver.path)
        with psycopg_pool.ConnectionPool(conninfo, min_size=2, max_size=5) as second:
            poolwatch.watch(second, "django", socket=receiver.path)
            receiver.pool("django", size=3, max_overflow=4, opened=3)
        # The closed pool's places are gone, its counters stay.
        receiver.pool("django", size=1, max_overflow=1, opened=3)
    del first, second
    with psycopg_pool.ConnectionPool(conninfo, min_size=1, max_size=1) as third:
        poolwatch.watch(third, "django", socket=receiver.path)
        receiver.pool("django", size=1, max_overflow=0, opened=4)


def test_an_engine_and_a_pool_may_have_one_name(conninfo, url, receiver):
    for order in (1, -1):
        receiver.reports.clear()
        name = f"both-{order}"
        engine = create_engine(url("psycopg2"))
        pool = psycopg_pool.ConnectionPool(conninfo, min_size=1, open=True)
        steps = [
            lambda e=engine, n=name: poolwatch.watch(e, pool=n, socket=receiver.path),
            lambda p=pool, n=name: poolwatch.watch(p, n, socket=receiver.path),
        ]
        for step in steps[::order]:
            step()
        engine.connect().close()
        receiver.wait_for(lambda reports, n=name: (newest(reports, n) or {}).get("size") == 5 + 1)
        engine.dispose()
        pool.close()


def test_watching_what_is_no_pool_raises_nothing(receiver):
    poolwatch.watch(None, "nothing", socket=receiver.path)


def test_django_is_watched_with_one_line_of_settings(postgres, receiver):
    pytest.importorskip("django", minversion="5.1")
    program = f"""
        from django.conf import settings
        import django
        settings.configure(
            INSTALLED_APPS=["poolwatch.django"],
            DATABASES={{"default": {{
                "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
                "HOST": {postgres!r}, "OPTIONS": {{"pool": {{"min_size": 1, "max_size": 4}}}},
            }}}},
        )
        django.setup()
        from django.db import connection
        with connection.cursor() as cursor:
            cursor.execute("select 1")
            input()
        connection.close()
        connection.close_pool()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        env={
            "POOLWATCH_SOCKET": receiver.path,
            "POOLWATCH_PERIOD": "0.1",
            "POOLWATCH_POOL": "site",
        },
    )
    receiver.pool("site", size=1, max_overflow=3, checked_out=1)
    child.communicate(b"\n")
    assert child.returncode == 0
    receiver.wait_for(lambda reports: reports[-1]["bye"] and newest(reports, "site"))
