"""The application's own line that led to a statement."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from itertools import islice
from types import FrameType

LONGEST = 120
MOST_FRAMES = 200
MOST_FILES = 4096

# Their frames are between the application and a statement, and never the application's own.
_MACHINERY = ("poolwatch", "sqlalchemy", "sqlmodel", "django", "psycopg", "psycopg_pool", "asyncpg")
_STANDARD = tuple(
    os.path.abspath(sysconfig.get_paths()[kind]) + os.sep for kind in ("stdlib", "platstdlib")
)
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_UNIT_OF_WORK = os.path.join("sqlalchemy", "orm", "unitofwork.py")
_owners: dict[str, str] = {}


def source_line() -> str | None:
    """`file:line` of the innermost frame of the application.

    An application that is itself installed has only installed frames: then the innermost
    one outside SQLAlchemy.
    """
    installed: FrameType | None = None
    for frame in islice(_frames(sys._getframe(1)), MOST_FRAMES):
        owner = _owner(frame.f_code.co_filename)
        if owner == "application":
            return _shown(frame)
        if owner == "installed" and installed is None:
            installed = frame
    return _shown(installed) if installed else None


def is_flush() -> bool:
    """Whether the ORM writes what changed: its loop over rows is not the application's."""
    frames = islice(_frames(sys._getframe(1)), MOST_FRAMES)
    return any(frame.f_code.co_filename.endswith(_UNIT_OF_WORK) for frame in frames)


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Under asyncio SQLAlchemy runs in a greenlet, and its caller stands in the parent greenlet."""
    module = sys.modules.get("greenlet")
    greenlet = module.getcurrent() if module else None
    while True:
        while frame is not None:
            yield frame
            frame = frame.f_back
        greenlet = greenlet.parent if greenlet is not None else None
        if greenlet is None:
            return
        frame = greenlet.gr_frame


def _owner(file: str) -> str:
    owner = _owners.get(file)
    if owner is None:
        if len(_owners) >= MOST_FILES:
            _owners.clear()
        owner = _owners[file] = _judged(file)
    return owner


def _judged(file: str) -> str:
    path = os.path.abspath(file)
    if file.startswith("<") or any(path.startswith(folder) for folder in _machinery()):
        return "machinery"
    if any(folder in path for folder in _INSTALLED):
        return "installed"
    return "machinery" if path.startswith(_STANDARD) else "application"


def _machinery() -> Iterator[str]:
    for name in _MACHINERY:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None:
            yield os.path.dirname(os.path.abspath(file)) + os.sep


def _shown(frame: FrameType) -> str:
    path = os.path.abspath(frame.f_code.co_filename)
    here = os.getcwd() + os.sep
    short = path[len(here) :] if path.startswith(here) else os.sep.join(path.split(os.sep)[-3:])
    return f"{short[-LONGEST:]}:{frame.f_lineno}"
