"""One request or task of the application: what it does on many connections is judged as one."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Callable

from poolwatch.statement_runs import StatementRuns

logger = logging.getLogger("poolwatch")


class Request(StatementRuns):
    """What one request or task ran, and what is to be done when it ends."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        self._ends.append(call)

    def end(self) -> None:
        for call in self._ends:
            call()


_current: ContextVar[Request | None] = ContextVar("poolwatch_request", default=None)
current_request = _current.get


@contextmanager
def request() -> Iterator[None]:
    """Marks a request or a task. One within another belongs to it."""
    if _current.get() is not None:
        yield
        return
    done = Request()
    token = _current.set(done)
    try:
        yield
    finally:
        _current.reset(token)
        _judge(done)


def _judge(done: Request) -> None:
    from poolwatch.ledger import judge  # noqa: PLC0415

    try:
        done.end()
        if done.repeated:
            judge(done)
    except Exception:
        logger.debug("a request was not judged", exc_info=True)


class WSGIMiddleware:
    """`app = poolwatch.WSGIMiddleware(app)`: each request is judged as one."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with request():
            return self.app(environ, start_response)


class ASGIMiddleware:
    """`app = poolwatch.ASGIMiddleware(app)`, or `app.add_middleware(poolwatch.ASGIMiddleware)`."""

    def __init__(self, app: Callable[..., Awaitable[Any]]) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        with request():
            await self.app(scope, receive, send)
