"""Creates the schema and fills it with sample data: `python -m redditbot.db`.

Safe to run many times: what is there stays, and only an empty database is given data.
"""

import argparse
import random
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import URL, Connection, create_engine, insert, select, text
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, DropIndex

from redditbot.models import (
    INDEXES,
    AIResponse,
    AnalyticsEvent,
    Base,
    Client,
    Config,
    MatchedPost,
    User,
)
from redditbot.session import database_url

Row = dict[str, Any]

CLIENTS = 100
USERS = 1_200
CONFIGS = 1_200
POSTS = 2_000
RESPONSES_OF_A_POST = 6
EVENTS = 50_000
DAYS = 30

SUBREDDITS = [
    *(
        "python",
        "django",
        "flask",
        "postgresql",
        "sql",
        "database",
        "devops",
        "sysadmin",
        "docker",
        "kubernetes",
    ),
    *(
        "selfhosted",
        "startups",
        "saas",
        "smallbusiness",
        "marketing",
        "webdev",
        "backend",
        "dataengineering",
    ),
    *("learnprogramming", "experienceddevs"),
]
TOPICS = [
    "connection pools",
    "slow queries",
    "missing indexes",
    "backups",
    "migrations",
    "caching",
    "deployments",
]
TONES = ["friendly", "brief", "technical"]
# Weights in parts of a thousand. The rarest is what only idx_analytics_event_date finds quickly.
EVENT_TYPES = {
    "post_matched": 300,
    "response_drafted": 250,
    "response_reviewed": 200,
    "response_posted": 150,
    "reply_received": 60,
    "upvote_received": 35,
    "response_flagged": 5,
}

# Anything but a round number: it only has to differ from other applications' locks.
CREATION_LOCK = 7_215_340


def create(without_indexes: Collection[str] = ()) -> None:
    """The whole schema with its data, but for the indexes named, in one transaction."""
    engine = create_engine(plain_url(), poolclass=NullPool)
    with engine.begin() as connection:
        # Several applications may start at the same time.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATION_LOCK})
        Base.metadata.create_all(connection)
        if connection.scalar(select(Client.id).limit(1)) is None:
            fill(connection)
        for name in INDEXES:
            if name in without_indexes:
                drop_index(connection, name)
            else:
                create_index(connection, name)
    # Without statistics the planner guesses, and may scan where it should use an index.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE " + ", ".join(Base.metadata.tables)))


def plain_url() -> URL:
    """Without plugins and their options: filling a database is not the watched pool at work."""
    url = database_url()
    prefixes = tuple(f"{plugin}_" for plugin in url.normalized_query.get("plugin", ()))
    return url.difference_update_query(
        [option for option in url.query if option == "plugin" or option.startswith(prefixes)]
    )


def drop_index(connection: Connection, name: str) -> None:
    be_brief(connection)
    connection.execute(DropIndex(INDEXES[name], if_exists=True))


def create_index(connection: Connection, name: str) -> None:
    be_brief(connection)
    connection.execute(CreateIndex(INDEXES[name], if_not_exists=True))


def be_brief(connection: Connection) -> None:
    """Both lock the table, and everybody else queues behind whoever waits for that lock."""
    connection.execute(text("SET LOCAL lock_timeout = '2s'"))
    connection.execute(text("SET LOCAL statement_timeout = '30s'"))


def missing_indexes(connection: Connection) -> list[str]:
    present = set(
        connection.scalars(
            text("SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()")
        )
    )
    return [name for name in INDEXES if name not in present]


def fill(connection: Connection) -> None:
    # The same data every time, but for the clock.
    chance = random.Random(2024)
    now = datetime.now(timezone.utc)
    post_rows = list(posts(chance, now))
    connection.execute(insert(Client), list(clients()))
    connection.execute(insert(User), list(users()))
    connection.execute(insert(Config), list(configs()))
    connection.execute(insert(MatchedPost), post_rows)
    connection.execute(insert(AIResponse), list(responses(chance, post_rows)))
    connection.execute(insert(AnalyticsEvent), list(events(chance, now)))


def clients() -> Iterator[Row]:
    for number in range(1, CLIENTS + 1):
        yield {"name": f"Client {number:03}"}


def users() -> Iterator[Row]:
    for number in range(USERS):
        # Neighbours in a list have different clients: loading each one's client is a query each.
        client = number % CLIENTS + 1
        yield {
            "client_id": client,
            "email": f"user{number}@client{client}.example",
            "full_name": f"User {number}",
        }


def configs() -> Iterator[Row]:
    for number in range(CONFIGS):
        yield {
            "client_id": number % CLIENTS + 1,
            "subreddit": SUBREDDITS[number // CLIENTS % len(SUBREDDITS)],
            "keywords": ", ".join(TOPICS[number % 5 : number % 5 + 2]),
            "tone": TONES[number % len(TONES)],
            "enabled": number % 10 != 0,
        }


def posts(chance: random.Random, now: datetime) -> Iterator[Row]:
    for number in range(POSTS):
        topic, subreddit = chance.choice(TOPICS), chance.choice(SUBREDDITS)
        yield {
            "client_id": chance.randrange(CLIENTS) + 1,
            "subreddit": subreddit,
            "title": f"What should I know about {topic}? ({number})",
            "body": f"I read a lot about {topic} in r/{subreddit} and still have questions. " * 8,
            "reviewed": chance.random() < 0.7,
            "created_at": some_time_before(now, chance),
        }


def responses(chance: random.Random, post_rows: list[Row]) -> Iterator[Row]:
    for post_id, post in enumerate(post_rows, start=1):
        for _ in range(RESPONSES_OF_A_POST):
            yield {
                "post_id": post_id,
                "client_id": post["client_id"],
                "content": f"A good start on '{post['title']}' is to measure first. " * 4,
                "score": round(chance.betavariate(5, 2), 4),
                "created_at": post["created_at"] + timedelta(minutes=chance.randint(1, 60)),
            }


def events(chance: random.Random, now: datetime) -> Iterator[Row]:
    types = chance.choices(list(EVENT_TYPES), weights=list(EVENT_TYPES.values()), k=EVENTS)
    for event_type in types:
        yield {
            "client_id": chance.randrange(CLIENTS) + 1,
            "event_type": event_type,
            "created_at": some_time_before(now, chance),
        }


def some_time_before(now: datetime, chance: random.Random) -> datetime:
    return now - timedelta(seconds=chance.randrange(DAYS * 24 * 3600))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m redditbot.db", description=__doc__)
    parser.add_argument(
        "--without-index",
        action="append",
        default=[],
        choices=list(INDEXES),
        help="leave this index out, or drop it if it is there (may be given several times)",
    )
    create(parser.parse_args().without_index)


if __name__ == "__main__":
    main()
