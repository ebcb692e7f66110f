"""One PostgreSQL for all tests, there before the application is imported and looks for it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from served import Served

cluster = Cluster()


def pytest_sessionstart() -> None:
    cluster.start()
    os.environ["DATABASE_URL"] = cluster.create_database("redditbot")
    os.environ["POOL_TIMEOUT"] = "2"


def pytest_sessionfinish() -> None:
    cluster.stop()


@pytest.fixture(scope="session")
def postgres() -> Cluster:
    return cluster


@pytest.fixture(scope="session")
def schema() -> None:
    from redditbot import db

    db.create()


@pytest.fixture
def http(schema: None) -> Iterator[Any]:
    """Asks the application in this process, which is one worker."""
    from redditbot.app import application
    from redditbot.session import engine
    from redditbot.troubles import kept

    yield application.test_client()
    kept.give_back()
    engine.dispose()


@pytest.fixture(scope="session")
def served(schema: None) -> Iterator[Served]:
    """Gunicorn with four workers. Not in pytest's folders: too long for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="rb-", dir="/tmp") as folder:
        application = Served(os.environ["DATABASE_URL"], Path(folder))
        try:
            application.wait_until_up()
            yield application
        finally:
            application.stop()
