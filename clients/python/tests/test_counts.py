from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from receiver import count
from sqlalchemy import create_engine, event, exc, text

import poolwatch
from poolwatch.reporter import reporter


def at_least(floor):
    return lambda value: value >= floor


def counts(figure_count):
    return lambda figure: count(figure) == figure_count


def query(engine):
    with engine.connect() as connection:
        connection.execute(text("select 1"))


def transaction(engine):
    with engine.begin() as connection:
        connection.execute(text("select 1"))
        connection.execute(text("select 2"))


def test_every_call_of_many_threads_is_counted_exactly(url, driver, receiver):
    engine = create_engine(url(driver), pool_size=3, max_overflow=1)
    poolwatch.watch(engine, pool="web", socket=receiver.path)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: transaction(engine), range(800)))
    pool = receiver.settled()
    assert count(pool["query"]) == 1600
    assert count(pool["commit"]) == count(pool["acquire"]) == count(pool["hold"]) == 800
    assert (pool["checked_out"], pool["pending"], pool["oldest"]) == (0, 0, 0.0)
    assert pool["hold"]["sum"] >= pool["query"]["sum"] + pool["commit"]["sum"] > 0
    assert pool["opened"] >= 1
    engine.dispose()


def test_the_dialects_own_statements_are_not_counted(engine, receiver):
    with engine.connect():
        pass
    pool = receiver.settled()
    assert count(pool["query"]) == count(pool["commit"]) == 0
    assert count(pool["acquire"]) == 1


def test_pings_are_not_counted(url, driver, receiver):
    engine = create_engine(url(driver), pool_pre_ping=True)
    poolwatch.watch(engine, pool="web", socket=receiver.path)
    for _ in range(5):
        with engine.connect() as connection:
            connection.execute(text("select 1"))
    assert count(receiver.settled()["query"]) == 5
    engine.dispose()


def test_the_timeout_and_the_age_limit_of_a_pool_are_reported(url, driver, receiver):
    engine = create_engine(url(driver), pool_timeout=12.5, pool_recycle=1800)
    poolwatch.watch(engine, pool="web", socket=receiver.path)
    with engine.connect():
        pass
    pool = receiver.settled()
    assert (pool["timeout"], pool["recycle"]) == (12.5, 1800)
    engine.dispose()


def test_a_failed_statement_is_counted_and_its_duration_kept(engine, receiver):
    with engine.connect() as connection, pytest.raises(exc.DBAPIError):
        connection.execute(text("select 1 / 0"))
    pool = receiver.settled()
    assert (pool["query_errors"], count(pool["query"])) == (1, 1)


def test_a_statement_for_many_rows_is_one(engine, receiver):
    with engine.begin() as connection:
        connection.execute(text("create temp table numbers (n int)"))
        rows = [{"n": n} for n in range(5)]
        connection.execute(text("insert into numbers values (:n)"), rows)
    assert count(receiver.settled()["query"]) == 2


def test_statements_without_parameters_and_by_the_driver_are_counted(engine, receiver):
    with engine.connect() as connection:
        connection.exec_driver_sql("select 1")
        connection.execution_options(no_parameters=True).exec_driver_sql("select '%'")
    assert count(receiver.settled()["query"]) == 2


def test_a_detached_connections_statements_are_counted(engine, receiver):
    with engine.connect() as connection:
        connection.detach()
        connection.execute(text("select 1"))
    pool = receiver.settled()
    assert (count(pool["query"]), count(pool["hold"]), pool["checked_out"]) == (1, 1, 0)


def test_a_timeout_is_counted_and_its_wait_measured(engine, receiver):
    held = [engine.connect() for _ in range(3)]
    with pytest.raises(exc.TimeoutError):
        engine.connect()
    pool = receiver.settled()
    assert (pool["timeouts"], pool["acquire_errors"], pool["checked_out"]) == (1, 0, 3)
    assert count(pool["acquire"]) == 4
    assert pool["acquire"]["sum"] >= 0.3
    for connection in held:
        connection.close()


def test_a_caller_that_connects_is_not_pending(plain, receiver):
    """A worker that starts opens connections: nobody waits for a place."""
    engine = plain(pool_size=3)
    connected = threading.Event()
    event.listen(engine.pool, "connect", lambda *_: connected.wait(20))
    callers = [threading.Thread(target=query, args=(engine,)) for _ in range(3)]
    for caller in callers:
        caller.start()
    receiver.pool(pending=0, connecting=3)
    connected.set()
    for caller in callers:
        caller.join()
    pool = receiver.pool(pending=0, connecting=0, checked_out=0)
    assert pool["pending_peak"] == 0
    assert all(one["pools"][0]["pending_peak"] == 0 for one in receiver.reports)


def test_callers_that_waited_between_two_reports_leave_a_peak(plain, receiver):
    engine = plain(pool_size=1, max_overflow=0)
    query(engine)
    each = reporter(receiver.path, "test")
    with each._turn:  # no report goes out meanwhile
        ledger = engine.pool._poolwatch.ledger
        with engine.connect():
            callers = [threading.Thread(target=query, args=(engine,)) for _ in range(4)]
            for caller in callers:
                caller.start()
            while len(ledger.pending) < 4:
                time.sleep(0.001)
        for caller in callers:
            caller.join()
    receiver.wait_for(lambda reports: any(r["pools"][0]["pending_peak"] == 4 for r in reports))
    receiver.pool(pending=0, pending_peak=0)


def test_a_caller_that_waits_is_pending(plain, receiver):
    engine = plain(pool_size=1, max_overflow=0, pool_timeout=30)
    held = engine.connect()
    waiting = threading.Thread(target=lambda: engine.connect().close())
    waiting.start()
    receiver.pool(pending=1, connecting=0, checked_out=1)
    held.close()
    waiting.join()
    receiver.pool(pending=0, checked_out=0, timeouts=0)


def test_a_refused_connection_is_an_acquire_error(url, driver, receiver):
    engine = create_engine(url(driver).replace("/postgres?", "/absent?"))
    poolwatch.watch(engine, pool="web", socket=receiver.path)
    with pytest.raises(exc.OperationalError):
        engine.connect()
    pool = receiver.settled()
    assert (pool["acquire_errors"], pool["opened"], count(pool["acquire"])) == (1, 0, 1)
    assert (pool["pending"], pool["checked_out"]) == (0, 0)


def test_a_lost_connection_is_invalidated_and_opened_again(engine, receiver):
    for _ in range(2):
        with engine.connect() as connection:
            connection.invalidate()
    pool = receiver.settled()
    assert (pool["opened"], pool["invalidated"], pool["checked_out"]) == (2, 2, 0)


def test_a_connection_the_server_killed_is_invalidated(engine, receiver):
    with engine.connect() as victim, engine.connect() as killer:
        pid = victim.execute(text("select pg_backend_pid()")).scalar()
        killer.execute(text("select pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(exc.DBAPIError):
            victim.execute(text("select 1"))
    pool = receiver.settled()
    assert (pool["invalidated"], pool["query_errors"]) == (1, 1)
    assert count(pool["query"]) == 3


def test_the_oldest_checkout_grows_until_it_is_returned(engine, receiver):
    with engine.connect():
        receiver.pool(oldest=at_least(0.3))
    receiver.pool(oldest=0.0)


def test_a_burst_between_two_reports_shows_as_the_peak(engine, receiver):
    with engine.connect(), engine.connect(), engine.connect():
        pass
    receiver.wait_for(lambda reports: any(one["pools"][0]["peak"] == 3 for one in reports))
    receiver.pool(peak=0)


def test_a_leaked_connection_is_returned_by_the_collector(engine, receiver):
    engine.connect().connection.leaked = "only the collector closes this"
    pool = receiver.pool(checked_out=0, hold=counts(1))
    assert count(pool["acquire"]) == 1


def test_figures_follow_the_counts_of_their_buckets(engine, receiver):
    with engine.connect() as connection:
        connection.execute(text("select pg_sleep(0.06)"))
    pool = receiver.settled()
    bounds = receiver.reports[-1]["bounds"]
    assert sum(pool["query"]["counts"][bounds.index(0.075) :]) == 1
    assert len(pool["query"]["counts"]) == len(bounds) + 1
    assert len(pool["acquire"]["counts"]) == len(receiver.reports[-1]["acquire_bounds"]) + 1


def test_what_a_listener_runs_in_place_of_the_dialect_is_counted_once(engine, receiver):
    """`do_execute` that returns True has run it."""

    @event.listens_for(engine, "do_execute")
    def run_some(cursor, statement, parameters, context):
        if "itself" not in statement:
            return False
        cursor.execute(statement, parameters)
        return True

    with engine.begin() as connection:
        connection.execute(text("select 1"))
        connection.execute(text("select 'itself', pg_sleep(0.03)"))
        connection.execute(text("select 1500 as itself, generate_series(1, 1500)")).all()
    for failing in ("select 1 / 0", "select 'itself', 1 / 0"):
        with pytest.raises(exc.DBAPIError), engine.connect() as connection:
            connection.execute(text(failing))
    pool = receiver.pool(query=counts(5), hold=counts(3))
    assert (pool["query_errors"], pool["unpaginated"], count(pool["commit"])) == (2, 1, 1)
    assert pool["query"]["sum"] >= 0.03
    poolwatch.unwatch(engine)
    with engine.connect() as connection:
        connection.execute(text("select 'itself'"))
    assert receiver.settled()["query_errors"] == 2
    assert not [name for name in vars(engine.dialect) if "poolwatch" in name]
