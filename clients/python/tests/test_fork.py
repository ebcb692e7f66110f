from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from receiver import PATIENCE, count, instances, total
from sqlalchemy import create_engine, text

import poolwatch
from poolwatch.reporter import reporter

FORKS = 200
AT_ONCE = 10


def query(engine, times=1):
    for _ in range(times):
        with engine.connect() as connection:
            connection.execute(text("select 1"))


@pytest.fixture
def engine(url, receiver):
    made = create_engine(url("psycopg2"), pool_size=5)
    yield poolwatch.watch(made, pool="web", socket=receiver.path, app="test")
    made.dispose()


def in_child(work):
    """The child's exit status is 0 only if `work` came to its end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def succeeded(pid, within=PATIENCE):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def test_200_forks_under_busy_threads_never_hang_and_count_exactly(engine, receiver):
    stop = threading.Event()
    each = reporter(receiver.path, "test")

    def busy():
        while not stop.is_set():
            query(engine)

    def child():
        engine.dispose(close=False)
        query(engine, 3)
        each.close()

    ended = []
    with ThreadPoolExecutor(4) as threads:
        working = [threads.submit(busy) for _ in range(4)]
        for _ in range(FORKS // AT_ONCE):
            pids = [in_child(child) for _ in range(AT_ONCE)]
            ended += [succeeded(pid) for pid in pids]
        stop.set()
    assert all(one.exception() is None for one in working)
    assert ended == [True] * FORKS
    byes = receiver.wait_for(
        lambda reports: len(final_reports(reports)) == FORKS and final_reports(reports)
    )
    assert total(byes, "query") == 3 * FORKS
    assert total(byes, "inherited") == 0
    assert len({report["pid"] for report in byes}) == FORKS


def final_reports(reports):
    """Those of the children: the parent sends one at each fork, and comes back."""
    newest = instances(reports).values()
    return [report for report in newest if report["bye"] and report["pid"] != os.getpid()]


def test_a_child_starts_from_zero_under_a_name_of_its_own(engine, receiver):
    query(engine, 5)
    parent = receiver.wait_for(lambda reports: reports[-1:])[0]

    def child():
        engine.dispose(close=False)
        query(engine)
        reporter(receiver.path, "test").close()

    assert succeeded(in_child(child))
    (bye,) = receiver.wait_for(final_reports)
    assert bye["inst"] != parent["inst"]
    assert bye["pid"] != parent["pid"]
    assert count(bye["pools"][0]["query"]) == 1
    assert count(instances(receiver.reports)[parent["inst"]]["pools"][0]["query"]) == 5


def test_a_child_that_uses_its_parents_connections_is_detected(engine, receiver):
    with engine.connect(), engine.connect():
        pass

    def child():
        query(engine)
        reporter(receiver.path, "test").close()

    assert succeeded(in_child(child))
    (bye,) = receiver.wait_for(final_reports)
    assert bye["pools"][0]["inherited"] == 2


def test_a_child_that_disposes_first_inherits_nothing(engine, receiver):
    query(engine)

    def child():
        engine.dispose(close=False)
        query(engine)
        reporter(receiver.path, "test").close()

    assert succeeded(in_child(child))
    (bye,) = receiver.wait_for(final_reports)
    assert bye["pools"][0]["inherited"] == 0


def final_report_of_a_child_that_disposes(engine, receiver, uses):
    def child():
        parents = engine.pool
        engine.dispose(close=False)
        query(uses)
        reporter(receiver.path, "test").close()
        assert parents is not engine.pool

    assert succeeded(in_child(child))
    (bye,) = receiver.wait_for(final_reports)
    return bye


def test_a_child_that_disposes_first_tells_its_own_sessions_alone(engine, receiver):
    with engine.connect(), engine.connect():
        pass

    bye = final_report_of_a_child_that_disposes(engine, receiver, uses=engine)
    assert len(bye["pools"][0]["pids"]) == 1


def test_a_child_that_disposes_of_one_engine_keeps_what_it_inherited_of_another(
    engine, url, receiver
):
    other = create_engine(url("psycopg2"), pool_size=5)
    poolwatch.watch(other, pool="web", socket=receiver.path, app="test")
    # So that the listeners' pool is not the one that is disposed of.
    engine.dispose()
    with engine.connect(), other.connect() as kept:
        expected = kept.connection.dbapi_connection.info.backend_pid

    bye = final_report_of_a_child_that_disposes(engine, receiver, uses=other)
    assert bye["pools"][0]["pids"] == [expected]
    other.dispose()


def test_a_child_that_uses_no_connection_reports_nothing(engine, receiver):
    query(engine)
    assert succeeded(in_child(reporter(receiver.path, "test").close))
    query(engine)
    receiver.settled()
    assert {report["pid"] for report in receiver.reports} == {os.getpid()}


def work(engine):
    engine.dispose(close=False)
    query(engine, 7)


def test_a_child_that_ends_with_os_exit_says_bye(engine, receiver):
    """As RQ's horses do."""

    def child():
        engine.dispose(close=False)
        query(engine, 3)
        os._exit(0)

    assert succeeded(in_child(child))
    (bye,) = receiver.wait_for(final_reports)
    assert count(bye["pools"][0]["hold"]) == 3


def test_a_child_that_raises_its_own_sigterm_says_bye(engine, receiver):
    """As uvicorn's workers do once they have shut down."""

    def child():
        engine.dispose(close=False)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        query(engine, 3)
        signal.raise_signal(signal.SIGTERM)

    assert not succeeded(in_child(child))
    (bye,) = receiver.wait_for(final_reports)
    assert count(bye["pools"][0]["hold"]) == 3


def test_a_multiprocessing_child_says_bye(engine, receiver):
    child = multiprocessing.get_context("fork").Process(target=work, args=(engine,))
    child.start()
    child.join()
    (bye,) = receiver.wait_for(final_reports)
    assert (bye["pid"], count(bye["pools"][0]["query"])) == (child.pid, 7)


def test_a_celery_prefork_child_says_bye(engine, receiver):
    billiard = pytest.importorskip("billiard")
    child = billiard.Process(target=work, args=(engine,))
    child.start()
    child.join()
    (bye,) = receiver.wait_for(final_reports)
    assert (bye["pid"], count(bye["pools"][0]["query"])) == (child.pid, 7)


def test_a_parent_has_no_thread_of_the_client_while_it_forks(engine, receiver):
    query(engine)
    assert "poolwatch" in [thread.name for thread in threading.enumerate()]
    assert succeeded(in_child(lambda: None))
    assert "poolwatch" not in [thread.name for thread in threading.enumerate()]


def test_a_parent_that_only_preloads_says_bye_and_comes_back_when_it_works(engine, receiver):
    query(engine)
    assert succeeded(in_child(lambda: None))
    own = receiver.wait_for(lambda reports: reports[-1]["bye"] and reports[-1])
    assert (own["pid"], count(own["pools"][0]["hold"])) == (os.getpid(), 1)
    query(engine)
    receiver.pool(hold=lambda figure: count(figure) == 2)
    back = receiver.reports[-1]
    assert (back["inst"], back["bye"]) == (own["inst"], False)
    assert back["seq"] > own["seq"]
    assert back["pools"][0]["inherited"] == 0


def test_a_parent_that_holds_a_connection_goes_on_reporting(engine, receiver):
    with engine.connect():
        assert succeeded(in_child(lambda: None))
        assert receiver.settled()["checked_out"] == 1
    assert not any(report["bye"] for report in receiver.reports)


def test_an_interpreter_says_bye_at_its_exit(url, receiver):
    program = f"""
        import poolwatch
        from sqlalchemy import create_engine, text
        engine = create_engine({url("psycopg2")!r})
        poolwatch.watch(engine, pool="web", socket={receiver.path!r})
        with engine.connect() as connection:
            connection.execute(text("select 1"))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
    (bye,) = receiver.wait_for(final_reports)
    assert count(bye["pools"][0]["query"]) == 1
