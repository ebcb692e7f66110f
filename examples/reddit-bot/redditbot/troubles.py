"""Troubles on demand: every one is bounded, and `POST /troubles/release` ends all that last."""

import threading
from contextlib import ExitStack
from typing import Any

from flask import Blueprint, abort
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from redditbot import db
from redditbot.models import INDEXES, Client
from redditbot.parameters import seconds, whole_number
from redditbot.session import SessionLocal, engine, get_connection_pool_stats

routes = Blueprint("troubles", __name__, url_prefix="/troubles")

# A pool without a limit is given one here.
HOLD_LIMIT = get_connection_pool_stats().get("capacity", 20)
# One connection stays: a worker that can do nothing at all shows less.
LEAK_LIMIT = max(1, HOLD_LIMIT - 1)
HOLD_SECONDS = 60
SLOW_SECONDS = 10


class Kept:
    """The connections that this worker keeps from its pool."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leaked: list[Session] = []
        self._leaking = 0
        self._release = threading.Event()

    @property
    def leaked(self) -> int:
        return self._leaking

    def leak(self, count: int) -> None:
        """Open sessions and never close them; counted first, so that threads keep the limit too."""
        with self._lock:
            if self._leaking + count > LEAK_LIMIT:
                abort(409, f"{self._leaking} connections are leaked, and {LEAK_LIMIT} is the limit")
            self._leaking += count
        for opened in range(count):
            try:
                session = session_in_use()
            except Exception:
                with self._lock:
                    self._leaking -= count - opened
                raise
            with self._lock:
                self._leaked.append(session)

    def hold(self, count: int, seconds: float) -> None:
        """Keep connections for a time, like a request that calls a slow service in its session."""
        release = self._release
        with ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(session_in_use())
            release.wait(seconds)

    def give_back(self) -> int:
        """Return everything leaked, end every hold, and say how many were leaked."""
        with self._lock:
            leaked, self._leaked = self._leaked, []
            self._leaking -= len(leaked)
            # Who is holding waits for the old event; who comes later waits for a new one.
            ended, self._release = self._release, threading.Event()
        ended.set()
        for session in leaked:
            session.close()
        return len(leaked)


kept = Kept()


def session_in_use() -> Session:
    """A session that has its connection, with a transaction open on it."""
    session = SessionLocal()
    try:
        session.scalar(select(Client.id).limit(1))
    except Exception:
        session.close()
        raise
    return session


@routes.get("")
def outstanding() -> dict[str, Any]:
    with engine.connect() as connection:
        return {
            "leaked": kept.leaked,
            "leak_limit": LEAK_LIMIT,
            "missing_indexes": db.missing_indexes(connection),
        }


@routes.post("/leak")
def leak() -> dict[str, int]:
    kept.leak(whole_number("count", 1, 1, LEAK_LIMIT))
    return {"leaked": kept.leaked}


@routes.post("/hold")
def hold() -> dict[str, Any]:
    count = whole_number("connections", 1, 1, HOLD_LIMIT)
    kept.hold(count, seconds("seconds", 1, HOLD_SECONDS))
    return {"held": count}


@routes.post("/release")
def release() -> dict[str, int]:
    return {"given_back": kept.give_back()}


@routes.post("/slow-query")
def slow_query() -> dict[str, float]:
    duration = seconds("seconds", 1.5, SLOW_SECONDS)
    with SessionLocal() as session:
        session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": duration})
    return {"slept": duration}


@routes.post("/indexes/<name>/drop")
def drop_index(name: str) -> dict[str, str]:
    with engine.begin() as connection:
        db.drop_index(connection, known(name))
    return {"dropped": name}


@routes.post("/indexes/<name>/restore")
def restore_index(name: str) -> dict[str, str]:
    with engine.begin() as connection:
        db.create_index(connection, known(name))
    return {"restored": name}


def known(name: str) -> str:
    if name not in INDEXES:
        abort(404, f"no index {name!r}; there are {', '.join(INDEXES)}")
    return name
