"""Reports each worker's connection pool to the poolwatch sidecar, over a Unix datagram socket."""

from __future__ import annotations

from poolwatch.engines import watch
from poolwatch.psycopg_pools import watch_psycopg_pool
from poolwatch.requests import ASGIMiddleware, WSGIMiddleware, request

__all__ = [
    "ASGIMiddleware",
    "WSGIMiddleware",
    "__version__",
    "request",
    "watch",
    "watch_psycopg_pool",
]
__version__ = "0.1.0"
