"""`python -m poolwatch check`."""

from __future__ import annotations

import argparse
import sys

from poolwatch import __version__
from poolwatch.check import check


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m poolwatch")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("check", help="says whether poolwatch hears this process, and if not, why")
    parser.parse_args()
    return check()


if __name__ == "__main__":
    sys.exit(main())
