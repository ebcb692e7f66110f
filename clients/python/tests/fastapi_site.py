"""A FastAPI site over SQLModel, with a session for each request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlmodel import Field, Session, SQLModel, create_engine, select
from truth import POOLS, Truth

import poolwatch

truth = Truth(os.environ["TRUTH"])
engine = create_engine(os.environ["DATABASE_URL"], **POOLS["QueuePool"])


class Reader(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str


@asynccontextmanager
async def lifespan(_):
    yield
    engine.dispose()


app = FastAPI(lifespan=lifespan)
app.add_middleware(poolwatch.ASGIMiddleware)


def session() -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened


Opened = Annotated[Session, Depends(session)]


@app.get("/names")
def names(opened: Opened) -> list[str]:
    """Each reader by a session of its own."""
    found = []
    for number in opened.exec(select(Reader.id).order_by(Reader.id)).all():
        with Session(engine) as own:
            found.append(own.get(Reader, number).name)
    return found


@app.get("/{number}")
def work(number: int, opened: Opened) -> str:
    for _ in range(1 + number % 3):
        opened.execute(text("select 1"))
    opened.commit()
    truth.add(checkouts=1, queries=1 + number % 3, commits=1)
    return "ok"
