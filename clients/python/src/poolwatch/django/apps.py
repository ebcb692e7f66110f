"""What Django runs once it is set up."""

from __future__ import annotations

import logging

from django.apps import AppConfig
from django.conf import settings
from django.db import connections

from poolwatch.django.connections import watch_all

MIDDLEWARE = "poolwatch.django.middleware.mark_requests"
logger = logging.getLogger("poolwatch")


class PoolwatchConfig(AppConfig):  # type: ignore[misc]
    name = "poolwatch.django"
    label = "poolwatch"
    verbose_name = "poolwatch"

    def ready(self) -> None:
        try:
            watch_all(connections)
            if MIDDLEWARE not in settings.MIDDLEWARE:
                settings.MIDDLEWARE = [MIDDLEWARE, *settings.MIDDLEWARE]
        except Exception:
            logger.warning("Django is not watched", exc_info=True)
