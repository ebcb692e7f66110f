"""Exceptions that the application's signal handlers raise while the client is at work.

Celery's soft time limit and RQ's timeout are such: the client swallows its own errors, never these.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Any


def pass_on(error: BaseException) -> None:
    """Raises `error` again if a signal handler raised it."""
    handlers = set(_handlers())
    if any(code in handlers for code in _codes(error.__traceback__)):
        raise error


def _codes(traceback: TracebackType | None) -> Iterator[CodeType]:
    while traceback is not None:
        yield traceback.tb_frame.f_code
        traceback = traceback.tb_next


def _handlers() -> Iterator[CodeType]:
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        while hasattr(handler, "func"):  # functools.partial
            handler = handler.func
        for function in (
            handler,
            getattr(handler, "__func__", None),
            vars(type(handler)).get("__call__"),
        ):
            code = getattr(function, "__code__", None)
            if code is not None:
                yield code
