"""Statements by their normal form: no comment, no literal, each list one `?`.

What differs only in these is one statement to whoever judges it, and none of them is ever shown.
"""

from __future__ import annotations

import re
from typing import Any

LONGEST = 300
LONGEST_COLUMN_LIST = 20
# A statement with ten thousand parameters is cut before it is read.
LONGEST_READ = 8_000
LONGEST_END = 1_000
# A longer text is known by its length and its ends, so that nothing long is ever kept.
LONGEST_KEPT = 2_000
MOST_KNOWN = 500

_READS = re.compile(r"[\s(]*(?:SELECT|WITH|TABLE|VALUES)\b", re.I)
_CHANGES = re.compile(r"\s*(?:UPDATE|DELETE\s+FROM)\b", re.I)
_WRITES = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE\s[^()]*?\bSET|DELETE\s+FROM|MERGE\s+INTO)\b|\bSELECT\b.*\bINTO\b",
    re.I,
)
_LIMIT = re.compile(r"(?<![.\w])(?:LIMIT\s+(?!ALL\b|NULL\b)|FETCH\s+(?:FIRST|NEXT)\b)", re.I)
_FROM = re.compile(r"\b(?:FROM|UPDATE)\s", re.I)
_LOOKS_UP = re.compile(
    r"(?<![<>!=])=\s*(?:(?:ANY|CAST|LOWER|UPPER)\s*)?\(?\s*(?:ARRAY\s*\[)?\s*\?|\bIN\s*\(\s*\?|\?\s*=",
    re.I,
)
_PAGES = re.compile(r"\bOFFSET\s+\?|[<>]=?\s*(?:\?|\(\s*\?)", re.I)
_ORDERED = re.compile(r"\bORDER\s+BY\b", re.I)
_AGGREGATES = re.compile(r"[\s(]*SELECT\s+(?:count|sum|min|max|avg|exists|coalesce)\s*\(", re.I)
_WHERE = re.compile(r"\bWHERE\b", re.I)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_INNERMOST = re.compile(r"\([^()]*\)")
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
_COMMENT = re.compile(r"\s*(?:--[^\n]*|/\*.*?(?:\*/|\Z))\s*", re.S)
_VALUE = re.compile(r"'[^']*'|(?<![\w$%\".])\d+(?:\.\d+)?\b")
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)")
_COLUMNS = re.compile(r"(?<=SELECT )(.*?)(?= FROM )", re.I)


class Statement:
    """A normal form, and what can be told of every statement that has it."""

    __slots__ = (
        "aggregates",
        "changes",
        "is_select",
        "limited",
        "looks_up",
        "may_repeat",
        "pages",
        "reads_table",
        "shown",
    )

    def __init__(self, text: str) -> None:
        plain = _QUOTED.sub("n", text)
        self.is_select = bool(_READS.match(plain)) and not _WRITES.search(plain)
        self.changes = bool(_CHANGES.match(plain))
        self.reads_table = bool(_FROM.search(plain))
        self.limited = _is_limited(plain)
        where = plain[match.end() :] if (match := _WHERE.search(plain)) else ""
        self.looks_up = bool(_LOOKS_UP.search(where))
        self.pages = self.limited and bool(_ORDERED.search(plain) and _PAGES.search(plain))
        self.aggregates = bool(_AGGREGATES.match(plain)) and " GROUP BY " not in plain.upper()
        self.shown = _shortened(text)
        reads = self.is_select and self.reads_table and not self.pages
        # Whether running it again and again, for one row each, is a fault.
        self.may_repeat = (reads or self.changes) and self.looks_up


def is_select(statement: str) -> bool:
    return known(statement).is_select


def is_unlimited_select(statement: str) -> bool:
    read = known(statement)
    return read.is_select and not read.limited


def shown(statement: str) -> str:
    """The statement with `?` for literals and parameters, its column list and its end shortened."""
    return known(statement).shown


_known: dict[Any, Statement] = {}
_by_form: dict[str, Statement] = {}


def known(statement: str) -> Statement:
    """Read once for each text, and for texts that differ in comments or plain values alike."""
    found = _known.get(statement if len(statement) <= LONGEST_KEPT else _ends_of(statement))
    return found if found is not None else _found(statement)


def _found(statement: str) -> Statement:
    text = _COMMENT.sub(" ", statement) if "/*" in statement or "--" in statement else statement
    key: Any = text if len(text) <= LONGEST_KEPT else _ends_of(text)
    found = _known.get(key)
    if found is None:
        rough = _VALUE.sub("?", _ends(text))
        found = _known.get(rough)
        if found is None:
            found = _read(_ends(statement))
            _keep(rough, found)
        _keep(key, found)
    return found


def _read(text: str) -> Statement:
    form = _LIST.sub("(?)", " ".join(_TOKEN.sub(_replaced, text).split()))
    found = _by_form.get(form)
    if found is None:
        if len(_by_form) >= MOST_KNOWN:
            _by_form.clear()
        found = _by_form[form] = Statement(form)
    return found


def _keep(key: Any, found: Statement) -> None:
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    if not isinstance(key, str) or len(key) <= LONGEST_KEPT:
        _known[key] = found


def _ends_of(statement: str) -> tuple[int, str, str]:
    return len(statement), statement[:LONGEST_END], statement[-LONGEST_END:]


def _ends(statement: str) -> str:
    """Its beginning, and its end where a LIMIT stands."""
    if len(statement) <= LONGEST_READ:
        return statement
    return f"{statement[: LONGEST_READ - LONGEST_END]} {statement[-LONGEST_END:]}"


def _is_limited(text: str) -> bool:
    """Whether the statement itself has a LIMIT; one of a subquery does not count."""
    if text.lstrip().startswith("("):
        return bool(_LIMIT.search(text))
    while (outer := _INNERMOST.sub(" ", text)) != text:
        text = outer
    return bool(_LIMIT.search(text))


def _shortened(text: str) -> str:
    text = _COLUMNS.sub(_shortened_columns, text, count=1)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _replaced(token: re.Match[str]) -> str:
    if token.lastgroup == "name":
        return token.group()
    return " " if token.lastgroup == "comment" else "?"


def _shortened_columns(columns: re.Match[str]) -> str:
    return columns.group() if len(columns.group()) <= LONGEST_COLUMN_LIST else "…"
