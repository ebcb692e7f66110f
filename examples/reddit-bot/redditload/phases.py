"""The phases: what each does to the application, and where that shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Callable

from redditload.run import Run, Task

# Small pages, joined in one query, and counts made by the database: nothing to complain about. Now and then somebody
# writes.
REVIEW = "POST /api/posts/review?post_id={n}"
GOOD_PATHS = [
    "/api/posts?page_size=20&page={n}",
    "/api/users?page_size=20&page={n}",
    "/api/configs?page_size=20&page={n}",
    "/api/posts/of-client?client_id={n}",
    "/api/posts/of-client?client_id={n}&reviewed=no",
    "/api/posts/of-subreddit",
    REVIEW,
    "/api/posts/count",
    "/api/responses/best",
    "/api/responses/quality?client_id={n}",
    "/api/responses/of-post?post_id={n}",
    "/api/analytics/daily?client_id={n}",
    "/api/analytics/client-events?client_id={n}",
    "/api/analytics/recent",
    REVIEW,
]
LAZY_PATHS = [f"/api/{table}?loading=lazy&page={{n}}" for table in ("posts", "users", "configs")]
UNPAGINATED_PATHS = [
    "/api/users?paginated=no",
    "/api/posts/count?counting=python",
    "/api/configs?paginated=no",
    "/api/posts?paginated=no",
]
# The columns of its index lead no other and are in none: without it, six rows are found by reading
# all 12,000.
RESPONSES_OF_POST = "/api/responses/of-post?post_id={n}"
RESPONSES_OF_POST_INDEX = "idx_responses_post_client"
# The worker that troubles of a single worker happen to.
HOT = 0


@dataclass(frozen=True)
class Phase:
    happening: str
    look_at: str
    tasks: Callable[[Run], Iterator[Task]]


def browse(run: Run, paths: list[str], per_second: float, place: int = 0, step: int = 1) -> None:
    """Visits paths one after the other, at one worker after the other, breathing."""
    for n in count():
        if run.over:
            return
        visit(run, place + n * step, paths[n % len(paths)], n)
        run.wait(1 / (1 + run.level * (per_second - 1)))


def visit(run: Run, place: int, path: str, n: int) -> None:
    """The nth visit; a path that is written to says so in front."""
    method, _, path = path.rpartition(" ")
    (run.post if method == "POST" else run.get)(place, path.format(n=n % 20 + 1))


def hold_while(run: Run, place: int, level: float, seconds: float) -> None:
    """Keeps a connection for a moment, again and again, while the breath is above a level."""
    while not run.over:
        if run.level > level:
            run.post(place, f"/troubles/hold?seconds={min(seconds, run.remaining):.3f}")
        else:
            run.wait(0.1)


def healthy(run: Run) -> Iterator[Task]:
    yield partial(browse, run, GOOD_PATHS, per_second=30)
    # With whoever browses that makes four: the pool of five never needs its overflow.
    for place in range(len(run.workers)):
        for holder in range(3):
            yield partial(hold_while, run, place, level=(holder + 0.5) / 3, seconds=0.5)


def breathing(run: Run) -> Iterator[Task]:
    yield partial(browse, run, GOOD_PATHS, per_second=10)
    # The fewest that are more than nine tenths: 19 of 20.
    holders = run.worker(HOT).capacity() * 9 // 10 + 1
    for place in range(len(run.workers)):
        for holder in range(holders):
            # Up to 0.9 only, so that the last one, too, holds for a while.
            yield partial(
                hold_while,
                run,
                place,
                level=0.9 * holder / holders,
                seconds=min(2, run.seconds / 8),
            )


def saturation(run: Run) -> Iterator[Task]:
    yield from background(run)
    yield partial(hold_all, run, run.worker(HOT).capacity())
    for _ in range(3):
        yield partial(browse, run, GOOD_PATHS, per_second=10, place=HOT, step=len(run.workers))


def hold_all(run: Run, capacity: int) -> None:
    while not run.over:
        run.post(HOT, f"/troubles/hold?connections={capacity}&seconds={min(60, run.remaining):.3f}")


def leak(run: Run) -> Iterator[Task]:
    yield from background(run)
    yield partial(leak_slowly, run, run.worker(HOT).capacity())


def leak_slowly(run: Run, capacity: int) -> None:
    for _ in range(capacity - 1):
        if run.over or run.post(HOT, "/troubles/leak") is None:
            return
        run.wait(0.7 * run.seconds / capacity)


def n_plus_one(run: Run) -> Iterator[Task]:
    yield from background(run)
    yield partial(browse, run, LAZY_PATHS, per_second=3)


def unpaginated(run: Run) -> Iterator[Task]:
    yield from background(run)
    yield partial(browse, run, UNPAGINATED_PATHS, per_second=1)


def slow_query(run: Run) -> Iterator[Task]:
    yield from background(run)
    for place in range(2):
        yield partial(sleep_in_database, run, place)


def sleep_in_database(run: Run, place: int) -> None:
    while not run.over:
        run.post(place, f"/troubles/slow-query?seconds={min(1.5, run.remaining):.3f}")
        run.wait(0.5)


def missing_index(run: Run) -> Iterator[Task]:
    run.post(HOT, f"/troubles/indexes/{RESPONSES_OF_POST_INDEX}/drop")
    yield from background(run)
    yield partial(browse, run, [RESPONSES_OF_POST], per_second=20)


def background(run: Run) -> Iterator[Task]:
    """The other workers have their usual, quiet day; a single worker has no others."""
    others = len(run.workers) - 1
    if others:
        yield partial(browse_others, run, others)


def browse_others(run: Run, others: int) -> None:
    for n in count():
        if run.over:
            return
        visit(run, HOT + 1 + n % others, GOOD_PATHS[n % len(GOOD_PATHS)], n)
        run.wait(0.2)


PHASES = {
    "healthy": Phase(
        "lists by the page, joined and counted in SQL, and some writing; no pool outgrows its 5 "
        "connections",
        'db_pool_status{status="healthy"} stays 1, no poolwatch_advice about the pool',
        healthy,
    ),
    "breathing": Phase(
        "every worker's pool fills from idle to 95 % and empties again; nobody has to wait",
        "db_pool_utilization_ratio; db_pool_status goes through warning to critical and back",
        breathing,
    ),
    "saturation": Phase(
        "one hot worker has every connection taken and callers waiting; the others are quiet",
        "db_pool_busiest_worker_utilization_ratio at 1 beside db_pool_utilization_ratio",
        saturation,
    ),
    "leak": Phase(
        "one worker checks out sessions and never returns them, until one connection is left",
        "db_pool_checked_out only climbs; db_pool_oldest_checkout_seconds grows with the clock",
        leak,
    ),
    "n_plus_one": Phase(
        "lists load what belongs to each row with a query of its own: 51 queries for 50 rows",
        "db_n_plus_one_checkouts_total; poolwatch's /health/detailed names the source line",
        n_plus_one,
    ),
    "unpaginated": Phase(
        "lists are read whole, and counted by reading them whole",
        "db_unpaginated_queries_total; poolwatch's /health/detailed names the source line",
        unpaginated,
    ),
    "slow_query": Phase(
        "two callers run queries of a second and a half, one after the other",
        "the upper buckets of db_query_duration_seconds, its p95 and p99",
        slow_query,
    ),
    "missing_index": Phase(
        f"{RESPONSES_OF_POST_INDEX} is dropped, and each query for a post's responses reads all",
        "pg_stat_user_tables_seq_tup_read of ai_responses; poolwatch names the statement",
        missing_index,
    ),
}
