"""A WSGI application, with its truth in memory shared by the workers."""

from __future__ import annotations

import os

from sqlalchemy import create_engine, text
from truth import POOLS, Truth

truth = Truth(os.environ["TRUTH"])

engine = create_engine(os.environ["DATABASE_URL"], **POOLS[os.environ.get("POOL", "QueuePool")])
if os.environ.get("CONNECT_AT_IMPORT"):
    engine.connect().close()
# What a host without a hook after its fork has: the application's own first request.
made_by = os.getpid()


def application(environ, start_response):
    dispose_after_fork()
    number = int(environ["PATH_INFO"].strip("/") or 0)
    handle(number)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def dispose_after_fork() -> None:
    global made_by
    if os.environ.get("DISPOSE_AFTER_FORK") and made_by != os.getpid():
        made_by = os.getpid()
        engine.dispose(close=False)


def handle(number: int) -> None:
    if number % 10 == 0:
        return fail()
    queries = 1 + number % 3
    with engine.begin() as connection:
        for _ in range(queries):
            connection.execute(text("select 1"))
    truth.add(checkouts=1, queries=queries, commits=1)
    return None


def fail() -> None:
    try:
        with engine.connect() as connection:
            connection.execute(text("select 1 / 0"))
    except Exception:
        truth.add(checkouts=1, queries=1, errors=1)


def look_up_one_by_one() -> None:
    """An N+1 over as many checkouts: only what marks the whole can tell."""
    query = text("select relname from pg_class where relname = :name")
    with engine.connect() as connection:
        names = connection.execute(text("select relname from pg_class limit 20")).scalars().all()
    for name in names:
        with engine.connect() as connection:
            connection.execute(query, {"name": name})
