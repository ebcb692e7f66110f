"""What each endpoint answers, and with how many queries."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from redditbot.session import engine

Statement = tuple[str, Any]
LISTS = ["posts", "users", "configs"]
BELONGING = {"posts": "responses", "users": "client", "configs": "client"}


@contextmanager
def statements() -> Iterator[list[Statement]]:
    """What the application sends to the database meanwhile."""
    seen: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture(autouse=True)
def connected(http: Any) -> None:
    """The first connection brings queries of SQLAlchemy's own."""
    engine.connect().close()


@pytest.mark.parametrize("name", LISTS)
def test_an_eager_list_is_one_query(http: Any, name: str) -> None:
    with statements() as seen:
        rows = http.get(f"/api/{name}").json[name]
    assert len(rows) == 50
    assert len(seen) == 1


@pytest.mark.parametrize("name", LISTS)
def test_a_lazy_list_is_one_query_and_one_more_for_each_row(http: Any, name: str) -> None:
    with statements() as seen:
        rows = http.get(f"/api/{name}?loading=lazy").json[name]
    assert len(rows) == 50
    assert len(seen) == 1 + 50


@pytest.mark.parametrize("name", LISTS)
def test_eager_and_lazy_answer_the_same(http: Any, name: str) -> None:
    def rows(loading: str) -> list[Any]:
        found = http.get(f"/api/{name}?loading={loading}&page=2&page_size=10").json[name]
        for row in found:
            if isinstance(row[BELONGING[name]], list):
                row[BELONGING[name]].sort(key=lambda one: one["id"])
        return found

    assert rows("eager") == rows("lazy")


@pytest.mark.parametrize("name", LISTS)
def test_pages_follow_each_other(http: Any, name: str) -> None:
    pages = [http.get(f"/api/{name}?page={page}&page_size=20").json[name] for page in (1, 2)]
    assert [row["id"] for page in pages for row in page] == list(range(1, 41))


@pytest.mark.parametrize("name", LISTS)
def test_an_unpaginated_list_reads_at_least_a_thousand_rows(http: Any, name: str) -> None:
    with statements() as seen:
        rows = http.get(f"/api/{name}?paginated=no").json[name]
    assert len(rows) >= 1000
    [(statement, _)] = seen
    assert "LIMIT" not in statement


@pytest.mark.parametrize("name", LISTS)
def test_an_unpaginated_list_can_be_lazy_too(http: Any, name: str) -> None:
    with statements() as seen:
        http.get(f"/api/{name}?paginated=no&loading=lazy")
    # Users and configs share 100 clients, and a client is loaded once.
    assert len(seen) == {"posts": 1 + 2000}.get(name, 1 + 100)


@pytest.mark.parametrize("name", LISTS)
def test_counting_in_sql_and_in_python_agree(http: Any, name: str) -> None:
    in_sql = http.get(f"/api/{name}/count?counting=sql").json["count"]
    in_python = http.get(f"/api/{name}/count?counting=python").json["count"]
    assert in_sql == in_python >= 1000


@pytest.mark.parametrize(
    "path",
    [
        "/api/posts?page_size=0",
        "/api/posts?page_size=101",
        "/api/posts?page=one",
        "/api/users?loading=never",
        "/api/configs?paginated=perhaps",
        "/api/posts/count?counting=fingers",
        "/api/posts/of-client?client_id=0",
        "/api/analytics/recent?event_type=unheard_of",
        "/api/analytics/daily?days=1000",
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name(http: Any, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 400
    assert path.partition("?")[2].partition("=")[0] in answer.json["message"]


def test_a_review_is_kept(http: Any) -> None:
    post = http.get("/api/posts?page_size=1").json["posts"][0]
    for reviewed in (not post["reviewed"], post["reviewed"]):
        answer = http.post(
            f"/api/posts/review?post_id={post['id']}&reviewed={'yes' if reviewed else 'no'}"
        )
        assert answer.json == {"changed": 1}
        assert http.get("/api/posts?page_size=1").json["posts"][0]["reviewed"] is reviewed
    assert http.post("/api/posts/review?post_id=2147483647").json == {"changed": 0}


def test_analytics_answer(http: Any) -> None:
    assert 7 <= len(http.get("/api/analytics/daily").json["days"]) <= 8
    assert http.get("/api/analytics/client-events?event_type=post_matched").json["count"] > 0
    assert http.get("/api/analytics/recent").json["count"] > 0


def test_responses_answer(http: Any) -> None:
    scores = [row["score"] for row in http.get("/api/responses/best").json["responses"]]
    assert scores == sorted(scores, reverse=True)
    assert len(http.get("/api/responses/of-post?post_id=7").json["responses"]) == 6
    assert http.get("/api/responses/quality").json["count"] > 0


def test_every_answer_names_its_worker(http: Any) -> None:
    assert http.get("/api/nothing").headers["X-Worker-Pid"].isdigit()
