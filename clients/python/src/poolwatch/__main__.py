"""`python -m poolwatch check [MODULE]`."""

from __future__ import annotations

import argparse
import sys

from poolwatch import __version__
from poolwatch.check import check


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m poolwatch")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    its = commands.add_parser(
        "check", help="says whether poolwatch hears this process, and if not, why"
    )
    its.add_argument(
        "module",
        nargs="?",
        metavar="MODULE",
        help="the application's, as `app.db`: it is imported, and its pools are listed",
    )
    return check(parser.parse_args().module)


if __name__ == "__main__":
    sys.exit(main())
