from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Callable

os.environ["POOLWATCH_PERIOD"] = "0.05"

import pytest
import sqlalchemy
from cluster import cluster
from receiver import Receiver
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

import poolwatch

VERSION = tuple(int(part) for part in sqlalchemy.__version__.split(".")[:2])
SYNC = ("psycopg2",) if VERSION < (2, 0) else ("psycopg2", "psycopg")
ASYNC = ("asyncpg",) if VERSION < (2, 0) else ("asyncpg", "psycopg")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with cluster() as folder:
        yield folder


@pytest.fixture
def url(postgres: str) -> Callable[[str], str]:
    return lambda driver: f"postgresql+{driver}://postgres@/postgres?host={postgres}"


@pytest.fixture(params=SYNC)
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=ASYNC)
def async_driver(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def engine(url: Any, driver: str, receiver: Receiver) -> Iterator[Engine]:
    made = create_engine(url(driver), pool_size=2, max_overflow=1, pool_timeout=0.3)
    yield poolwatch.watch(made, pool="web", socket=receiver.path, app="test")
    made.dispose()


@pytest.fixture
def plain(url: Any, receiver: Receiver) -> Iterator[Callable[..., Engine]]:
    """Watched engines over psycopg2, made as the test says."""
    made: list[Engine] = []

    def make(**options: Any) -> Engine:
        made.append(create_engine(url("psycopg2"), **options))
        return poolwatch.watch(made[-1], pool="web", socket=receiver.path, app="test")

    yield make
    for each in made:
        each.dispose()
