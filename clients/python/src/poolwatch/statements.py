"""Timing SQLAlchemy's statements by wrapping the dialect's own methods.

Documented methods of every dialect, and a seventh of what a pair of cursor events costs.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Callable

from sqlalchemy.pool.base import _ConnectionFairy

from poolwatch.ledger import Ledger
from poolwatch.places import current_place
from poolwatch.signals import pass_on
from poolwatch.watches import Hold
from poolwatch.wrappers import unwrap, wrap

Call = Callable[..., Any]


def watch_statements(dialect: Any, ledger: Ledger) -> None:
    if dialect.__dict__.get("_poolwatch_ledger") is not None:
        return
    dialect._poolwatch_ledger = ledger
    wrap(dialect, "do_execute", lambda call: _timed(call, ledger))
    wrap(dialect, "do_executemany", lambda call: _timed(call, ledger))
    wrap(dialect, "do_execute_no_params", lambda call: _timed_without_parameters(call, ledger))
    wrap(dialect, "do_commit", lambda call: _timed_commit(call, ledger))


def unwatch_statements(dialect: Any) -> None:
    unwrap(dialect)
    dialect.__dict__.pop("_poolwatch_ledger", None)


def _timed(execute: Call, ledger: Ledger) -> Call:
    def do_execute(cursor: Any, statement: str, parameters: Any, context: Any = None) -> Any:
        hold = None
        try:
            connection = context._dbapi_connection
            hold = ledger.holds.get(connection._connection_record) or _unknown(ledger, connection)
            if hold is not None:
                hold.running, hold.running_since = statement, perf_counter()
        except Exception as error:
            pass_on(error)
        started = perf_counter()
        try:
            result = execute(cursor, statement, parameters, context)
        except BaseException as error:
            if hold is not None:
                hold.running = None
            failed(ledger, started, error, context)
            raise
        try:
            if hold is not None:
                seconds = perf_counter() - started
                hold.running = None
                ledger.executed(hold, seconds, cursor.rowcount, statement, parameters)
        except Exception as error:
            # No checkout to count it under: the dialect's own statements at its first connect.
            pass_on(error)
        return result

    return do_execute


def _timed_without_parameters(execute: Call, ledger: Ledger) -> Call:
    def without(cursor: Any, statement: str, _parameters: Any, context: Any) -> Any:
        return execute(cursor, statement, context)

    timed = _timed(without, ledger)

    def do_execute_no_params(cursor: Any, statement: str, context: Any = None) -> Any:
        return timed(cursor, statement, None, context)

    return do_execute_no_params


def _unknown(ledger: Ledger, connection: Any) -> Hold | None:
    """The hold of a connection that was out before it was watched, from now on; or detached.

    None for the dialect's own statements at its first connect, which no checkout holds.
    """
    if not isinstance(connection, _ConnectionFairy):
        return None
    pool: Any = connection._pool
    hold = Hold(pool._poolwatch, perf_counter(), current_place())
    record = connection._connection_record
    return hold if record is None else ledger.holds.setdefault(record, hold)


def finished(
    ledger: Ledger, started: float, cursor: Any, statement: str, parameters: Any, context: Any
) -> None:
    """As above, where one call more does not matter."""
    seconds = perf_counter() - started
    connection = context._dbapi_connection
    hold = ledger.holds.get(connection._connection_record)
    if hold is not None:
        ledger.executed(hold, seconds, cursor.rowcount, statement, parameters)


def failed(ledger: Ledger, started: float, raised: BaseException, context: Any) -> None:
    try:
        seconds = perf_counter() - started
        record = context._dbapi_connection._connection_record
        if record is None or record in ledger.holds:
            ledger.failed(seconds, raised)
    except Exception as error:
        pass_on(error)


def _timed_commit(commit: Call, ledger: Ledger) -> Call:
    def do_commit(connection: Any) -> Any:
        started = perf_counter()
        try:
            return commit(connection)
        finally:
            _committed(ledger, started, connection)

    return do_commit


def _committed(ledger: Ledger, started: float, connection: Any) -> None:
    try:
        seconds = perf_counter() - started
        record = connection._connection_record
        if record is None or record in ledger.holds:
            ledger.commit.observe(seconds)
    except Exception as error:
        pass_on(error)
