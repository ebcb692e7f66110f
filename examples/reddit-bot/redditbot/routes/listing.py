"""What all lists share: the good and the bad way to read one, chosen by the address.

`loading=eager` joins what belongs to each row into one query; `loading=lazy` asks again for every
row. `paginated=no` reads the whole table. `counting=python` reads it all in order to count it.
"""

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import QueryableAttribute, Session, joinedload

from redditbot.models import Base
from redditbot.parameters import choice, whole_number, yes_or_no


def listed(session: Session, query: Select[Any], belonging: QueryableAttribute[Any]) -> list[Any]:
    """The rows of a query with what belongs to each, loaded and paginated as the address says."""
    if choice("loading", ("eager", "lazy"), "eager") == "eager":
        query = query.options(joinedload(belonging))
    if yes_or_no("paginated") is not False:
        size = whole_number("page_size", 50, 1, 100)
        query = query.limit(size).offset((whole_number("page", 1, 1, 10_000) - 1) * size)
    return list(session.scalars(query).unique())


def counted(session: Session, model: type[Base]) -> int:
    if choice("counting", ("sql", "python"), "sql") == "python":
        return len(session.scalars(select(model)).all())
    return session.scalar(select(func.count()).select_from(model)) or 0
