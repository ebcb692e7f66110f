"""The figures of a pool of SQLAlchemy at this moment, read from the pool itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy.pool import AssertionPool, Pool, QueuePool, SingletonThreadPool, StaticPool

from poolwatch.watches import Gauges


def gauges(pool: Pool) -> Gauges:
    if isinstance(pool, QueuePool):
        return _queue_pool(pool)
    if isinstance(pool, StaticPool):
        return Gauges(size=1, max_overflow=None, checked_in=_resting(_static(pool)), checked_out=0)
    if isinstance(pool, AssertionPool):
        return Gauges(size=1, max_overflow=0, checked_in=_resting(pool._conn), checked_out=0)
    if isinstance(pool, SingletonThreadPool):
        resting = sum(_resting(record) for record in list(pool._all_conns))
        return Gauges(size=pool.size, max_overflow=None, checked_in=resting, checked_out=0)
    return Gauges(size=0, max_overflow=None, checked_in=0, checked_out=0)


def _queue_pool(pool: QueuePool) -> Gauges:
    size, resting = pool._pool.maxsize, queued(pool._pool)
    return Gauges(
        size=size,
        max_overflow=None if pool._max_overflow < 0 else pool._max_overflow,
        checked_in=_open(pool._pool, resting),
        # A pool disposed of while a connection was out reads -1 after its return.
        checked_out=max(0, size + pool._overflow - resting),
        timeout=pool._timeout,
        recycle=pool._recycle,
    )


def queued(queue: Any) -> int:
    """The queue's length without its lock and without making it.

    A fork while the reporter held the queue's mutex would leave it locked in the child for good;
    and an asyncio queue made here, on Python 3.9, would belong to the wrong event loop.
    """
    if hasattr(queue, "mutex"):
        return len(queue.queue)
    made = queue.__dict__.get("_queue")
    return made.qsize() if made is not None else 0


def _open(queue: Any, resting: int) -> int:
    """Of the resting those with a connection: a detached or a broken one left its place empty."""
    inner = queue if hasattr(queue, "mutex") else queue.__dict__.get("_queue")
    records = getattr(inner, "queue" if inner is queue else "_queue", None)
    if records is None:
        return resting
    return sum(1 for record in list(records) if record.dbapi_connection is not None)


def _static(pool: StaticPool) -> Any:
    return pool.__dict__.get("connection")


def _resting(record: Any) -> int:
    return int(record is not None and record.dbapi_connection is not None and not record.in_use)
