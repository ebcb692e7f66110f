"""The application's own line that led to a statement."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from itertools import islice
from types import CodeType, FrameType

# The code of a frame, and the instruction that it is at: what a source line is found by, later.
Call = tuple[CodeType, int]

LONGEST = 120
MOST_FRAMES_OF_A_CHECKOUT = 60
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
# The same, for a quick look-up.
_is_application: dict[str, bool] = {}
_getframe = sys._getframe


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


# How deep the application's frame was last time, and the code of one that is no application's.
_depth = 8
_installed_code: CodeType | None = None


def calling() -> Call | None:
    """The innermost frame of the application, told without keeping the frame alive.

    The stack is walked only where it is not as deep as it was at the last checkout.
    """
    depth = _depth
    try:
        frame = _getframe(depth)
        code = frame.f_code
        if (_is_application[code.co_filename] or code is _installed_code) and not _is_application[
            _getframe(depth - 1).f_code.co_filename
        ]:
            return code, frame.f_lasti
    except (KeyError, ValueError):
        pass
    try:
        return _walked(_getframe(1))
    except OSError:
        # The current folder was removed.
        return None


def _walked(innermost: FrameType) -> Call | None:
    global _depth, _installed_code
    installed: tuple[int, FrameType] | None = None
    frames = enumerate(islice(_frames(innermost), MOST_FRAMES_OF_A_CHECKOUT), start=1)
    for depth, frame in frames:
        owner = _owner(frame.f_code.co_filename)
        if owner == "application":
            _depth = depth
            return frame.f_code, frame.f_lasti
        if owner == "installed" and installed is None:
            installed = depth, frame
    if installed is None:
        return None
    _depth, frame = installed
    _installed_code = frame.f_code
    return frame.f_code, frame.f_lasti


def line_of(call: Call) -> str:
    """`file:line` of what `calling` told."""
    from dis import findlinestarts  # noqa: PLC0415

    code, instruction = call
    lines = [line for start, line in findlinestarts(code) if line and start <= instruction]
    return _written(code.co_filename, lines[-1] if lines else code.co_firstlineno)


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
            _is_application.clear()
        owner = _owners[file] = _judged(file)
        _is_application[file] = owner == "application"
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
    return _written(frame.f_code.co_filename, frame.f_lineno)


def _written(file: str, line: int | None) -> str:
    path = os.path.abspath(file)
    here = os.getcwd() + os.sep
    short = path[len(here) :] if path.startswith(here) else os.sep.join(path.split(os.sep)[-3:])
    return f"{short[-LONGEST:]}:{line}"
