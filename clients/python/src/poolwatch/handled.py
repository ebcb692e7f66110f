"""Statements that a listener of the application's own runs, in place of the dialect.

One of SQLAlchemy's `do_execute` events that returns True has run the statement itself. Only where
there are such listeners are three of the client's put around them.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Callable

from sqlalchemy import event

from poolwatch.ledger import Ledger
from poolwatch.signals import pass_on
from poolwatch.statements import failed, finished

EVENTS = ("do_execute", "do_executemany", "do_execute_no_params")
# Where a statement's context keeps when its listeners began.
_STARTED = "_poolwatch_started"
_WATCHED = "_poolwatch_handled"


def watch_handled(engine: Any, ledger: Ledger) -> None:
    dialect = engine.dialect
    listened = [name for name in EVENTS if len(getattr(dialect.dispatch, name))]
    if not listened or _WATCHED in dialect.__dict__:
        return
    handled = Handled(ledger)
    listeners: list[tuple[str, Callable[..., Any]]] = [
        *((name, handled.begins) for name in listened),
        *((name, handled.is_the_dialects) for name in listened),
        ("after_cursor_execute", handled.ends),
        ("handle_error", handled.fails),
    ]
    setattr(dialect, _WATCHED, listeners)
    for name, listener in listeners:
        event.listen(engine, name, listener)
        if listener == handled.begins:
            # The first of them, for which these events have no option.
            getattr(dialect.dispatch, name).listeners.rotate(1)


def unwatch_handled(engine: Any) -> None:
    for name, listener in engine.dialect.__dict__.pop(_WATCHED, ()):
        event.remove(engine, name, listener)


class Handled:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def begins(self, *words: Any) -> None:
        words[-1].__dict__[_STARTED] = perf_counter()

    def is_the_dialects(self, *words: Any) -> None:
        """The last listener: nobody has run it, so that the dialect will, and is timed."""
        words[-1].__dict__.pop(_STARTED, None)

    def ends(
        self, _: Any, cursor: Any, statement: str, parameters: Any, context: Any, __: bool
    ) -> None:
        try:
            started = context.__dict__.pop(_STARTED, None)
            if started is not None:
                finished(self._ledger, started, cursor, statement, parameters, context)
        except Exception as error:
            pass_on(error)

    def fails(self, raised: Any) -> None:
        try:
            context = raised.execution_context
            started = context.__dict__.pop(_STARTED, None) if context is not None else None
            if started is not None:
                failed(self._ledger, started, raised.original_exception, context)
        except Exception as error:
            pass_on(error)
