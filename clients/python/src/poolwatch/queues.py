"""Callers that wait for a place in a pool, by the queue that they wait in.

Only a caller that really waits comes here: one that finds a connection, or may open one, pays
nothing.
"""

from __future__ import annotations

from typing import Any, Callable

from poolwatch.gauges import queued
from poolwatch.ledger import Ledger


def watch_queue(queue: Any, ledger: Ledger) -> None:
    if hasattr(queue, "not_empty"):
        queue.not_empty.wait = _counted(queue.not_empty.wait, ledger)
    elif hasattr(queue, "get"):
        queue.get = _counted_get(queue, ledger)


def _counted(wait: Callable[..., Any], ledger: Ledger) -> Callable[..., Any]:
    def wait_counted(timeout: float | None = None) -> Any:
        ledger.waits()
        try:
            return wait(timeout)
        finally:
            ledger.waited()

    return wait_counted


def _counted_get(queue: Any, ledger: Ledger) -> Callable[..., Any]:
    """That of an asyncio pool, which has no condition to wait for."""
    get = queue.get

    def get_counted(block: bool = True, timeout: float | None = None) -> Any:
        if not block or queued(queue):
            return get(block, timeout)
        ledger.waits()
        try:
            return get(block, timeout)
        finally:
            ledger.waited()

    return get_counted
