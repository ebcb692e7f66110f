"""Timing statements by wrapping the dialect's own methods.

Documented methods of every dialect, and a seventh of what a pair of cursor events costs.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Callable

from poolwatch.ledger import Ledger

Call = Callable[..., Any]


def watch_statements(dialect: Any, ledger: Ledger) -> None:
    if dialect.__dict__.get("_poolwatch_ledger") is not None:
        return
    dialect._poolwatch_ledger = ledger
    dialect.do_execute = _timed(dialect.do_execute, ledger)
    dialect.do_executemany = _timed(dialect.do_executemany, ledger)
    dialect.do_execute_no_params = _timed_without_parameters(dialect.do_execute_no_params, ledger)
    dialect.do_commit = _timed_commit(dialect.do_commit, ledger)


def _timed(execute: Call, ledger: Ledger) -> Call:
    def do_execute(cursor: Any, statement: str, parameters: Any, context: Any = None) -> Any:
        started = perf_counter()
        try:
            result = execute(cursor, statement, parameters, context)
        except BaseException as error:
            ledger.failed(started, error, context)
            raise
        ledger.executed(started, cursor, statement, context, parameters)
        return result

    return do_execute


def _timed_without_parameters(execute: Call, ledger: Ledger) -> Call:
    def do_execute_no_params(cursor: Any, statement: str, context: Any = None) -> Any:
        started = perf_counter()
        try:
            result = execute(cursor, statement, context)
        except BaseException as error:
            ledger.failed(started, error, context)
            raise
        ledger.executed(started, cursor, statement, context)
        return result

    return do_execute_no_params


def _timed_commit(commit: Call, ledger: Ledger) -> Call:
    def do_commit(connection: Any) -> Any:
        started = perf_counter()
        try:
            return commit(connection)
        finally:
            ledger.committed(started, connection)

    return do_commit
