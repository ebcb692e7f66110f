"""What the caller did not say: from the environment, else the default."""

from __future__ import annotations

import os
import sys

DEFAULT_SOCKET = "/run/poolwatch/poolwatch.sock"
DEFAULT_POOL = "app"
DEFAULT_PERIOD = 1.0
LONGEST_NAME = 100


def socket_path(argument: str | None) -> str:
    """The user's own runtime folder is looked into where there is no socket of the system."""
    named = argument or os.environ.get("POOLWATCH_SOCKET")
    if named or os.path.exists(DEFAULT_SOCKET) or not os.environ.get("XDG_RUNTIME_DIR"):
        return named or DEFAULT_SOCKET
    return os.path.join(os.environ["XDG_RUNTIME_DIR"], "poolwatch", "poolwatch.sock")


def pool_name(argument: str | None, app: str | None = None) -> str:
    """`{app}` in it stands for the application's name, so that two that share it are two."""
    name = argument or os.environ.get("POOLWATCH_POOL") or DEFAULT_POOL
    return name.replace("{app}", app_name(app))[:LONGEST_NAME]


def app_name(argument: str | None) -> str:
    return (argument or os.environ.get("POOLWATCH_APP") or _program())[:LONGEST_NAME]


def period() -> float:
    """Seconds between two reports, from 0.05 to 60."""
    try:
        return min(60.0, max(0.05, float(os.environ["POOLWATCH_PERIOD"])))
    except (KeyError, ValueError):
        return DEFAULT_PERIOD


def source_lines() -> bool:
    """Whether each checkout keeps by which code it was made. POOLWATCH_SOURCE_LINES=0: no."""
    return os.environ.get("POOLWATCH_SOURCE_LINES", "1").lower() not in ("0", "off", "false", "no")


def _program() -> str:
    """`celery`, also where it was started as `python -m celery`."""
    path = sys.argv[0] if getattr(sys, "argv", None) else ""
    folder, name = os.path.split(path)
    return (os.path.basename(folder) if name == "__main__.py" else name) or "python"
