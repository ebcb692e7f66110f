"""Statements made fit to show: no literal, no comment, one short line."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

LONGEST = 300
LONGEST_COLUMN_LIST = 20
# A statement with ten thousand parameters is cut before it is read, and read once.
LONGEST_READ = 8_000
LONGEST_END = 1_000

_SELECT = re.compile(r"[\s(]*(?:SELECT|WITH)\b", re.I)
_WRITES = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)\b", re.I)
_LIMIT = re.compile(r"\b(?:LIMIT|FETCH)\b", re.I)
_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<name> "(?:[^"]|"")*(?:"|\Z) )
    | (?P<literal>
          \b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
        | '(?:[^']|'')*(?:'|\Z)
        | \$(?P<tag>\w*)\$ .*? (?:\$(?P=tag)\$|\Z)
        | %\(\w+\)s(?:::[\w ]+?\b)? | %s(?:::\w+)? | \$\d+(?:::\w+)? | (?<![:\w]):\w+
        | (?<![\w.$"])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b
      )
    """,
    re.X | re.S,
)
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_COLUMNS = re.compile(r"(?<=SELECT )(.*?)(?= FROM )", re.I)


def is_select(statement: str) -> bool:
    return _read(_ends(statement)).select


def is_unlimited_select(statement: str) -> bool:
    read = _read(_ends(statement))
    return read.select and not read.limit


def shown(statement: str) -> str:
    """The statement with `?` for literals and parameters, its column list and its end shortened."""
    return _read(_ends(statement)).shown


class _Read(NamedTuple):
    select: bool
    limit: bool
    shown: str


@lru_cache(maxsize=128)
def _read(statement: str) -> _Read:
    text = " ".join(_TOKEN.sub(_replaced, statement).split())
    return _Read(
        select=bool(_SELECT.match(text)) and not _WRITES.search(text),
        limit=bool(_LIMIT.search(text)),
        shown=_shortened(text),
    )


def _ends(statement: str) -> str:
    """Its beginning, and its end where a LIMIT stands."""
    if len(statement) <= LONGEST_READ:
        return statement
    return f"{statement[: LONGEST_READ - LONGEST_END]} {statement[-LONGEST_END:]}"


def _shortened(text: str) -> str:
    text = _COLUMNS.sub(_shortened_columns, _LIST.sub("(?)", text), count=1)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _replaced(token: re.Match[str]) -> str:
    if token.lastgroup == "name":
        return token.group()
    return " " if token.lastgroup == "comment" else "?"


def _shortened_columns(columns: re.Match[str]) -> str:
    return columns.group() if len(columns.group()) <= LONGEST_COLUMN_LIST else "…"
