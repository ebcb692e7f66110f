"""The four health endpoints. Each answers for the one worker that was asked."""

import os
import resource
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from flask import Blueprint
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from redditbot.models import AIResponse, AnalyticsEvent, MatchedPost
from redditbot.session import (
    SessionLocal,
    check_database_health,
    get_connection_pool_stats,
    pool_is_full,
)

routes = Blueprint("health", __name__, url_prefix="/health")
started = time.monotonic()


@routes.get("")
def health() -> dict[str, Any]:
    return {
        "status": "healthy",
        "service": "reddit-bot",
        "worker_pid": os.getpid(),
        "uptime_seconds": uptime(),
    }


@routes.get("/ready")
def ready() -> tuple[dict[str, Any], int]:
    """503 only when the database does not answer: a full pool keeps its worker in service."""
    answer = check_database_health()
    return answer, 503 if answer["database"] == "unreachable" else 200


@routes.get("/detailed")
def detailed() -> dict[str, Any]:
    answer = check_database_health()
    if answer["database"] == "connected":
        answer["recent_activity"] = recent_activity()
    answer["resources"] = {
        # Linux counts in KiB.
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "cpu_seconds": round(time.process_time(), 2),
        "load_average": os.getloadavg(),
        "threads": threading.active_count(),
    }
    return {**answer, "worker_pid": os.getpid(), "uptime_seconds": uptime()}


@routes.get("/database/pool")
def database_pool() -> dict[str, Any]:
    return {**get_connection_pool_stats(), "worker_pid": os.getpid()}


def recent_activity() -> dict[str, Any]:
    """What came in during the last day; empty when the pool filled up meanwhile."""
    if pool_is_full(get_connection_pool_stats()):
        return {}
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    times = {
        "posts": MatchedPost.created_at,
        "responses": AIResponse.created_at,
        "events": AnalyticsEvent.created_at,
    }
    counts = [
        select(func.count()).where(created_at >= yesterday).scalar_subquery().label(name)
        for name, created_at in times.items()
    ]
    try:
        with SessionLocal() as session:
            return dict(session.execute(select(*counts)).one()._mapping)
    except SQLAlchemyError:
        return {}


def uptime() -> float:
    return round(time.monotonic() - started, 1)
