"""Nothing that goes wrong in the client may reach the application."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from receiver import PATIENCE, count
from sqlalchemy import create_engine, exc, text

import poolwatch
from poolwatch import reporter as reporting
from poolwatch.reporter import reporter


def query(engine):
    with engine.begin() as connection:
        return connection.execute(text("select 1")).scalar()


def test_an_absent_sidecar_is_not_noticed(url, receiver, caplog):
    engine = create_engine(url("psycopg2"))
    poolwatch.watch(engine, pool="web", socket=f"{receiver.folder}/absent.sock")
    assert query(engine) == 1
    assert not reporter(f"{receiver.folder}/absent.sock", "pytest").report()
    assert not caplog.records
    engine.dispose()


def test_a_sidecar_that_returns_gets_everything_but_its_absence(engine, receiver):
    query(engine)
    receiver.pool(query=lambda figure: count(figure) == 1)
    receiver.stop()
    for _ in range(5):
        query(engine)
    receiver._open()
    receiver.pool(query=lambda figure: count(figure) == 6)


def test_a_peak_and_a_finding_wait_for_a_sidecar_that_is_away(engine, receiver):
    query(engine)
    receiver.settled()
    receiver.stop()
    sent = len(receiver.reports)
    with engine.connect() as first, engine.connect():
        first.execute(text("select generate_series(1, 1000)"))
    assert not reporter(receiver.path, "test").report()
    receiver._open()
    report = receiver.wait_for(lambda reports: reports[sent : sent + 1])[0]
    assert report["pools"][0]["peak"] == 2
    assert report["findings"][0]["kind"] == "unpaginated"


class Broken:
    def __getattr__(self, name):
        raise RuntimeError(name)


@pytest.mark.parametrize(
    "broken", ["asking", "holds", "acquire", "hold", "query", "commit", "reporter"]
)
def test_a_broken_client_raises_nothing(url, receiver, broken):
    engine = create_engine(url("psycopg2"))
    poolwatch.watch(engine, pool="web", socket=receiver.path, app=broken)
    setattr(engine.pool._poolwatch.ledger, broken, Broken())
    assert query(engine) == 1
    with pytest.raises(exc.DBAPIError), engine.connect() as connection:
        connection.execute(text("select 1 / 0"))
    assert query(engine) == 1
    engine.dispose()


def test_a_process_that_can_start_no_thread_still_reports(url, receiver, monkeypatch):
    """As under uWSGI without --enable-threads: the application's own thread sends."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    engine = create_engine(url("psycopg2"))
    poolwatch.watch(engine, pool="web", socket=receiver.path)
    monkeypatch.setattr(reporting.threading.Thread, "start", refuse)
    before = set(threading.enumerate())

    deadline = time.monotonic() + PATIENCE
    while len(receiver.reports) < 3 and time.monotonic() < deadline:
        query(engine)
    assert len(receiver.reports) >= 3
    assert set(threading.enumerate()) <= before
    engine.dispose()


def test_the_collector_may_return_a_connection_while_the_client_is_at_work(plain, receiver):
    """A leaked connection in a cycle comes back wherever the collector happens to run."""
    engine = plain(pool_size=20)

    def leak(_):
        cycle = [engine.connect()]
        cycle.append(cycle)

    threshold = gc.get_threshold()
    gc.set_threshold(5)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(leak, range(100)))
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    receiver.pool(checked_out=0, hold=lambda figure: count(figure) == 100, collected=100)


def test_only_what_the_collector_returned_is_collected(engine, receiver):
    query(engine)
    engine.raw_connection().close()
    with engine.connect() as connection:
        connection.detach()
    engine.connect()
    gc.collect()
    receiver.pool(collected=1, hold=lambda figure: count(figure) == 4)


class TooLongError(Exception):
    """As Celery's SoftTimeLimitExceeded, and RQ's JobTimeoutException."""


class Limit:
    def exceeded(self, number, frame):
        raise TooLongError


def test_what_a_signal_handler_raises_reaches_the_application(engine, receiver, monkeypatch):
    """Even when the signal comes while the client is at work."""
    query(engine)
    ledger = engine.pool._poolwatch.ledger
    before = signal.signal(signal.SIGUSR1, Limit().exceeded)
    observe = ledger.acquire.observe

    def interrupted(seconds):
        observe(seconds)
        os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.setattr(ledger.acquire, "observe", interrupted)
    try:
        with pytest.raises(TooLongError):
            query(engine)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_applications_errors_pass_unchanged(engine):
    with engine.connect() as connection, pytest.raises(exc.ProgrammingError) as raised:
        connection.execute(text("select nothing from nowhere"))
    assert "nowhere" in str(raised.value.orig)


def test_an_unreadable_period_is_the_default(monkeypatch, receiver):
    monkeypatch.setenv("POOLWATCH_PERIOD", "often")
    assert reporting.Reporter(receiver.path, "x").period == 1.0


def test_no_descriptor_stays_open_between_reports(engine, receiver):
    query(engine)
    each = reporter(receiver.path, "test")
    each.report()
    with each._turn:
        before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(20):
        each.report()
    with each._turn:
        assert len(os.listdir("/proc/self/fd")) == len(before)
