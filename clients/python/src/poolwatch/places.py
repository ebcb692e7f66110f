"""The endpoint or task that the application is in, by its template: never a path.

Frameworks find a request's route after it has begun, so its name is asked for as late as can be:
when a connection is returned, or reported.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Callable

LONGEST_NAME = 100
# Any other is what somebody sent, and there is no end of such.
_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY")
)

Find = Callable[[], "str | None"]


class Place:
    """An endpoint or a task. `find` tells its name once it can be known.

    `name` is what is known of it so far. `request` is the one that is marked there: a name alone
    marks none.
    """

    __slots__ = ("_find", "name", "request")

    def __init__(
        self, name: str | None = None, find: Find | None = None, request: Any = None
    ) -> None:
        self.name = name
        self._find = find
        self.request = request

    @property
    def endpoint(self) -> str | None:
        self.find()
        return self.name

    def find(self) -> None:
        """Flask forgets its route before the request is over: what is known is kept."""
        if self.name is None and self._find is not None:
            self.name = self._found()

    def settle(self) -> None:
        """At its end: what it would be found by is let go."""
        self.name, self._find = self.endpoint, None

    def _found(self) -> str | None:
        try:
            name = self._find() if self._find is not None else None
        except Exception:
            return None
        return name[:LONGEST_NAME] if name else None

    def rename(self, name: str | None) -> str | None:
        before, self.name = self.name, name
        return before


place: ContextVar[Place | None] = ContextVar("poolwatch_place", default=None)
current_place = place.get


class Named:
    """Until the block ends, or for good where there is none."""

    def __init__(self, name: str) -> None:
        current = current_place()
        # Other threads and tasks may be in the same place, if it is no request's.
        self._place = current if current is not None and current.request is not None else None
        self._token: Token[Place | None] | None = None
        self._before: str | None = None
        if self._place is None:
            self._token = place.set(Place(name[:LONGEST_NAME]))
        else:
            self._before = self._place.rename(name[:LONGEST_NAME])

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._place is not None:
            self._place.rename(self._before)
        elif self._token is not None:
            place.reset(self._token)


def wsgi_endpoint(environ: dict[str, Any]) -> str | None:
    """By the route that Werkzeug (Flask) or Bottle has found."""
    route: Any = getattr(environ.get("werkzeug.request"), "url_rule", None)
    template = getattr(route or environ.get("bottle.route"), "rule", None)
    return _named(environ.get("REQUEST_METHOD"), template)


def asgi_endpoint(scope: dict[str, Any]) -> str | None:
    """By the route that Starlette or FastAPI has found, else by its view."""
    method = "WS" if scope["type"] == "websocket" else scope.get("method")
    template = getattr(scope.get("route"), "path", None)
    if template is not None:
        return _named(method, _mounted(scope) + template)
    view = scope.get("endpoint")
    name = getattr(view, "__qualname__", None)
    return _named(method, f"{view.__module__}.{name}" if view is not None and name else None)


def django_endpoint(request: Any) -> str | None:
    match = request.resolver_match
    return _named(request.method, f"/{match.route}" if match is not None else None)


def _mounted(scope: dict[str, Any]) -> str:
    """Where the route's application is mounted; nothing, if that has a parameter of the path."""
    prefix = scope.get("root_path", "")[len(scope.get("app_root_path", "")) :]
    values = {str(value) for value in scope.get("path_params", {}).values()}
    is_template = "app_root_path" in scope and values.isdisjoint(prefix.split("/"))
    return prefix if is_template else ""


def _named(method: str | None, template: Any) -> str | None:
    if not isinstance(template, str):
        return None
    known = method == "WS" or method in _METHODS
    return f"{method} {template}" if known else template
