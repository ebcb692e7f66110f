"""Django's connections, one for each alias and thread, as a pool without a limit.

A connection is in use for the whole of a request or a task that is marked; elsewhere from a
statement to its end, or to that of its transaction. Between requests, where CONN_MAX_AGE keeps it
open, it rests. One in a pool (Django 5.1 and later) is watched by its pool; its statements here.
"""

from __future__ import annotations

import logging
import weakref
from time import perf_counter
from typing import Any, Callable

from poolwatch import settings
from poolwatch.attach import watch as watch_pool
from poolwatch.ledger import Ledger
from poolwatch.reporter import reporter
from poolwatch.requests import current_request
from poolwatch.signals import pass_on
from poolwatch.watches import STATEMENT_FIGURES, Gauges, Hold, Watch
from poolwatch.wrappers import wrap

logger = logging.getLogger("poolwatch")
_aliases: dict[str, Alias] = {}


class Alias:
    """The connections of one alias in all threads, open or not."""

    def __init__(self) -> None:
        self.wrappers: dict[int, weakref.ref[Any]] = {}

    def add(self, wrapper: Any) -> None:
        key = id(wrapper)
        self.wrappers[key] = weakref.ref(wrapper, lambda _: self.wrappers.pop(key, None))

    def open_now(self) -> int:
        each = [known() for known in list(self.wrappers.values())]
        return sum(1 for wrapper in each if wrapper is not None and wrapper.connection is not None)


class AliasWatch(Watch):
    counts_itself = False
    unknown = frozenset[str]()
    sees_statements = True

    def gauges(self, pool: Alias) -> Gauges | None:
        held = sum(1 for hold in list(self.ledger.holds.values()) if hold.watch is self)
        resting = max(0, pool.open_now() - held)
        return Gauges(size=0, max_overflow=None, checked_in=resting, checked_out=0)


def watch_all(connections: Any) -> None:
    """Watches the connections that there are, and those of threads to come."""
    wrap(connections, "create_connection", _create)
    for wrapper in connections.all(initialized_only=True):
        _watch(wrapper)


def _create(create: Callable[[str], Any]) -> Callable[[str], Any]:
    def create_watched(alias: str) -> Any:
        made = create(alias)
        _watch(made)
        return made

    return create_watched


def _watch(wrapper: Any) -> None:
    try:
        its = Connection(wrapper)
        wrap(wrapper, "connect", its.connecting)
        wrap(wrapper, "close", its.closing)
        wrap(wrapper, "_commit", its.committing)
        wrap(wrapper, "_rollback", its.rolling_back)
        wrap(wrapper, "close_if_unusable_or_obsolete", its.giving_back)
        if hasattr(wrapper, "close_if_health_check_failed"):  # since Django 4.1
            wrap(wrapper, "close_if_health_check_failed", its.checking)
        wrapper.execute_wrappers.insert(0, its.execute)
    except Exception:
        logger.warning("%r is not watched", wrapper, exc_info=True)


def _alias_watch(alias: str) -> AliasWatch:
    known = _aliases.setdefault(alias, Alias())
    ledger = _ledger_of(alias)
    for watch in ledger.watches():
        if isinstance(watch, AliasWatch) and watch.pool is known:
            return watch
    made = AliasWatch(known, ledger)
    ledger.add(made)
    return made


def _ledger_of(alias: str) -> Ledger:
    return reporter(settings.socket_path(None), settings.app_name(None)).ledger(_name_of(alias))


def _name_of(alias: str) -> str:
    return settings.pool_name(None if alias == "default" else alias)


class Connection:
    """What is done with one connection: one alias's in one thread. It does not keep it alive."""

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = weakref.ref(wrapper, self._forgotten)
        self._alias = wrapper.alias
        self._is_pooled = bool(getattr(wrapper, "settings_dict", {}).get("OPTIONS", {}).get("pool"))
        self._is_connecting = False
        if not self._is_pooled:
            self._watch = _alias_watch(self._alias)
            self._ledger = self._watch.ledger
            _aliases[self._alias].add(wrapper)

    # Its methods, each made from that which it was.

    def connecting(self, connect: Callable[[], Any]) -> Callable[[], Any]:
        def connect_timed() -> Any:
            if self._is_pooled:
                self._watch_pool()
                return connect()
            self._is_connecting = True
            asked = self._ledger.asked(self._watch)
            try:
                done = connect()
            except BaseException as error:
                self._ledger.refused(asked, self._watch, error)
                raise
            finally:
                self._is_connecting = False
            self._ledger.connected(getattr(self._wrapper(), "connection", None))
            self._acquired(asked)
            return done

        return connect_timed

    def closing(self, close: Callable[[], Any]) -> Callable[[], Any]:
        def close_watched() -> Any:
            try:
                return close()
            finally:
                self._returned()

        return close_watched

    def giving_back(self, close: Callable[[], Any]) -> Callable[[], Any]:
        """Django's own call for it before and after each request and each task of Celery."""

        def close_if_unusable_or_obsolete() -> Any:
            wrapper: Any = self._wrapper()
            is_doubtful = wrapper.errors_occurred and self._is_open()
            done = close()
            if not wrapper.in_atomic_block:
                self._broken(is_doubtful)
                self._returned()
            return done

        return close_if_unusable_or_obsolete

    def checking(self, check: Callable[[], Any]) -> Callable[[], Any]:
        def close_if_health_check_failed() -> Any:
            was_open = self._is_open()
            done = check()
            self._broken(was_open)
            return done

        return close_if_health_check_failed

    def committing(self, commit: Callable[[], Any]) -> Callable[[], Any]:
        def commit_timed() -> Any:
            started = perf_counter()
            try:
                return commit()
            finally:
                self._committed(started)
                self._used(is_transaction_over=True)

        return commit_timed

    def rolling_back(self, roll_back: Callable[[], Any]) -> Callable[[], Any]:
        def roll_back_watched() -> Any:
            try:
                return roll_back()
            finally:
                self._used(is_transaction_over=True)

        return roll_back_watched

    def execute(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        if self._is_connecting:
            return execute(sql, params, many, context)
        hold = self._hold()
        if hold is not None and isinstance(sql, str):
            hold.running = sql
        started = perf_counter()
        try:
            result = execute(sql, params, many, context)
        except BaseException as error:
            self._failed(hold, perf_counter() - started, error)
            self._used()
            raise
        self._executed(hold, perf_counter() - started, sql, params, context)
        self._used()
        return result

    # What is counted. None of it lets an exception out.

    def _watch_pool(self) -> None:
        try:
            pool: Any = getattr(self._wrapper(), "pool", None)
            if pool is not None and "_poolwatch" not in pool.__dict__:
                watch_pool(pool, pool=_name_of(self._alias))
                pool._poolwatch.ledger.learn(STATEMENT_FIGURES)
        except Exception as error:
            # Django will say what is wrong with it.
            pass_on(error)

    def _acquired(self, asked: float) -> None:
        self._ledger.acquired(asked, self._watch, self, self._wrapper)
        request = current_request()
        if request is not None:
            request.at_end(self._returned)

    def _hold(self) -> Hold | None:
        try:
            if self._is_pooled:
                wrapper: Any = self._wrapper()
                pool = wrapper.pool
                self._ledger = pool._poolwatch.ledger
                return self._ledger.holds.get(id(wrapper.connection))
            hold = self._ledger.holds.get(self)
            if hold is None:
                # It rested, open, and is there at once.
                self._acquired(self._ledger.asked(self._watch))
                hold = self._ledger.holds.get(self)
            return hold
        except Exception as error:
            pass_on(error)
            return None

    def _executed(
        self, hold: Hold | None, seconds: float, sql: Any, params: Any, context: Any
    ) -> None:
        try:
            if hold is not None:
                text = sql if isinstance(sql, str) else ""
                rows = context["cursor"].rowcount
                hold.running = None
                self._ledger.executed(hold, seconds, rows, text, params)
        except Exception as error:
            pass_on(error)

    def _failed(self, hold: Hold | None, seconds: float, raised: BaseException) -> None:
        try:
            if hold is not None:
                hold.running = None
                self._ledger.failed(seconds, raised)
        except Exception as error:
            pass_on(error)

    def _committed(self, started: float) -> None:
        try:
            if self._hold() is not None:
                self._ledger.commit.observe(perf_counter() - started)
        except Exception as error:
            pass_on(error)

    def _used(self, is_transaction_over: bool = False) -> None:
        """Outside of a request a connection rests between statements and transactions."""
        wrapper: Any = self._wrapper()
        if self._is_pooled or current_request() is not None or wrapper.in_atomic_block:
            return
        if is_transaction_over or wrapper.autocommit:
            self._returned()

    def _returned(self) -> None:
        if not self._is_pooled:
            self._ledger.returned(self)

    def _broken(self, was_open: bool) -> None:
        if was_open and not self._is_pooled and not self._is_open():
            self._ledger.disconnected()

    def _is_open(self) -> bool:
        return getattr(self._wrapper(), "connection", None) is not None

    def _forgotten(self, _: Any) -> None:
        """Its thread has ended."""
        self._returned()
