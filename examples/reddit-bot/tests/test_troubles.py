"""Troubles come when asked for, within bounds, and go again."""

import threading
import time
from typing import Any

import pytest
from served import wait_for

from redditbot.app import application
from redditbot.session import get_connection_pool_stats


def checked_out() -> int:
    return int(get_connection_pool_stats()["checked_out"])


def test_a_leak_stays_until_it_is_given_back(http: Any) -> None:
    assert http.post("/troubles/leak?count=3").json == {"leaked": 3}
    assert http.post("/troubles/leak").json == {"leaked": 4}
    assert checked_out() == 4
    assert http.post("/troubles/release").json == {"given_back": 4}
    assert checked_out() == 0
    assert http.post("/troubles/release").json == {"given_back": 0}


def test_a_leak_is_bounded(http: Any) -> None:
    assert http.post("/troubles/leak?count=19").status_code == 200
    refused = http.post("/troubles/leak")
    assert refused.status_code == 409
    assert "19 is the limit" in refused.json["message"]
    assert checked_out() == 19


def test_a_leak_that_fails_is_not_counted(http: Any) -> None:
    holding = in_background("/troubles/hold?connections=18&seconds=30")
    wait_for(lambda: checked_out() == 18, 5)
    # Two connections are left, and the third is waited for in vain.
    assert http.post("/troubles/leak?count=3").status_code == 503
    assert http.post("/troubles/release").json == {"given_back": 2}
    holding.join(5)
    assert http.get("/troubles").json["leaked"] == 0


def test_a_hold_lasts_its_time(http: Any) -> None:
    started = time.monotonic()
    assert http.post("/troubles/hold?seconds=0.3&connections=2").json == {"held": 2}
    assert 0.3 <= time.monotonic() - started < 2
    assert checked_out() == 0


def test_release_ends_a_hold(http: Any) -> None:
    holding = in_background("/troubles/hold?connections=20&seconds=30")
    wait_for(lambda: checked_out() == 20, 5)
    http.post("/troubles/release")
    holding.join(5)
    assert not holding.is_alive()
    assert checked_out() == 0


def test_an_exhausted_pool_answers_503_after_its_timeout(http: Any) -> None:
    holding = in_background("/troubles/hold?connections=20&seconds=30")
    wait_for(lambda: checked_out() == 20, 5)
    answer = http.get("/api/users")
    http.post("/troubles/release")
    holding.join(5)
    assert answer.status_code == 503
    assert "not available" in answer.json["message"]


def test_a_slow_query_is_slow(http: Any) -> None:
    started = time.monotonic()
    assert http.post("/troubles/slow-query?seconds=0.4").status_code == 200
    assert 0.4 <= time.monotonic() - started < 2


def test_an_index_is_dropped_and_restored(http: Any) -> None:
    name = "idx_analytics_event_date"
    for _ in range(2):
        assert http.post(f"/troubles/indexes/{name}/drop").status_code == 200
        assert http.get("/troubles").json["missing_indexes"] == [name]
    assert http.get("/api/analytics/recent").status_code == 200
    for _ in range(2):
        assert http.post(f"/troubles/indexes/{name}/restore").status_code == 200
        assert http.get("/troubles").json["missing_indexes"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/troubles/leak?count=20", 400),
        ("/troubles/hold?seconds=61", 400),
        ("/troubles/hold?seconds=nan", 400),
        ("/troubles/hold?connections=21", 400),
        ("/troubles/slow-query?seconds=11", 400),
        ("/troubles/indexes/users_pkey/drop", 404),
    ],
)
def test_troubles_are_bounded(http: Any, path: str, status: int) -> None:
    assert http.post(path).status_code == status


def in_background(path: str) -> threading.Thread:
    thread = threading.Thread(target=lambda: application.test_client().post(path), daemon=True)
    thread.start()
    return thread
