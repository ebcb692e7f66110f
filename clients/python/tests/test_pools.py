from __future__ import annotations

import gc
import threading
from decimal import Decimal
from fractions import Fraction

import pytest
from conftest import VERSION
from receiver import count
from sqlalchemy import create_engine, exc, text
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool

import poolwatch


def test_a_fresh_pool_has_no_negative_figure(engine, receiver):
    with engine.connect():
        receiver.pool(checked_in=0, checked_out=1)
    receiver.pool(checked_in=1, checked_out=0)


def test_connections_beyond_the_size_show_as_in_plus_out(engine, receiver):
    held = [engine.connect() for _ in range(3)]
    receiver.pool(size=2, checked_in=0, checked_out=3, peak=3)
    for connection in held:
        connection.close()
    receiver.pool(checked_in=2, checked_out=0)


def test_an_unlimited_pool_has_no_max_overflow(plain, receiver):
    plain(pool_size=2, max_overflow=-1).connect().close()
    receiver.pool(size=2, max_overflow=None)


def test_a_pool_of_size_0_is_limited_as_its_sqlalchemy_does(plain, receiver):
    """By nothing since 2.0; before, by max_overflow."""
    with plain(pool_size=0, max_overflow=7).connect():
        receiver.pool(size=0, max_overflow=7 if VERSION < (2, 0) else None, checked_out=1)


def test_counters_survive_dispose_and_gauges_are_the_new_pools(engine, receiver):
    for _ in range(3):
        engine.connect().close()
        engine.dispose()
    engine.connect().close()
    receiver.pool(opened=4, checked_in=1, checked_out=0, acquire=lambda f: count(f) == 4)


def test_disposing_with_a_connection_out_never_reads_below_0(engine, receiver):
    held = engine.connect()
    engine.dispose()
    assert receiver.settled()["checked_out"] == 0
    held.close()
    pool = receiver.settled()
    assert (pool["checked_out"], count(pool["hold"])) == (0, 1)


def test_a_null_pool_counts_what_is_out(plain, receiver):
    engine = plain(poolclass=NullPool)
    with engine.connect(), engine.connect():
        receiver.pool(size=0, max_overflow=None, checked_in=0, checked_out=2, peak=2)
    receiver.pool(checked_out=0, opened=2, acquire=lambda f: count(f) == 2)


def test_a_static_pool_is_one_connection_without_a_limit(plain, receiver):
    engine = plain(poolclass=StaticPool)
    with engine.connect() as connection:
        connection.execute(text("select 1"))
        receiver.pool(size=1, max_overflow=None, checked_in=0, checked_out=1)
    pool = receiver.pool(checked_in=1, checked_out=0, opened=1)
    assert (count(pool["query"]), count(pool["hold"])) == (1, 1)


def test_a_pool_of_one_connection_a_thread_counts_what_is_out(plain, receiver):
    engine = plain(poolclass=SingletonThreadPool, pool_size=3)
    with engine.connect():
        receiver.pool(size=3, max_overflow=None, checked_out=1)
    receiver.pool(checked_in=1, checked_out=0)


def test_an_assertion_pool_keeps_asserting(plain, receiver):
    engine = plain(poolclass=AssertionPool)
    with engine.connect():
        receiver.pool(size=1, max_overflow=0, checked_out=1)
        with pytest.raises(AssertionError):
            engine.connect()
    receiver.pool(checked_out=0, acquire_errors=1)


def test_an_engine_that_is_gone_leaves_its_counters(url, receiver):
    engine = create_engine(url("psycopg2"))
    kept = create_engine(url("psycopg2"))
    for each in (engine, kept):
        poolwatch.watch(each, pool="web", socket=receiver.path)
        each.connect().close()
    receiver.pool(size=10)
    engine.dispose()
    del engine, each
    gc.collect()
    pool = receiver.pool(size=5)
    assert (count(pool["acquire"]), pool["opened"]) == (2, 2)
    kept.dispose()


def test_a_pool_class_of_ones_own_is_watched(plain, receiver):
    class Own(QueuePool):
        def recreate(self):
            return QueuePool(self._creator, pool_size=4, dialect=self._dialect)

    engine = plain(poolclass=Own)
    engine.connect().close()
    engine.dispose()
    engine.connect().close()
    receiver.pool(size=4, checked_in=1, acquire=lambda f: count(f) == 2)


def test_a_detached_connection_is_no_longer_the_pools(engine, receiver):
    with engine.connect() as connection:
        connection.detach()
        connection.execute(text("select 1"))
        receiver.pool(checked_in=0, checked_out=0, query=lambda f: count(f) == 1)


def test_a_restart_of_the_server_breaks_every_connection(plain, receiver, url):
    engine = plain(pool_size=5)
    held = [engine.connect() for _ in range(5)]
    pids = [one.execute(text("select pg_backend_pid()")).scalar() for one in held]
    for connection in held:
        connection.close()
    killer = create_engine(url("psycopg2"))
    with killer.connect() as connection:
        for pid in pids:
            connection.execute(text(f"select pg_terminate_backend({pid}, 10000)"))
    killer.dispose()
    with pytest.raises(exc.DBAPIError), engine.connect() as connection:
        connection.execute(text("select 1"))
    held = [engine.connect() for _ in range(5)]
    for connection in held:
        connection.close()
    receiver.pool(invalidated=5, opened=10, checked_in=5)


@pytest.mark.parametrize("poolclass", [QueuePool, NullPool, StaticPool])
def test_a_watched_pool_keeps_its_class(plain, receiver, poolclass):
    """Projects ask `type(engine.pool) is NullPool`, and make engines of another's class."""
    engine = plain(poolclass=poolclass)
    assert type(engine.pool) is poolclass
    engine.dispose()
    assert type(engine.pool) is poolclass


def test_an_engine_made_with_the_class_of_a_watched_pool_works_unwatched(engine, url, receiver):
    other = create_engine(url("psycopg2"), poolclass=type(engine.pool))
    with other.connect() as connection:
        assert connection.execute(text("select 1")).scalar() == 1
    other.dispose()
    engine.connect().close()
    receiver.pool(acquire=lambda f: count(f) == 1)


def test_an_engine_made_from_options_shares_its_parents_pool(engine, receiver):
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("select 1"))
    receiver.pool(size=2, query=lambda f: count(f) == 1)


def test_the_timeout_of_a_waiting_thread_is_the_applications_own(plain):
    engine = plain(pool_size=1, max_overflow=0, pool_timeout=0.05)
    raised = []

    def wait():
        try:
            engine.connect()
        except exc.TimeoutError as error:
            raised.append(str(error))

    with engine.connect():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert raised[0].startswith("QueuePool limit of size 1 overflow 0 reached")


class Odd(int):
    """A number that no encoder of JSON can be asked for, as those of numpy."""

    def __float__(self) -> float:
        raise OverflowError


@pytest.mark.parametrize(
    ("setting", "seconds"),
    [
        ("30", 30.0),
        (Decimal(30), 30.0),
        (Fraction(61, 2), 30.5),
        (0, 0.0),
        (None, None),
        (float("inf"), None),
        (float("nan"), None),
        (-1, None),
        ("soon", None),
        (Odd(30), None),
        (object(), None),
    ],
)
def test_an_odd_time_limit_silences_no_report(plain, receiver, setting, seconds):
    engine = plain(pool_size=2)
    engine.pool._timeout = setting
    engine.connect().close()
    # SQLAlchemy computes with it at each checkout.
    engine.pool._recycle = setting
    pool = receiver.settled()
    assert (pool["size"], pool["checked_in"]) == (2, 1)
    assert (pool.get("timeout"), pool.get("recycle")) == (seconds, seconds)


def test_a_size_that_is_no_whole_number_silences_no_report(plain, receiver):
    with plain(pool_size=Decimal(2), max_overflow=Fraction(3)).connect():
        receiver.pool(size=2, max_overflow=3, checked_out=1)


def test_a_pool_that_cannot_be_read_leaves_its_counters(plain, receiver):
    engine = plain(pool_size=2)
    engine.connect().close()
    engine.pool._max_overflow = "none"
    receiver.pool(size=None, opened=1)
