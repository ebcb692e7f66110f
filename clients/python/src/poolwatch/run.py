"""`poolwatch-run COMMAND…`: starts a command so that every engine that it makes is watched."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

AUTOSTART = str(Path(__file__).parent / "autostart")


def main() -> int:
    chosen = _arguments()
    for name in ("pool", "socket", "app"):
        value = getattr(chosen, name)
        if value is not None:
            os.environ[f"POOLWATCH_{name.upper()}"] = value
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([AUTOSTART, path] if path else [AUTOSTART])
    command = [chosen.command, *chosen.arguments]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"poolwatch-run: {command[0]}: {error.strerror}", file=sys.stderr)
    return 127


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="poolwatch-run",
        description="Starts a command so that every SQLAlchemy engine that it makes is watched.",
    )
    parser.add_argument("--pool", help="the pools' name (POOLWATCH_POOL)")
    parser.add_argument("--socket", help="the socket of poolwatch (POOLWATCH_SOCKET)")
    parser.add_argument("--app", help="the application's name (POOLWATCH_APP)")
    parser.add_argument("command", metavar="COMMAND")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
