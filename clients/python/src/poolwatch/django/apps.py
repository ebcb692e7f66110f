"""Each alias with `OPTIONS["pool"]` has a `psycopg_pool` in each process, made at its first use."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from poolwatch import settings
from poolwatch.attach import watch


class PoolwatchConfig(AppConfig):  # type: ignore[misc]
    name = "poolwatch.django"
    label = "poolwatch"
    verbose_name = "poolwatch"

    def ready(self) -> None:
        connection_created.connect(_watch, dispatch_uid="poolwatch")


def _watch(connection: Any, **_: Any) -> None:
    pool = getattr(connection, "pool", None)
    if pool is not None:
        name = None if connection.alias == "default" else connection.alias
        watch(pool, settings.pool_name(name))
