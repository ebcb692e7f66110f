"""`?plugin=poolwatch` in a database URL: watching with no change of code."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import URL, CreateEnginePlugin, Engine

from poolwatch.attach import watch

OPTIONS = ("poolwatch_pool", "poolwatch_socket", "poolwatch_app")


class Plugin(CreateEnginePlugin):
    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        self.pool, self.socket, self.app = (_last(url.query.get(option)) for option in OPTIONS)

    def update_url(self, url: URL) -> URL:
        return url.difference_update_query(OPTIONS)

    def engine_created(self, engine: Engine) -> None:
        watch(engine, self.pool, self.socket, self.app)


def _last(values: Any) -> str | None:
    """An option given twice is a tuple."""
    value: str | None = values[-1] if isinstance(values, tuple) else values
    return value
