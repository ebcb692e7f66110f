from __future__ import annotations

import psycopg2.pool
import pytest
from receiver import count

import poolwatch


@pytest.fixture(params=[psycopg2.pool.SimpleConnectionPool, psycopg2.pool.ThreadedConnectionPool])
def pool(request, postgres, receiver):
    made = request.param(2, 3, host=postgres, user="postgres", dbname="postgres")
    yield poolwatch.watch(made, "web", socket=receiver.path)
    made.closeall()


def test_its_figures_are_in_the_protocols_words(pool, receiver):
    receiver.pool(size=2, max_overflow=1, checked_in=2, checked_out=0, opened=2)
    held = [pool.getconn() for _ in range(3)]
    receiver.pool(checked_in=0, checked_out=3, peak=3, opened=3, oldest=lambda age: age > 0)
    for connection in held:
        pool.putconn(connection)
    figures = receiver.pool(checked_in=2, checked_out=0, oldest=0, hold=lambda f: count(f) == 3)
    assert count(figures["acquire"]) == 3
    assert not {"query", "commit", "query_errors", "n_plus_one", "unpaginated"} & set(figures)


def test_an_exhausted_pool_refuses_and_nobody_waits(pool, receiver):
    held = [pool.getconn() for _ in range(3)]
    with pytest.raises(psycopg2.pool.PoolError):
        pool.getconn()
    receiver.pool(acquire_errors=1, timeouts=0, pending=0, acquire=lambda f: count(f) == 4)
    for connection in held:
        pool.putconn(connection)


def test_a_connection_asked_for_by_a_key_is_held_once(pool, receiver):
    first, again = pool.getconn("session"), pool.getconn("session")
    assert first is again
    receiver.pool(checked_out=1)
    pool.putconn(first, "session")
    receiver.pool(checked_out=0, hold=lambda f: count(f) == 1)


def test_a_connection_returned_broken_is_invalidated(pool, receiver):
    connection = pool.getconn()
    connection.close()
    pool.putconn(connection)
    pool.putconn(pool.getconn(), close=True)
    receiver.pool(invalidated=2, checked_in=0)


def test_a_pool_that_is_watched_no_longer_is_as_it_was(pool, receiver):
    pool.putconn(pool.getconn())
    poolwatch.unwatch(pool)
    assert not {"getconn", "putconn", "_connect", "_poolwatch"} & set(vars(pool))
    pool.putconn(pool.getconn())
    receiver.pool(size=None, hold=lambda f: count(f) == 1)
