"""Labelled ways of using a database: what of each is worth naming, and what is not.

Each case is what applications really do, run against a real server. Its label is the set of findings
that are right; a case without one must stay silent. `AUTHORS` authors have one name each, `POSTS` posts
have an author each and three comments each, and `many` has `MANY` rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from sqlalchemy import Column, ForeignKey, Integer, String, bindparam, func, select, text, update
from sqlalchemy.orm import Session, declarative_base, joinedload, relationship, selectinload

import poolwatch

AUTHORS, POSTS, COMMENTS, MANY = 40, 360, 3, 6000
Base: Any = declarative_base()


class Author(Base):
    __tablename__ = "c_authors"
    id = Column(Integer, primary_key=True)
    name = Column(String)
    visits = Column(Integer)
    posts = relationship("Post", back_populates="author", order_by="Post.id")


class Post(Base):
    __tablename__ = "c_posts"
    id = Column(Integer, primary_key=True)
    author_id = Column(ForeignKey("c_authors.id"))
    status = Column(Integer)
    visits = Column(Integer)
    author = relationship(Author, back_populates="posts")
    comments = relationship("Comment", back_populates="post")


class Comment(Base):
    __tablename__ = "c_comments"
    id = Column(Integer, primary_key=True)
    post_id = Column(ForeignKey("c_posts.id"))
    limit = Column(Integer)
    post = relationship(Post, back_populates="comments")


class Many(Base):
    __tablename__ = "c_many"
    id = Column(Integer, primary_key=True)
    parent_id = Column(Integer)


FILL = [
    f"insert into c_authors select n, 'author ' || n, 0 from generate_series(1, {AUTHORS}) n",
    f"insert into c_posts select n, 1 + n % {AUTHORS}, n % 12, 0 from generate_series(1, {POSTS}) n",
    f"insert into c_comments select n, 1 + n % {POSTS}, 0 from generate_series(1, {POSTS * COMMENTS}) n",
    f"insert into c_many select n, n % 50 from generate_series(1, {MANY}) n",
    "analyze",
]


@dataclass
class Case:
    name: str
    label: frozenset[str]
    run: Callable[[Any], None]


CASES: list[Case] = []


def case(*label: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    def add(run: Callable[[Any], None]) -> Callable[[Any], None]:
        CASES.append(Case(run.__name__, frozenset(label), run))
        return run

    return add


def sql(name: str, *label: str, parent: str | None, child: str, **parameters: Any) -> None:
    """A case of one connection: `child` for each row of `parent`, or as often as `n` says."""
    values = parameters.pop("n", None)

    def run(engine: Any) -> None:
        with engine.connect() as c:
            ids = [row[0] for row in c.execute(text(parent))] if parent else []
            for n in values(ids) if values else ids:
                if callable(child):
                    c.execute(text(child(n)))
                else:
                    c.execute(text(child), {"n": n} if ":n" in child else {})

    CASES.append(Case(name, frozenset(label), run))


N, U = "n_plus_one", "unpaginated"
PAGE = "select id, author_id from c_posts order by id limit 25"
AUTHOR = "select name from c_authors where id = :n"

# N+1 of plain SQL.

sql("author_of_each", N, parent=PAGE, child=AUTHOR)
sql("comments_of_each", N, parent=PAGE, child="select * from c_comments where post_id = :n")
sql("count_of_each", N, parent=PAGE, child="select count(*) from c_comments where post_id = :n")
sql("max_of_each", N, parent=PAGE, child="select max(id) from c_comments where post_id = :n")
sql(
    "exists_of_each",
    N,
    parent=PAGE,
    child="select exists(select 1 from c_comments where post_id = :n)",
)
sql(
    "newest_two_of_each",
    N,
    parent=PAGE,
    child="select * from c_comments where post_id = :n order by id desc limit 2",
)
sql(
    "newest_of_each",
    N,
    parent=PAGE,
    child="select * from c_comments where post_id = :n order by id desc limit 1",
)
sql("lock_each", N, parent=PAGE, child="select * from c_authors where id = :n for update")
sql(
    "lock_each_and_skip",
    N,
    parent=PAGE,
    child="select * from c_authors where id = :n for no key update skip locked",
)
sql(
    "joined_child",
    N,
    parent=PAGE,
    child="select a.name from c_authors a join c_posts p on p.author_id = a.id where p.id = :n",
)
sql(
    "child_of_a_cte",
    N,
    parent=PAGE,
    child="with a as (select * from c_authors where id = :n) select * from a",
)
sql("any_of_one", N, parent=PAGE, child="select * from c_comments where post_id = any(array[:n])")
sql("f_strings", N, parent=PAGE, child=lambda n: f"select name from c_authors where id = {n}")
sql(
    "quoted_f_strings",
    N,
    parent=PAGE,
    child=lambda n: f"select id from c_authors where name = 'author {n}'",
)
sql(
    "unique_comments",
    N,
    parent=PAGE,
    child=lambda n: f"select name from c_authors where id = {n} /*traceparent='00-{n:032x}-01'*/",
)
sql(
    "leading_comments",
    N,
    parent=PAGE,
    child=lambda n: f"/* request {n} */ select name from c_authors where id = {n}",
)
sql(
    "line_comments",
    N,
    parent=PAGE,
    child=lambda n: f"select name from c_authors where id = {n} -- request {n}",
)
sql(
    "lists_of_varying_length",
    N,
    parent=PAGE,
    child=lambda n: "select * from c_comments where id in ("
    + ", ".join(str(n * 3 + i) for i in range(1 + n % 4))
    + ")",
)
sql("update_each", N, parent=PAGE, child="update c_posts set visits = visits + 1 where id = :n")
sql(
    "update_each_f_string",
    N,
    parent=PAGE,
    child=lambda n: f"update c_posts set visits = {n} where id = {n}",
)
sql(
    "delete_each",
    N,
    parent="select id from c_comments order by id desc limit 12",
    child="delete from c_comments where id = :n",
)
sql(
    "update_without_a_list",
    N,
    parent=None,
    n=lambda _: range(1, 20),
    child="update c_posts set visits = visits + 1 where id = :n",
)
sql("get_without_a_list", N, parent=None, n=lambda _: range(1, 20), child=AUTHOR)
sql("upper_case_and_spaces", N, parent=PAGE, child="SELECT  name\n FROM c_authors\n WHERE id=:n")
sql(
    "two_conditions",
    N,
    parent=PAGE,
    child="select * from c_posts where author_id = :n and status = 3",
)
sql(
    "schema_and_quotes",
    N,
    parent=PAGE,
    child='select "name" from "public"."c_authors" where "public"."c_authors"."id" = :n',
)
sql(
    "after_returning",
    N,
    child=AUTHOR,
    parent="update c_posts set visits = 1 where id <= 15 returning author_id",
)
sql(
    "after_insert_returning",
    N,
    child="select * from c_comments where id = :n",
    parent="insert into c_comments (id, post_id) select 900000 + n, 1 from generate_series(1, 15) n"
    " returning id",
)
sql(
    "after_values",
    N,
    child=AUTHOR,
    parent="values (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11)",
)
sql(
    "few_of_many_rows",
    N,
    parent="select id from c_posts order by id limit 120",
    n=lambda ids: [1 + i % 12 for i in ids[:12]],
    child=AUTHOR,
)

# What is no N+1 though it repeats.

sql("the_clock_after_a_list", parent=PAGE, n=lambda ids: ids[:20], child="select now()")
sql("a_sequence_after_a_list", parent=PAGE, n=lambda ids: ids[:20], child="select pg_backend_pid()")
sql("one_setting_again_and_again", parent=PAGE, n=lambda ids: [1] * 20, child=AUTHOR)
sql(
    "ten_bucket_counts",
    parent=PAGE,
    n=lambda ids: range(10),
    child="select count(*) from c_posts where visits >= :n and visits < :n + 10",
)
sql(
    "bucket_counts_between",
    parent=PAGE,
    n=lambda ids: range(12),
    child="select count(*) from c_posts where id between :n and :n + 9",
)
sql(
    "counts_by_twelve_states",
    parent="select id from c_posts order by id limit 100",
    n=lambda ids: range(12),
    child="select count(*) from c_posts where status = :n",
)
sql(
    "sums_by_twelve_states",
    parent="select id from c_posts order by id limit 100",
    n=lambda ids: range(12),
    child="select sum(visits) from c_posts where status = :n",
)
sql(
    "keyset_pages_after_a_list",
    parent=PAGE,
    n=lambda ids: range(0, 120, 10),
    child="select * from c_posts where id > :n order by id limit 10",
)
sql(
    "keyset_pages_of_one_state",
    parent=PAGE,
    n=lambda ids: range(0, 120, 10),
    child="select * from c_posts where author_id = 5 and id > :n order by id limit 10",
)
sql(
    "offset_pages",
    parent=PAGE,
    n=lambda ids: range(0, 120, 10),
    child="select * from c_posts order by id limit 10 offset :n",
)
sql(
    "offset_pages_of_one_author",
    parent=PAGE,
    n=lambda ids: range(0, 120, 10),
    child="select * from c_posts where status = 3 order by id limit 10 offset :n",
)
sql(
    "fetch_first_pages",
    parent=PAGE,
    n=lambda ids: range(0, 120, 10),
    child="select * from c_posts where id > :n order by id fetch first 10 rows only",
)
sql(
    "chunks_of_500",
    parent="select id from c_many order by id limit 5900",
    n=lambda ids: range(12),
    child=lambda n: "select * from c_comments where post_id in ("
    + ", ".join(str(i) for i in range(n * 500, n * 500 + 500))
    + ")",
)
sql(
    "chunks_of_50",
    parent="select id from c_many order by id limit 900",
    n=lambda ids: range(12),
    child=lambda n: "select * from c_comments where post_id in ("
    + ", ".join(str(i) for i in range(n * 50, n * 50 + 50))
    + ")",
)
sql("nine_of_each", parent="select id from c_posts order by id limit 9", child=AUTHOR)
sql("a_fan_out_of_nine", parent=PAGE, n=lambda ids: ids[:9], child=AUTHOR)
sql(
    "inserts_in_a_loop",
    parent=PAGE,
    n=lambda ids: range(20),
    child="insert into c_comments (id, post_id) values (1000000 + :n, 1)",
)
sql(
    "progress_of_one_row",
    parent=PAGE,
    n=lambda ids: ids[:20],
    child="update c_posts set visits = :n where id = 7",
)
sql("savepoints", parent=PAGE, n=lambda ids: ids[:20], child="savepoint a")
sql("advisory_locks", parent=PAGE, n=lambda ids: ids[:20], child="select pg_advisory_xact_lock(:n)")
sql(
    "settings_of_a_session",
    parent=PAGE,
    n=lambda ids: ids[:20],
    child=lambda n: f"set local work_mem = '{4096 + n}kB'",
)
sql(
    "notifications",
    parent=PAGE,
    n=lambda ids: ids[:20],
    child=lambda n: f"select pg_notify('channel', '{n}')",
)
sql(
    "an_import_that_finds_nothing",
    parent=None,
    n=lambda _: range(20),
    child="select id from c_authors where name = 'nobody ' || :n",
)
sql(
    "whole_groups",
    parent=PAGE,
    n=lambda ids: range(12),
    child="select status, count(*) from c_posts where visits < :n group by status",
)
sql(
    "ranges_of_a_chart",
    parent=PAGE,
    n=lambda ids: range(12),
    child="select id, visits from c_posts where id >= :n * 10 and id < :n * 10 + 10",
)
sql(
    "polling",
    parent=None,
    n=lambda _: range(20),
    child="select * from c_posts where status = 99 order by id limit 1 for update skip locked",
)


def sessions(*label: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """A case of the ORM, in one session."""

    def add(run: Callable[[Any], None]) -> Callable[[Any], None]:
        def with_session(engine: Any) -> None:
            with Session(engine) as session:
                run(session)

        CASES.append(Case(run.__name__, frozenset(label), with_session))
        return run

    return add


def posts(session: Session, number: int = 25) -> list[Any]:
    return list(session.query(Post).order_by(Post.id).limit(number))


@sessions(N)
def lazy_author(session):
    assert [post.author.name for post in posts(session)]


@sessions(N)
def lazy_comments(session):
    assert [len(post.comments) for post in posts(session)]


@sessions(N)
def nested_nine_by_nine(session):
    for author in session.query(Author).order_by(Author.id).limit(9):
        for post in session.query(Post).filter(Post.author_id == author.id).limit(9):
            session.execute(select(Comment.id).where(Comment.post_id == post.id)).all()


@sessions(N)
def pages_each_with_its_own(session):
    last = 0
    for _ in range(5):
        page = session.query(Post).filter(Post.id > last).order_by(Post.id).limit(8).all()
        for post in page:
            session.execute(select(func.count()).where(Comment.post_id == post.id)).scalar()
        last = page[-1].id


@sessions(N)
def get_in_a_loop(session):
    for number in range(1, 16):
        session.get(Author, number)


@sessions(N)
def update_statement_in_a_loop(session):
    for post in posts(session):
        session.execute(update(Post).where(Post.id == post.id).values(visits=post.id))
    session.rollback()


@sessions(N)
def refresh_in_a_loop(session):
    for post in posts(session):
        session.refresh(post)


@sessions(N)
def one_by_a_query_in_a_loop(session):
    for post in posts(session):
        session.query(Author).filter_by(id=post.author_id).one()


@sessions(N)
def count_in_a_loop(session):
    for post in posts(session):
        session.query(Comment).filter_by(post_id=post.id).count()


@sessions()
def eager_author(session):
    assert [p.author.name for p in session.query(Post).options(joinedload(Post.author)).limit(25)]


@sessions()
def eager_comments(session):
    query = session.query(Post).options(selectinload(Post.comments)).order_by(Post.id).limit(25)
    assert [len(post.comments) for post in query]


@sessions()
def get_what_is_there(session):
    authors = session.query(Author).all()
    for post in posts(session):
        assert session.get(Author, post.author_id) in authors


@sessions()
def flush_of_what_changed(session):
    for post in posts(session):
        post.visits = func.coalesce(Post.visits, 0) + post.id
    session.flush()
    session.rollback()


@sessions()
def bulk_update(session):
    statement = update(Post.__table__).where(Post.__table__.c.id == bindparam("b"))
    values = [{"b": n, "visits": n} for n in range(1, 30)]
    session.connection().execute(statement.values(visits=bindparam("visits")), values)
    session.rollback()


@sessions()
def a_page_with_selectinload(session):
    page = session.query(Many).order_by(Many.id).limit(25).all()
    children = select(Many.id).where(Many.parent_id.in_([one.id for one in page]))
    assert len(session.execute(children).all()) >= 1000


@sessions(U)
def all_of_a_table(session):
    session.query(Many).all()


@sessions(U)
def all_by_a_condition(session):
    session.query(Many).filter(Many.parent_id < 40).all()


@sessions(U)
def all_of_two_groups(session):
    session.execute(text("select * from c_many where parent_id % 2 in (0, 1)")).all()


@sessions()
def many_by_their_ids(session):
    session.query(Many).filter(Many.id.in_(range(1, 2001))).all()


@sessions()
def batches_of_selectinload(session):
    ids = [row[0] for row in session.execute(select(Many.id).order_by(Many.id).limit(5900))]
    for start in range(0, 5900, 500):
        session.execute(select(Many).where(Many.id.in_(ids[start : start + 500]))).all()


def reads(name: str, *label: str, statement: str) -> None:
    def run(engine: Any) -> None:
        with engine.connect() as c:
            c.execute(text(statement)).all()

    CASES.append(Case(name, frozenset(label), run))


reads("table_command", U, statement="table c_many")
reads(
    "limit_in_a_subquery_only",
    U,
    statement="select * from c_many where parent_id < (select id from c_many order by id desc limit 1)",
)
reads(
    "limit_in_a_cte_only",
    U,
    statement="with a as (select * from c_posts limit 5) select m.* from c_many m",
)
reads(
    "limit_in_a_lateral",
    U,
    statement="select * from c_many m, lateral (select 1 from c_posts limit 1) l",
)
reads(
    "column_named_limit",
    U,
    statement='select m.id, c."limit" from c_many m left join c_comments c on c.id = m.id',
)
reads(
    "column_of_a_table_named_limit",
    U,
    statement="select m.id, c.limit from c_many m left join c_comments c on c.id = m.id",
)
reads("limit_in_a_literal", U, statement="select id, 'no limit 5' from c_many")
reads("limit_in_a_comment", U, statement="select id from c_many /* limit 5 */")
reads("limit_all", U, statement="select id from c_many limit all")
reads(
    "union_without_a_limit", U, statement="select id from c_many union all select id from c_posts"
)
reads("ordered", U, statement="select id from c_many order by id")
reads("for_share", U, statement="select id from c_many for share")
reads("limited", statement="select id from c_many limit 1200")
reads("limited_in_lower_case_and_lines", statement="select id\nfrom c_many\nlimit\n1200")
reads("fetch_first", statement="select id from c_many fetch first 1200 rows only")
reads("fetch_next", statement="select id from c_many offset 10 rows fetch next 1200 rows only")
reads("limited_from_the_outside", statement="select * from (select id from c_many) a limit 1200")
reads("limited_within_parentheses", statement="(select id from c_many limit 1200)")
reads("aggregated", statement="select count(*) from c_many")
reads("few_rows", statement="select id from c_many where id < 900")
reads("written_and_returned", statement="update c_many set parent_id = parent_id returning id")


# Over several checkouts of one request.


def requests(*label: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    def add(run: Callable[[Any], None]) -> Callable[[Any], None]:
        def marked(engine: Any) -> None:
            with poolwatch.request():
                run(engine)

        CASES.append(Case(run.__name__, frozenset(label), marked))
        return run

    return add


@requests(N)
def a_session_for_each_call(engine):
    with Session(engine) as session:
        numbers = [post.author_id for post in posts(session)]
    for number in numbers:
        with Session(engine) as session:
            session.get(Author, number)


@requests(N)
def commit_in_the_loop(engine):
    with Session(engine) as session:
        for post in posts(session):
            session.execute(select(Comment.id).where(Comment.post_id == post.id)).all()
            session.commit()


@requests(N)
def autocommit(engine):
    with engine.connect() as c:
        numbers = [row[1] for row in c.execute(text(PAGE))]
    for number in numbers:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            c.execute(text(AUTHOR), {"n": number})


@requests()
def one_session_for_each_of_nine_calls(engine):
    for number in range(1, 10):
        with Session(engine) as session:
            session.get(Author, number)


@requests()
def the_user_of_the_request_again_and_again(engine):
    for _ in range(20):
        with Session(engine) as session:
            session.get(Author, 1)


@case()
def requests_of_their_own(engine):
    for number in range(1, 20):
        with poolwatch.request(), Session(engine) as session:
            session.get(Author, number)


@case()
def checkouts_of_their_own(engine):
    for number in range(1, 20):
        with Session(engine) as session:
            session.get(Author, number)
