from __future__ import annotations

import asyncio
import gc
import linecache
import os
import subprocess
import sys
import tracemalloc

import pytest
from receiver import count, findings
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, create_engine, text
from sqlalchemy.orm import Session, declarative_base, relationship, selectinload

import poolwatch
from poolwatch import ignored as ignoring

Base = declarative_base()


class Author(Base):
    __tablename__ = "authors"
    id = Column(Integer, primary_key=True)
    name = Column(String)


class Post(Base):
    __tablename__ = "posts"
    id = Column(Integer, primary_key=True)
    author_id = Column(ForeignKey("authors.id"))
    author = relationship(Author)


class Row(Base):
    __tablename__ = "many_rows"
    id = Column(Integer, primary_key=True)


@pytest.fixture(scope="module", autouse=True)
def tables(postgres):
    engine = create_engine(f"postgresql+psycopg2://postgres@/postgres?host={postgres}")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("insert into authors select n, 'a' from generate_series(1, 30) n"))
        connection.execute(text("insert into posts select n, n from generate_series(1, 30) n"))
        connection.execute(text("insert into many_rows select generate_series(1, 1500)"))
    engine.dispose()
    yield


def lazy(session):
    return [post.author.name for post in session.query(Post).order_by(Post.id).limit(25)]


def eager(session):
    return [post.author.name for post in session.query(Post).options(selectinload(Post.author))]


def test_lazy_loading_in_a_loop_is_an_n_plus_one_at_its_line(engine, receiver):
    with Session(engine) as session:
        lazy(session)
    assert receiver.pool(n_plus_one=1)["unpaginated"] == 0
    (found,) = receiver.wait_for(lambda reports: findings(reports, "n_plus_one"))
    assert (found["pool"], found["count"], found["rows"], found["seen"]) == ("web", 25, 25, 1)
    assert found["sql"] == "SELECT … FROM authors WHERE authors.id = ?"
    path, line = found["where"].rsplit(":", 1)
    assert path.endswith("test_findings.py")
    assert "post.author.name for post" in linecache.getline(__file__, int(line))


def test_eager_loading_is_none(engine, receiver):
    with Session(engine) as session:
        eager(session)
    assert receiver.settled()["n_plus_one"] == 0


def test_a_statement_repeated_without_a_parent_is_none(engine, receiver):
    with engine.connect() as connection:
        for n in range(40):
            connection.execute(text("select :n"), {"n": n})
    assert receiver.settled()["n_plus_one"] == 0


def test_an_update_for_each_row_is_an_n_plus_one(engine, receiver):
    with Session(engine) as session:
        for post in session.query(Post).all():
            session.execute(text("update posts set id = :id where id = :id"), {"id": post.id})
        session.rollback()
    (found,) = receiver.wait_for(lambda reports: findings(reports, "n_plus_one"))
    assert found["sql"] == "update posts set id = ? where id = ?"


def session_for_each(engine):
    with Session(engine) as session:
        numbers = [post.author_id for post in session.query(Post).order_by(Post.id).limit(25)]
    for number in numbers:
        with Session(engine) as session:
            session.get(Author, number)


def test_a_wsgi_request_is_judged_as_one(engine, receiver):
    def application(environ, start_response):
        session_for_each(engine)
        return [b""]

    assert poolwatch.WSGIMiddleware(application)({}, None) == [b""]
    receiver.pool(n_plus_one=1)


def test_an_asgi_request_is_judged_as_one_in_its_threads_too(engine, receiver):
    async def application(scope, receive, send):
        await asyncio.to_thread(session_for_each, engine)

    asyncio.run(poolwatch.ASGIMiddleware(application)({"type": "http"}, None, None))
    receiver.pool(n_plus_one=1)


def test_long_statements_are_not_kept(engine, receiver):
    with engine.connect() as connection:
        connection.execute(text("select 1"))
        tracemalloc.start()
        try:
            for number in range(40):
                long = f"select length('{number}{'x' * 500_000}')"
                connection.execute(text(long))
                del long
            gc.collect()
            ours = tracemalloc.Filter(True, "*/poolwatch/*")
            kept = tracemalloc.take_snapshot().filter_traces([ours])
        finally:
            tracemalloc.stop()
        assert sum(one.size for one in kept.statistics("filename")) < 200_000
        hold = next(iter(engine.pool._poolwatch.ledger.holds.values()))
        assert sum(map(len, hold.texts)) < 32_000
    assert count(receiver.settled()["query"]) == 41


def test_a_fixed_fan_out_is_none(engine, receiver):
    with engine.connect() as connection:
        connection.execute(text("select * from posts limit 20"))
        for n in range(9):
            connection.execute(text("select :n"), {"n": n})
    assert receiver.settled()["n_plus_one"] == 0


def test_repeats_in_checkouts_of_their_own_are_none(engine, receiver):
    for n in range(20):
        with engine.connect() as connection:
            connection.execute(text("select id from posts"))
            connection.execute(text("select :n"), {"n": n})
    assert receiver.settled()["n_plus_one"] == 0


def test_a_whole_table_is_unpaginated_at_its_line(engine, receiver):
    with Session(engine) as session:
        session.query(Row).all()
    receiver.pool(unpaginated=1, n_plus_one=0)
    (found,) = receiver.wait_for(lambda reports: findings(reports, "unpaginated"))
    assert (found["count"], found["rows"]) == (1, 1500)
    assert "many_rows" in found["sql"]
    assert "session.query(Row)" in linecache.getline(__file__, int(found["where"].split(":")[-1]))


@pytest.mark.parametrize(
    "statement",
    [
        "select id from many_rows limit 1200",
        "select id from many_rows fetch first 1200 rows only",
        "select count(*) from many_rows",
        "select id from many_rows where id < 900",
        "update many_rows set id = id",
    ],
)
def test_what_is_limited_or_small_or_written_is_not_unpaginated(engine, receiver, statement):
    with engine.connect() as connection:
        connection.execute(text(statement))
    assert receiver.settled()["unpaginated"] == 0


def test_a_finding_is_news_and_sent_once(engine, receiver):
    for _ in range(3):
        with Session(engine) as session:
            lazy(session)
    receiver.pool(n_plus_one=3)
    receiver.settled()
    assert sum(found["seen"] for found in findings(receiver.reports, "n_plus_one")) == 3


def test_findings_are_bounded(plain, receiver):
    engine = plain()
    with engine.connect() as connection:
        for n in range(300):
            connection.execute(text(f"select n as c{n} from generate_series(1, 1000) n"))
    pool = receiver.settled()
    assert pool["unpaginated"] == 300
    assert all(len(report["findings"]) <= 10 for report in receiver.reports)
    assert max(receiver.sizes) < 64 * 1024


def test_a_literal_never_leaves_the_process(engine, receiver):
    with engine.connect() as connection:
        connection.execute(text("select n, 'hunter2' from generate_series(1, 1000) n"))
    receiver.wait_for(lambda reports: findings(reports, "unpaginated"))
    assert "hunter2" not in str(receiver.reports)


def test_a_table_without_orm_is_treated_alike(engine, receiver):
    rows = Table("many_rows", MetaData(), Column("id", Integer))
    with engine.connect() as connection:
        connection.execute(rows.select()).all()
    receiver.pool(unpaginated=1)


@pytest.fixture
def ignored(monkeypatch):
    monkeypatch.setattr(ignoring, "_patterns", [])
    return poolwatch.ignore


@pytest.mark.parametrize(
    "pattern", ["*FROM authors*", "*test_findings.py:*", "select * FROM AUTHORS*"]
)
def test_what_is_to_be_ignored_is_neither_told_nor_counted(engine, receiver, ignored, pattern):
    ignored("*elsewhere.py:*", pattern)
    with Session(engine) as session:
        lazy(session)
        session.execute(text("select * from many_rows")).all()
    pool = receiver.pool(hold=lambda f: count(f) == 1)
    is_by_line = pattern.startswith("*test_findings")
    assert (pool["n_plus_one"], pool["unpaginated"]) == (0, 0 if is_by_line else 1)
    assert not findings(receiver.reports, "n_plus_one")


def test_the_environment_names_what_is_to_be_ignored(url, receiver):
    program = f"""
import poolwatch
from sqlalchemy import create_engine, text
engine = poolwatch.watch(create_engine({url("psycopg2")!r}), "web", {receiver.path!r})
with engine.connect() as connection:
    connection.execute(text("select * from many_rows")).all()
    connection.execute(text("select id, 1 from many_rows")).all()
"""
    environment = {**os.environ, "POOLWATCH_IGNORE": "app/*; SELECT id, * FROM many_rows"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    receiver.pool(unpaginated=1)
    assert [one["sql"] for one in findings(receiver.reports, "unpaginated")] == [
        "select * from many_rows"
    ]
