"""The servers that a pool's connections go to."""

from __future__ import annotations

import psycopg
import psycopg2
import pytest
from sqlalchemy import create_engine

import poolwatch
from poolwatch.engines import _targets
from poolwatch.ledger import Ledger
from poolwatch.targets import MOST_TARGETS, of_parameters, target

CREATORS = {"psycopg": psycopg, "psycopg2": psycopg2}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER"):
        monkeypatch.delenv(name, raising=False)


def test_an_engine_says_where_its_connections_went(engine, receiver, postgres):
    with engine.connect():
        went_to = {"host": postgres, "port": 5432, "database": "postgres", "role": "postgres"}
        receiver.pool("web", targets=[went_to])
    assert "s3cret" not in str(receiver.reports)


def test_what_the_application_connects_by_itself_counts_more_than_the_url(
    driver, receiver, postgres
):
    """With `creator` the URL is not where the connections go."""
    made = create_engine(
        f"postgresql+{driver}://nobody@elsewhere/none",
        creator=lambda: CREATORS[driver].connect(
            host=postgres, user="postgres", dbname="template1"
        ),
    )
    poolwatch.watch(made, pool="web", socket=receiver.path)
    with made.connect():
        went_to = {"host": postgres, "port": 5432, "database": "template1", "role": "postgres"}
        receiver.pool("web", targets=[went_to])
    made.dispose()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://web:s3cret@db.internal:5433/app", [("db.internal", 5433)]),
        ("postgresql://web:s3cret@/app?host=a:1&host=b:2", [("a", 1), ("b", 2)]),
        ("postgresql://web:s3cret@/app?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("postgresql://web:s3cret@/app?host=/run/pg", [("/run/pg", 5432)]),
        ("postgresql://web:s3cret@/app", []),
        ("sqlite://", []),
    ],
)
def test_a_url_names_its_servers_and_no_password(url, expected):
    found = _targets(create_engine(url))
    assert [(each["host"], each["port"]) for each in found] == expected
    assert "s3cret" not in str(found)
    assert all(each["database"] == "app" and each["role"] == "web" for each in found)


def test_an_address_is_no_host_and_no_database():
    assert target("web:s3cret@db", 5432) == []
    assert target("postgresql://web:s3cret@db", 5432) == []
    assert target("db", "port") == []
    given = {"host": "db", "dbname": "postgresql://web:s3cret@db/app", "user": "web"}
    assert of_parameters(given) == [{"host": "db", "port": 5432, "role": "web"}]


def test_libpqs_variables_say_what_is_left_open(monkeypatch):
    monkeypatch.setenv("PGHOST", "db")
    monkeypatch.setenv("PGUSER", "web")
    assert of_parameters({}) == [{"host": "db", "port": 5432, "database": "web", "role": "web"}]


def test_a_pool_of_many_tenants_has_no_more_than_a_report_may():
    class Reporter:
        pass

    ledger = Ledger("tenants", Reporter())
    for number in range(100):
        ledger.declare(target(f"db{number}", 5432))
    assert len(ledger.targets()) == MOST_TARGETS
