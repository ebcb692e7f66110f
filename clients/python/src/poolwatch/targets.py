"""The servers that a pool's connections go to: host, port, database and role, never a password."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from typing import Any, Union

from poolwatch.signals import pass_on

Target = dict[str, Union[str, int]]

PORT = 5432
# What the protocol allows of one pool.
MOST_TARGETS = 8
# What the sidecar takes for a name.
LONGEST_NAME, LONGEST_HOST = 100, 255


def target(host: Any, port: Any, database: Any = None, role: Any = None) -> list[Target]:
    """One target, or none where the host is not known."""
    if not isinstance(host, str) or not 0 < len(host) <= LONGEST_HOST or _is_address(host):
        return []
    try:
        made: Target = {"host": host, "port": int(port or PORT)}
    except (TypeError, ValueError):
        return []
    for key, name in (("database", database), ("role", role)):
        # libpq takes a whole address in the place of a database.
        if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and not _is_address(name):
            made[key] = name
    return [made]


def _is_address(text: str) -> bool:
    return "=" in text or "://" in text or "@" in text[1:]


def of_parameters(parameters: dict[str, Any]) -> list[Target]:
    """By libpq's names, and its variables for what they leave open; several hosts by commas."""
    database = parameters.get("dbname", parameters.get("database")) or os.environ.get("PGDATABASE")
    role = parameters.get("user") or os.environ.get("PGUSER")
    hosts = _listed(
        parameters.get("host") or parameters.get("hostaddr") or os.environ.get("PGHOST")
    )
    ports = _listed(parameters.get("port") or os.environ.get("PGPORT")) or [str(PORT)]
    if len(ports) == 1:
        ports = ports * len(hosts)
    found: list[Target] = []
    for host, port in zip(hosts, ports):
        found += target(host, port, database or role, role)
    return found


def _listed(value: Any) -> list[str]:
    """Of libpq's and of asyncpg's form: by commas, or as a list."""
    if isinstance(value, (list, tuple)):
        return [str(each) for each in value]
    return [each.strip() for each in str(value).split(",")] if value else []


def of_connection(connection: Any) -> list[Target]:
    """The server of an open connection of psycopg, psycopg2 or asyncpg, in their own words."""
    try:
        connection = getattr(connection, "_connection", connection)
        if hasattr(connection, "_addr"):
            return _of_asyncpg(connection)
        info = getattr(connection, "info", None)
        if info is None or not hasattr(info, "dbname"):
            return []
        return target(info.host, info.port, info.dbname, info.user)
    except Exception as error:
        # A connection that was closed meanwhile tells nothing.
        pass_on(error)
        return []


def _of_asyncpg(connection: Any) -> list[Target]:
    address, parameters = connection._addr, getattr(connection, "_params", None)
    database, role = getattr(parameters, "database", None), getattr(parameters, "user", None)
    if isinstance(address, str):
        # The path of the socket itself, which ends with the port.
        folder, _, port = address.rpartition("/.s.PGSQL.")
        return target(folder, port, database or role, role)
    host, port = address[:2]
    return target(host, port, database or role, role)


def distinct(targets: Iterable[Target]) -> list[Target]:
    """Each once, and no more than a report may have."""
    seen = {tuple(each.items()): each for each in targets}
    return list(islice(seen.values(), MOST_TARGETS))
