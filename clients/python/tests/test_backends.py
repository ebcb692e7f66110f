"""The processes of the server at the other end of a pool's connections."""

from __future__ import annotations

import asyncio

import psycopg
import psycopg2
import pytest
from psycopg2.pool import ThreadedConnectionPool
from psycopg_pool import ConnectionPool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import poolwatch
from poolwatch.backends import MOST_PIDS, Backends

PID = "select pg_backend_pid()"


class Connection:
    """As psycopg's is, without a server: more of them than a server has."""

    def __init__(self, pid: int) -> None:
        self.pid, self.closed = pid, False

    def get_backend_pid(self) -> int:
        return self.pid


def is_of(expected):
    return lambda pids: sorted(pids) == sorted(expected)


def test_an_engine_tells_the_processes_of_its_open_connections(engine, receiver):
    with engine.connect() as one, engine.connect() as other:
        pids = [each.execute(text(PID)).scalar() for each in (one, other)]
        receiver.pool("web", pids=is_of(pids))
        other.invalidate()
        receiver.pool("web", pids=is_of(pids[:1]))
    receiver.pool("web", pids=is_of(pids[:1]), checked_in=1)
    engine.dispose()
    receiver.pool("web", pids=is_of([]))


def test_an_asynchronous_engine_tells_them_too(url, async_driver, receiver):
    async def use():
        made = create_async_engine(url(async_driver))
        poolwatch.watch(made, pool="web", socket=receiver.path)
        async with made.connect() as connection:
            pid = (await connection.execute(text(PID))).scalar()
            await asyncio.to_thread(receiver.pool, "web", pids=is_of([pid]))
        await made.dispose()

    asyncio.run(use())


def test_a_pool_of_psycopg_tells_those_that_it_opened_before_it_was_watched(postgres, receiver):
    with ConnectionPool(f"host={postgres} user=postgres", min_size=1, max_size=2) as pool:
        pool.wait()
        poolwatch.watch(pool, pool="web", socket=receiver.path)
        with pool.connection() as one, pool.connection() as other:
            pids = [each.execute(PID).fetchone()[0] for each in (one, other)]
            receiver.pool("web", pids=is_of(pids))


def test_a_pool_of_psycopg2_tells_them(postgres, receiver):
    pool = ThreadedConnectionPool(1, 2, host=postgres, user="postgres")
    poolwatch.watch(pool, pool="web", socket=receiver.path)
    one, other = pool.getconn(), pool.getconn()
    receiver.pool("web", pids=is_of([one.get_backend_pid(), other.get_backend_pid()]))
    pool.closeall()
    receiver.pool("web", pids=is_of([]))


@pytest.mark.parametrize("connect", [psycopg.connect, psycopg2.connect])
def test_a_connection_that_is_forgotten_is_not_told_any_more(connect, postgres):
    backends = Backends()
    assert backends.snapshot() is None
    connection = connect(f"host={postgres} user=postgres")
    backends.add(connection)
    assert backends.snapshot() == [connection.info.backend_pid]
    del connection
    assert not backends.snapshot()


def test_more_than_a_report_may_have_are_not_told_at_all():
    backends, made = Backends(), [Connection(pid) for pid in range(1, MOST_PIDS + 2)]
    for connection in made:
        backends.add(connection)
    assert backends.snapshot() is None
    made[0].closed = True
    assert backends.snapshot() == list(range(2, MOST_PIDS + 2))


def test_what_tells_no_process_costs_nothing():
    backends = Backends()
    backends.add(None)
    backends.add(object())
    assert backends.snapshot() is None
