"""What a thousand engines under one name cost, as an application with a database a tenant has them.

    python benchmarks/tenants.py [ENGINES]

The collector of the interpreter is off: its passes over so many objects would be most of it.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from time import process_time, thread_time

from overhead import sidecar
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

import poolwatch
from poolwatch import settings
from poolwatch.reporter import reporter

REPORTS = 50


def seconds(work: Callable[[], object]) -> float:
    started = process_time()
    work()
    return process_time() - started


def measure(path: str, engines: int) -> None:
    made: list[Engine] = []

    def make() -> None:
        made.extend(create_engine("sqlite://", poolclass=QueuePool) for _ in range(engines))

    def watch() -> None:
        for each in made:
            poolwatch.watch(each, "tenants", path)

    def use() -> None:
        for each in made:
            each.connect().close()

    def dispose() -> None:
        for each in made:
            each.dispose()

    for step in (make, watch, use, dispose):
        print(f"| {step.__name__} one | {seconds(step) / engines * 1e6:.0f} µs |")
    print(f"| one report of all | {best_report(path) * 1e3:.2f} ms |")


def best_report(path: str) -> float:
    each = reporter(path, settings.app_name(None))
    rounds = []
    for _ in range(REPORTS):
        started = thread_time()
        each.report()
        rounds.append(thread_time() - started)
    return min(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engines", nargs="?", type=int, default=1000)
    chosen = parser.parse_args()
    gc.disable()
    with sidecar() as path:
        print(f"| {chosen.engines} engines | CPU |\n| --- | --- |")
        measure(path, chosen.engines)


if __name__ == "__main__":
    main()
