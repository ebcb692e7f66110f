"""The engine, its pool, and what they say about themselves."""

import logging
import os
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import QueuePool

logger = logging.getLogger(__name__)

WARNING_PERCENT = 75
CRITICAL_PERCENT = 90


def database_url() -> URL:
    """DATABASE_URL as it is, with its `?plugin=…`; a driver is added where none is named."""
    address = os.environ.get("DATABASE_URL")
    if not address:
        raise RuntimeError("set DATABASE_URL, for example postgresql://localhost/redditbot")
    # make_url refuses "postgres://", which hosting services still hand out.
    if address.startswith("postgres://"):
        address = "postgresql" + address[len("postgres") :]
    url = make_url(address)
    # SQLAlchemy 2.0 would take psycopg2 here.
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def open_engine() -> Engine:
    """An engine that has not connected yet, so that it may be inherited across a fork."""
    return create_engine(
        database_url(),
        pool_size=int(os.environ.get("POOL_SIZE", 5)),
        max_overflow=int(os.environ.get("MAX_OVERFLOW", 15)),
        pool_recycle=int(os.environ.get("POOL_RECYCLE", 3600)),
        pool_timeout=float(os.environ.get("POOL_TIMEOUT", 30)),
        pool_pre_ping=True,
        # A fallback, so that an application_name in DATABASE_URL wins.
        connect_args={"fallback_application_name": "reddit-bot"},
    )


def log_pool_events(engine: Engine) -> None:
    """Say at DEBUG whenever a connection is made, taken or returned."""

    @event.listens_for(engine, "connect")
    def connected(*_: Any) -> None:
        logger.debug("Database connection established")

    @event.listens_for(engine, "checkout")
    def checked_out(*_: Any) -> None:
        logger.debug("Connection checked out from pool")

    @event.listens_for(engine, "checkin")
    def checked_in(*_: Any) -> None:
        logger.debug("Connection returned to pool")


engine = open_engine()
SessionLocal = sessionmaker(engine)

# Listeners cost a little at every checkout: they are only there when somebody reads them.
if logger.isEnabledFor(logging.DEBUG):
    log_pool_events(engine)


def get_connection_pool_stats() -> dict[str, Any]:
    """This worker's pool. Without a limit there is no capacity, and so no utilization."""
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    size, overflow_limit = pool.size(), pool._max_overflow
    # overflow() starts at -size, and checkedout() can read -1 after dispose().
    checked_in, checked_out = pool.checkedin(), max(0, pool.checkedout())
    stats: dict[str, Any] = {
        "pool_size": size,
        "max_overflow": overflow_limit,
        "checked_in": checked_in,
        "checked_out": checked_out,
        "overflow": max(0, pool.overflow()),
        "status": "healthy",
    }
    if size > 0 and overflow_limit >= 0:
        stats["capacity"] = size + overflow_limit
        percent = 100 * checked_out / stats["capacity"]
        stats["utilization_percent"] = round(percent, 1)
        stats["status"] = pool_status(percent)
    stats["recommendations"] = recommendations(stats)
    return stats


def pool_status(percent: float) -> str:
    if percent > CRITICAL_PERCENT:
        return "critical"
    return "warning" if percent >= WARNING_PERCENT else "healthy"


def recommendations(stats: dict[str, Any]) -> list[str]:
    if stats["status"] == "critical":
        return ["Pool nearly exhausted: look for sessions never closed, then raise max_overflow"]
    if stats["status"] == "warning":
        return ["Pool filling up: shorten what holds connections, or raise max_overflow"]
    if stats["overflow"] > 0:
        return ["Overflow connections are closed when returned: if this is usual, raise pool_size"]
    return []


def pool_is_full(stats: dict[str, Any]) -> bool:
    return "capacity" in stats and stats["checked_out"] >= stats["capacity"]


def check_database_health() -> dict[str, Any]:
    """Whether the database answers, and how near the pool is to its limit."""
    stats = get_connection_pool_stats()
    answers = None
    # Asking through a full pool would wait pool_timeout for an answer already known to be bad.
    if not pool_is_full(stats):
        answers = database_answers()
    if answers is False or stats["status"] == "critical":
        status = "unhealthy"
    else:
        status = "degraded" if stats["status"] == "warning" else "healthy"
    database = {True: "connected", False: "unreachable", None: "not asked: the pool is full"}[
        answers
    ]
    return {"status": status, "database": database, "pool_stats": stats}


def database_answers() -> bool:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        # Its text may repeat the address; its kind is enough.
        logger.warning("the database does not answer: %s", type(error).__name__)
        return False
    return True


def forget_inherited_connections() -> None:
    """In a forked worker: start with an empty pool, and leave the parent its connections."""
    engine.dispose(close=False)
