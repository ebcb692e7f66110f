#!/usr/bin/env python3
"""Puts the example application under load, phase by phase. Needs nothing but Python."""

import argparse
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Optional

from redditload.phases import PHASES
from redditload.run import Run
from redditload.workers import FAILURES, Address, Application, Refused

# A phase and its own seconds, if it has any.
Wanted = tuple[str, Optional[float]]


def main() -> int:
    arguments = read_arguments()
    application = Application(arguments.target)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if not application.wait_for_workers(arguments.wait, stop):
        return (
            0
            if stop.is_set()
            else complain("no worker of the application answers; its RUN_DIR must be readable")
        )
    application.put_right()
    for name, seconds in phases_to_run(arguments.phases, arguments.cycles):
        if stop.is_set():
            break
        try:
            run_phase(application, name, seconds or arguments.phase_seconds, stop)
        except (*FAILURES, Refused) as error:
            complain(f"{name} could not start: {error!r}")
            stop.wait(1)
    return 0


def run_phase(application: Application, name: str, seconds: float, stop: threading.Event) -> None:
    workers = application.wait_for_workers(10, stop)
    if not workers:
        return
    phase = PHASES[name]
    print(f"{name} ({seconds:g} s): {phase.happening}. Look at: {phase.look_at}.", flush=True)
    run = Run(application, workers, seconds, stop)
    run.drive(phase.tasks(run))
    if run.failures and not stop.is_set():
        complain(f"{name}: {run.failures} requests failed, the last with {run.last_failure}")


def phases_to_run(phases: list[Wanted], cycles: int) -> Iterator[Wanted]:
    """The phases in order, so many times; 0 is for ever."""
    return itertools.chain.from_iterable(itertools.repeat(phases, *([cycles] if cycles else [])))


def complain(message: str) -> int:
    print(f"load: {message}", file=sys.stderr, flush=True)
    return 1


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--target",
        type=address,
        default="http://127.0.0.1:8000",
        help="http://127.0.0.1:PORT or unix:PATH",
    )
    parser.add_argument(
        "--phases",
        type=phases,
        default=os.environ.get("LOAD_PHASES", ",".join(PHASES)),
        help=f"by comma, each as NAME or NAME:SECONDS, of {','.join(PHASES)}; "
        "default $LOAD_PHASES, else all",
    )
    parser.add_argument(
        "--phase-seconds", type=positive, default=40.0, help="how long each phase lasts; default 40"
    )
    parser.add_argument(
        "--cycles",
        type=cycles,
        default=1,
        help="how many times all phases run, or forever; default 1",
    )
    parser.add_argument(
        "--wait",
        type=positive,
        default=30.0,
        help="seconds for the application to come up; default 30",
    )
    return parser.parse_args()


def address(given: str) -> Address:
    try:
        return Address(given)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def phases(given: str) -> list[Wanted]:
    wanted: list[Wanted] = []
    for part in given.split(","):
        name, _, seconds = part.partition(":")
        if name not in PHASES:
            raise argparse.ArgumentTypeError(f"no phase {name!r}; there are {', '.join(PHASES)}")
        wanted.append((name, positive(seconds) if seconds else None))
    return wanted


def positive(given: str) -> float:
    value = float(given)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError("must be above 0 and at most a day")
    return value


def cycles(given: str) -> int:
    if given == "forever":
        return 0
    if not given.isdigit() or int(given) == 0:
        raise argparse.ArgumentTypeError("must be a whole number from 1, or forever")
    return int(given)


if __name__ == "__main__":
    sys.exit(main())
