"""What one checkout, or one request, ran: how often each statement, for how many rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from poolwatch.source_line import is_flush, source_line
from poolwatch.statement_text import LONGEST_KEPT, Statement, known

# A statement run this often may be an N+1; a fixed fan-out runs less often.
REPEATED = 10
# Runs at which the values that it is looked up by are compared: enough to tell a loop over rows
# from the same question asked again.
SAMPLED = {0: 5, 5: REPEATED, REPEATED: 15, 15: 20, 20: 40, 40: 80}
FIRST_SAMPLE = SAMPLED[0]
NEVER = 1 << 62
MOST_STATEMENTS = 200
# The texts of one checkout that are kept for a quick look-up, in characters.
MOST_TEXT = 32_000

_WHERE = re.compile(r"\bWHERE\b", re.I)
_ONE_VALUE = r"(?:%\(\w+\)s|\$\d+|%s|(?<!:):\w+|'(?:[^']|'')*'|-?\d+)"
_IN_LIST = re.compile(r"\bIN\s*\(((?:[^()]|%\(\w+\)s)*)\)", re.I)
_LOOKED_UP_BY = re.compile(
    rf"(?<![<>!=])=\s*(?:(?:ANY|CAST|LOWER|UPPER)\s*)?\(?\s*(?:ARRAY\s*\[)?\s*({_ONE_VALUE})"
    rf"|({_ONE_VALUE})(?:::\w+)?\s*=|\bIN\s*\(((?:[^()]|%\(\w+\)s)*)\)",
    re.I,
)
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|\$(\d+)|(%s)|(?<!:):(\w+)")


class Runs:
    """The runs of one statement. `sampled_at` is the next run to look at closely."""

    __slots__ = (
        "flushed",
        "keys",
        "ledger",
        "line",
        "list_length",
        "rows",
        "runs",
        "sampled_at",
        "statement",
    )

    def __init__(self, statement: Statement, ledger: Any) -> None:
        self.statement = statement
        self.ledger = ledger
        self.runs = 0
        self.rows = 0
        self.sampled_at = FIRST_SAMPLE if statement.may_repeat else NEVER
        # Made with the first sample: most statements run once.
        self.keys: set[str] | tuple[()] = ()
        self.list_length = 0
        self.line: str | None = None
        self.flushed = False

    def sample(self, text: str, parameters: Any) -> None:
        self.keys = {*self.keys, looked_up_by(text, parameters)}
        self.list_length = max(self.list_length, longest_list(text, parameters))
        if self.runs == REPEATED:
            self.line = source_line()
            self.flushed = is_flush()
        settled = self.runs >= REPEATED and len(self.keys) > 1
        self.sampled_at = NEVER if settled else SAMPLED.get(self.runs, NEVER)


class StatementRuns:
    """In the order of their first run. `texts` is for a quick look-up only, and bounded."""

    __slots__ = ("_kept", "repeated", "runs", "texts")

    def __init__(self) -> None:
        self.texts: dict[str, Runs] = {}
        self.runs: dict[Statement, Runs] = {}
        self.repeated = False
        self._kept = 0

    def runs_of(self, text: str, ledger: Any) -> Runs:
        """The runs of a text that is not in `texts`. Those of too many statements are not kept."""
        statement = known(text)
        runs = self.runs.get(statement)
        if runs is None:
            runs = Runs(statement, ledger)
            if len(self.runs) >= MOST_STATEMENTS:
                return runs
            self.runs[statement] = runs
        if len(text) <= LONGEST_KEPT and self._kept + len(text) <= MOST_TEXT:
            self._kept += len(text)
            self.texts[text] = runs
        return runs

    def sample(self, runs: Runs, text: str, parameters: Any) -> None:
        runs.sample(text, parameters)
        self.repeated = self.repeated or runs.runs >= REPEATED


def looked_up_by(text: str, parameters: Any) -> str:
    """The values that a statement's WHERE compares by equality."""
    where = _WHERE.search(text)
    start = where.end() if where else 0
    values = [
        _value(
            found.group(found.lastindex or 0),
            text,
            start + found.start(found.lastindex or 0),
            parameters,
        )
        for found in _LOOKED_UP_BY.finditer(text[start : start + 8_000])
    ]
    return "\0".join(values[:8])


def _value(value: str, text: str, at: int, parameters: Any) -> str:
    """A literal as it stands, a placeholder by what is passed for it."""
    passed = [
        _passed(found, text[: at + found.start()], parameters)
        for found in _PLACEHOLDER.finditer(value[:2_000])
    ]
    return repr(passed)[:500] if passed else value[:500]


def _passed(placeholder: re.Match[str], before: str, parameters: Any) -> Any:
    name, number, _, bound = placeholder.groups()
    try:
        if isinstance(parameters, Mapping):
            return parameters[name or bound]
        if number:
            return parameters[int(number) - 1]
        return parameters[before.count("%s")]
    except (LookupError, TypeError):
        return placeholder.group()


def longest_list(text: str, parameters: Any) -> int:
    """How many values the longest list has that it compares with: in the text, or one array."""
    lists = [found.group(1).count(",") + 1 for found in _IN_LIST.finditer(text)]
    values = parameters.values() if isinstance(parameters, Mapping) else parameters or ()
    arrays = [len(value) for value in values if isinstance(value, (list, tuple, set))]
    return max((*lists, *arrays), default=0)
