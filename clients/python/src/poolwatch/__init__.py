"""Reports each worker's connection pool to the poolwatch sidecar, over a Unix datagram socket."""

from __future__ import annotations

from poolwatch.attach import unwatch, watch
from poolwatch.ignored import ignore
from poolwatch.requests import ASGIMiddleware, WSGIMiddleware, endpoint, request
from poolwatch.tasks import mark_celery_tasks

__all__ = [
    "ASGIMiddleware",
    "WSGIMiddleware",
    "__version__",
    "endpoint",
    "ignore",
    "mark_celery_tasks",
    "request",
    "unwatch",
    "watch",
    "watch_psycopg_pool",
]
# Named so before `watch` took every kind of pool.
watch_psycopg_pool = watch
__version__ = "0.1.0"
