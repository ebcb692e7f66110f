from __future__ import annotations

import multiprocessing
import os
import socket

from receiver import Receiver, instances
from sqlalchemy import text

from poolwatch.reporter import Reporter, reporter, send

SENDERS = 64
ROUNDS = 3
FIELDS = {
    "v", "inst", "pid", "seq", "period", "app", "bye",
    "bounds", "hold_bounds", "acquire_bounds", "pools", "findings",
}  # fmt: skip
POOL_FIELDS = {
    "name", "size", "max_overflow", "checked_in", "checked_out", "pending", "pending_peak",
    "connecting", "peak", "oldest", "pre_ping", "timeout",
    "timeouts", "acquire_errors", "abandoned", "collected", "opened", "invalidated", "inherited",
    "query_errors", "n_plus_one", "unpaginated", "query", "commit", "acquire", "hold",
    "pids", "targets",
}  # fmt: skip
BOUNDS = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10,
]  # fmt: skip


def query(engine):
    with engine.connect() as connection:
        connection.execute(text("select 1"))


def test_a_report_has_the_fields_of_the_protocol(engine, receiver):
    query(engine)
    # The first may have gone out before the connection was made.
    receiver.pool("web", pids=lambda pids: len(pids) == 1)
    report = receiver.reports[-1]
    assert set(report) == FIELDS
    assert set(report["pools"][0]) == POOL_FIELDS
    assert report["bounds"] == BOUNDS
    assert report["hold_bounds"] == [*BOUNDS, 30, 60, 120, 300, 600]
    assert report["acquire_bounds"] == [0.0001, *report["hold_bounds"]]
    assert (report["v"], report["bye"], report["pid"]) == (1, False, os.getpid())
    assert set(report["pools"][0]["query"]) == {"sum", "counts"}
    assert max(receiver.sizes) < 2048


def test_reports_are_numbered_and_counters_never_fall(engine, receiver):
    for _ in range(5):
        query(engine)
        receiver.settled()
    numbers = [report["seq"] for report in receiver.reports]
    assert numbers == sorted(set(numbers))
    opened = [report["pools"][0]["opened"] for report in receiver.reports]
    assert opened == sorted(opened)


def report_at_once(path, start):
    each = Reporter(path, "crowd")
    # As long as it takes: the machine may be busy.
    each.period = 30.0
    for _ in range(ROUNDS):
        start.wait()
        each.report()


def test_64_processes_sending_at_the_same_instant_lose_nothing():
    """A socket's queue holds 10: without the time to wait for a slow reader a quarter is lost."""
    receiver = Receiver(pace=0.0002)
    forking = multiprocessing.get_context("fork")
    start = forking.Barrier(SENDERS)
    crowd = [
        forking.Process(target=report_at_once, args=(receiver.path, start)) for _ in range(SENDERS)
    ]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    receiver.wait_for(lambda reports: len(reports) == SENDERS * ROUNDS)
    assert len(instances(receiver.reports)) == SENDERS
    receiver.close()


def test_a_sidecar_that_reads_nothing_delays_a_report_and_no_caller(engine, receiver):
    query(engine)
    receiver.stop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(receiver.path)
        while send(receiver.path, b"{}", 0.0):
            pass
        assert not reporter(receiver.path, "test").report()
        query(engine)
    os.unlink(receiver.path)


def test_after_its_bye_an_instance_is_silent(engine, receiver):
    query(engine)
    each = reporter(receiver.path, "test")
    each.close()
    each.close()
    assert not each.report()
    report = receiver.wait_for(lambda reports: [one for one in reports if one["bye"]])
    assert len(report) == 1
    assert receiver.reports[-1]["bye"]


def test_a_name_that_is_not_utf_8_is_sent_readably(receiver):
    broken = os.fsdecode(b"caf\xe9.py")
    assert Reporter(receiver.path, broken).report()
    report = receiver.wait_for(lambda reports: reports[-1:])[0]
    assert report["app"] == "caf?.py"
