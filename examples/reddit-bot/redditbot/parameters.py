"""Reads the parameters of an address, all of them bounded; a wrong one is answered with 400."""

from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from typing import Callable, Optional

from flask import abort, request


def whole_number(name: str, default: int, least: int, most: int) -> int:
    return int(number(name, default, least, most, kind=int))


def seconds(name: str, default: float, most: float) -> float:
    return number(name, default, 0, most, kind=float)


def number(
    name: str, default: float, least: float, most: float, kind: Callable[[str], float]
) -> float:
    given = request.args.get(name)
    if given is None:
        return default
    try:
        value = kind(given)
    except ValueError:
        abort(400, f"{name} must be a number, not {given!r}")
    # "not (…)" so that nan is refused too.
    if not (least <= value <= most):
        abort(400, f"{name} must be between {least} and {most}, not {given}")
    return value


def choice(name: str, choices: Collection[str], default: str) -> str:
    given = request.args.get(name, default)
    if given not in choices:
        abort(400, f"{name} must be one of {', '.join(choices)}, not {given!r}")
    return given


def yes_or_no(name: str) -> Optional[bool]:
    """None where the address does not say."""
    if name not in request.args:
        return None
    return choice(name, ("yes", "no"), "no") == "yes"


def client_id() -> int:
    return whole_number("client_id", 1, 1, 2**31 - 1)


def days_ago(default: int) -> datetime:
    return datetime.now(timezone.utc) - timedelta(days=whole_number("days", default, 1, 365))
