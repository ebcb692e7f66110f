"""An ASGI application, with its truth in memory shared by the workers."""

from __future__ import annotations

import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from truth import POOLS, Truth

truth = Truth(os.environ["TRUTH"])
engine = create_async_engine(os.environ["DATABASE_URL"], **POOLS[os.environ["POOL"]])


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    number = int(scope["path"].strip("/") or 0)
    await handle(number)
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
    return None


async def lifespan(receive, send):
    while True:
        step = (await receive())["type"]
        await send({"type": f"{step}.complete"})
        if step == "lifespan.shutdown":
            return


async def handle(number: int) -> None:
    if number % 10 == 0:
        return await fail()
    queries = 1 + number % 3
    async with engine.begin() as connection:
        for _ in range(queries):
            await connection.execute(text("select 1"))
    truth.add(checkouts=1, queries=queries, commits=1)
    return None


async def fail() -> None:
    try:
        async with engine.connect() as connection:
            await connection.execute(text("select 1 / 0"))
    except Exception:
        truth.add(checkouts=1, queries=1, errors=1)
