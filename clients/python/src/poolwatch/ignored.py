"""Findings that somebody knows of and does not want to be told again."""

from __future__ import annotations

import os
import re
from fnmatch import translate

_patterns: list[re.Pattern[str]] = []


def ignore(*patterns: str) -> None:
    """Drops findings whose statement or source line is like one of these, as `app/report.py:*`.

    `*` stands for any text. What is dropped is not counted either.
    """
    _patterns.extend(re.compile(translate(pattern.strip()), re.I) for pattern in patterns)


def is_ignored(statement: str, line: str | None) -> bool:
    return any(
        pattern.match(statement) or (line is not None and pattern.match(line))
        for pattern in _patterns
    )


ignore(*filter(str.strip, os.environ.get("POOLWATCH_IGNORE", "").split(";")))
