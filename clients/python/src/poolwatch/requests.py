"""One request or task of the application: what it does on many connections is judged as one, and
connections are told by it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Callable

from poolwatch.places import Find, Named, Place, asgi_endpoint, current_place, wsgi_endpoint
from poolwatch.places import place as current
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


def current_request() -> Request | None:
    place = current_place()
    return None if place is None else place.request


@contextmanager
def request(endpoint: str | None = None, *, find: Find | None = None) -> Iterator[None]:
    """Marks a request or a task. One within another belongs to it, and may name it.

    `endpoint` is a template, as `GET /posts/{id}`, or a task's name; `find` finds it later.
    """
    if current_request() is not None:
        with Named(endpoint) if endpoint else nullcontext():
            yield
        return
    done = Request()
    place = Place(endpoint, find, done)
    token = current.set(place)
    try:
        yield
    finally:
        current.reset(token)
        _judge(done)
        place.settle()


def endpoint(name: str) -> Named:
    """Names the endpoint or task that connections are taken for from now on: `GET /posts/{id}`.

    For the request that is marked, else for this thread or task of asyncio; as a `with` block until
    it ends. A template, never a path: each name is a label of metrics.
    """
    return Named(name)


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
        with request(find=lambda: wsgi_endpoint(environ)):
            place = current_place()
            answer = self.app(environ, start_response)
        name = place.endpoint if place is not None else None
        if name is None or hasattr(answer, "__len__") or _is_file(answer, environ):
            return answer
        return Streamed(answer, Place(name))


def _is_file(answer: Any, environ: dict[str, Any]) -> bool:
    """A file that the server sends by itself, if it gets what it gave the application."""
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(answer, wrapper)


class Streamed:
    """An answer that is made while it is sent: the connections that this takes are its own."""

    def __init__(self, answer: Iterable[bytes], place: Place) -> None:
        self._answer = answer
        self._place = place
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = current.set(self._place)
        try:
            if self._chunks is None:
                self._chunks = iter(self._answer)
            return next(self._chunks)
        finally:
            current.reset(token)

    def close(self) -> None:
        token = current.set(self._place)
        try:
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()
        finally:
            current.reset(token)


class ASGIMiddleware:
    """`app = poolwatch.ASGIMiddleware(app)`, or `app.add_middleware(poolwatch.ASGIMiddleware)`."""

    def __init__(self, app: Callable[..., Awaitable[Any]]) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        with request(find=lambda: asgi_endpoint(scope)):
            await self.app(scope, receive, send)
