"""What watching costs: a plain engine, poolwatch and OpenTelemetry in one run.

    python benchmarks/overhead.py                    # Python's cost alone: SQLite as a null driver
    python benchmarks/overhead.py postgresql+psycopg:///postgres?host=/tmp/cluster

Rounds are interleaved, so that a noisy machine disturbs all alike. `best` is the quickest round;
the median is of the differences within a round. `plain again` is a second engine that nothing
watches: its difference is the noise.
"""

from __future__ import annotations

import argparse
import gc
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from statistics import median
from time import perf_counter, process_time, thread_time
from typing import Any, Callable

import sqlalchemy
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

import poolwatch
from poolwatch import settings
from poolwatch.reporter import reporter

PLAIN = "plain"
Operation = Callable[[Engine, int], float]


# Without a server to wait for, the process's CPU time: what else runs on the machine does not show
# in it, and the reporter's thread, which fills the histograms, does.
clock = process_time


def query(engine: Engine, times: int) -> float:
    statement = text("select 1")
    with engine.connect() as connection:
        started = clock()
        for _ in range(times):
            connection.execute(statement).scalar()
        return clock() - started


def checkout(engine: Engine, times: int) -> float:
    started = clock()
    for _ in range(times):
        engine.pool.connect().close()
    return clock() - started


def checkout_in_a_request(engine: Engine, times: int) -> float:
    with poolwatch.request("GET /posts/{id}"):
        return checkout(engine, times)


def transaction(engine: Engine, times: int) -> float:
    statement = text("select 1")
    started = clock()
    for _ in range(times):
        with engine.begin() as connection:
            connection.execute(statement).scalar()
    return clock() - started


OPERATIONS: tuple[tuple[str, Operation], ...] = (
    ("query", query),
    ("checkout and return", checkout),
    ("checkout and return in a request", checkout_in_a_request),
    ("begin, query, commit", transaction),
)


def engines(url: str, path: str) -> dict[str, Engine]:
    def new() -> Engine:
        return create_engine(url, poolclass=QueuePool)

    made = {PLAIN: new(), "plain again": new(), "poolwatch": new()}
    poolwatch.watch(made["poolwatch"], pool="bench", socket=path)
    instrument = opentelemetry()
    if instrument is not None:
        made["OpenTelemetry"] = new()
        instrument(made["OpenTelemetry"])
    return made


def opentelemetry() -> Callable[[Engine], None] | None:
    """Its SDK as an application runs it, every span recorded, none exported."""
    try:
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor  # noqa: PLC0415
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    except ImportError:
        return None

    def instrument(engine: Engine) -> None:
        SQLAlchemyInstrumentor().instrument(
            engine=engine,
            tracer_provider=TracerProvider(),
            meter_provider=MeterProvider(),
            skip_dep_check=True,  # it does not yet admit SQLAlchemy 2.1, and works with it
        )
        confine(engine)

    return instrument


def confine(engine: Engine) -> None:
    """OpenTelemetry times `Engine.connect` of every engine; here it is to time its own alone."""
    traced: Any = Engine.connect
    Engine.connect = traced.__wrapped__  # type: ignore[method-assign]
    engine.connect = traced.__get__(engine, Engine)  # type: ignore[method-assign]


@contextmanager
def sidecar() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "poolwatch.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as incoming:
            incoming.bind(path)
            threading.Thread(target=drain, args=(incoming,), daemon=True).start()
            yield path


def drain(incoming: socket.socket) -> None:
    with suppress(OSError):
        while incoming.recv(1 << 18):
            pass


def measure(made: dict[str, Engine], operation: Operation, rounds: int, times: int) -> None:
    for engine in made.values():
        operation(engine, times)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for number in range(rounds):
        order = list(made) if number % 2 else list(reversed(made))
        gc.collect()
        for name in order:
            seconds[name].append(operation(made[name], times) / times)
    base = min(seconds[PLAIN])
    for name, each in seconds.items():
        best, usual = min(each), median(a - b for a, b in zip(each, seconds[PLAIN]))
        print(
            f"| {name} | {best * 1e6:.2f} | {(best - base) * 1e6:+.2f} "
            f"| {best / base:.2f} | {usual * 1e6:+.2f} |"
        )


def measure_report(path: str, times: int) -> None:
    each = reporter(path, settings.app_name(None))
    rounds = []
    for _ in range(times):
        started = thread_time()
        each.report()
        rounds.append(thread_time() - started)
    print(f"\none report: {min(rounds) * 1e6:.1f} µs of CPU, median {median(rounds) * 1e6:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?", default="sqlite://")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--times", type=int, default=2000)
    chosen = parser.parse_args()
    print(f"SQLAlchemy {sqlalchemy.__version__}, {chosen.rounds} rounds of {chosen.times}")
    global clock
    if not chosen.url.startswith("sqlite"):
        clock = perf_counter
    with sidecar() as path:
        made = engines(chosen.url, path)
        for title, operation in OPERATIONS:
            print(f"\n| {title} | best µs | added µs | ratio | median added µs |")
            print("| --- | --- | --- | --- | --- |")
            measure(made, operation, chosen.rounds, chosen.times)
        measure_report(path, 2000)


if __name__ == "__main__":
    main()
