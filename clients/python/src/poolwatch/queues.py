"""Callers that wait for a place in a pool of SQLAlchemy, by the queue that they wait in.

Only a caller that really waits comes here: one that finds a connection, or may open one, pays
nothing.
"""

from __future__ import annotations

from typing import Any, Callable

from poolwatch.gauges import queued
from poolwatch.ledger import Ledger
from poolwatch.wrappers import unwrap, wrap


def watch_queue(queue: Any, ledger: Ledger) -> None:
    if hasattr(queue, "not_empty"):
        wrap(queue.not_empty, "wait", lambda wait: _counted(wait, ledger))
    elif hasattr(queue, "get"):
        wrap(queue, "get", lambda get: _counted_get(queue, get, ledger))


def unwatch_queue(queue: Any) -> None:
    if hasattr(queue, "not_empty"):
        unwrap(queue.not_empty)
    elif hasattr(queue, "get"):
        unwrap(queue)


def _counted(wait: Callable[..., Any], ledger: Ledger) -> Callable[..., Any]:
    def wait_counted(timeout: float | None = None) -> Any:
        ledger.waits()
        try:
            return wait(timeout)
        finally:
            ledger.waited()

    return wait_counted


def _counted_get(queue: Any, get: Callable[..., Any], ledger: Ledger) -> Callable[..., Any]:
    """That of an asyncio pool, which has no condition to wait for."""

    def get_counted(block: bool = True, timeout: float | None = None) -> Any:
        if not block or queued(queue):
            return get(block, timeout)
        ledger.waits()
        try:
            return get(block, timeout)
        finally:
            ledger.waited()

    return get_counted
