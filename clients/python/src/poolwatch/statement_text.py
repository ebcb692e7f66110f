"""Statements made fit to show: no literal, no comment, one short line."""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST = 300
LONGEST_COLUMN_LIST = 20
# A statement with ten thousand parameters is cut before it is read, so that showing it stays cheap.
LONGEST_READ = 8_000

_SELECT = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(?:SELECT|WITH)\b", re.I | re.S)
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


@lru_cache(maxsize=128)
def is_select(statement: str) -> bool:
    read = statement[:LONGEST_READ]
    return bool(_SELECT.match(read)) and not _WRITES.search(_stripped(read))


@lru_cache(maxsize=128)
def is_unlimited_select(statement: str) -> bool:
    return is_select(statement) and not _LIMIT.search(_stripped(statement))


@lru_cache(maxsize=128)
def shown(statement: str) -> str:
    """The statement with `?` for literals and parameters, its column list and its end shortened."""
    text = " ".join(_stripped(statement[:LONGEST_READ]).split())
    text = _COLUMNS.sub(_shortened_columns, _LIST.sub("(?)", text), count=1)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _stripped(statement: str) -> str:
    return _TOKEN.sub(_replaced, statement)


def _replaced(token: re.Match[str]) -> str:
    if token.lastgroup == "name":
        return token.group()
    return " " if token.lastgroup == "comment" else "?"


def _shortened_columns(columns: re.Match[str]) -> str:
    return columns.group() if len(columns.group()) <= LONGEST_COLUMN_LIST else "…"
