"""What happened to the pools of one name in this process: counters, histograms, holds."""

from __future__ import annotations

import threading
import weakref
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc
from sqlalchemy.pool import Pool
from sqlalchemy.pool.base import _ConnectionFairy

from poolwatch import findings
from poolwatch.forks import notice as notice_fork
from poolwatch.forks import same_process
from poolwatch.gauges import Gauges, gauges, is_counted, open_slots
from poolwatch.histogram import ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS, Histogram
from poolwatch.requests import current_request
from poolwatch.signals import pass_on
from poolwatch.source_line import source_line
from poolwatch.statement_runs import Runs, StatementRuns, longest_list

if TYPE_CHECKING:
    from poolwatch.reporter import Reporter


# A return folds the histograms beyond this, so that the reporter never has much to fold at once.
MOST_UNFOLDED = 256


NO_TEXTS: dict[str, Any] = {}


class Hold:
    """A connection in the application's hands."""

    __slots__ = ("pool", "request", "started", "statements", "texts")

    def __init__(self, pool: Pool, started: float, request: StatementRuns | None) -> None:
        self.pool = pool
        self.started = started
        # Judged with the request where one is marked, else at the return.
        self.request = self.statements = request
        self.texts = NO_TEXTS if request is None else request.texts

    def begin(self) -> StatementRuns:
        """Made at the first statement: a checkout may run none."""
        if self.statements is None:
            self.statements = StatementRuns()
            self.texts = self.statements.texts
        return self.statements


class Watch:
    """What is known of one pool: whose it is, and whether this process has used it yet."""

    __slots__ = ("inherited", "is_new", "ledger", "pool")

    def __init__(self, pool: Pool, ledger: Ledger) -> None:
        self.pool = pool
        self.ledger = ledger
        self.is_new = True
        self.inherited = 0


class Ledger:
    """Kept by name, not by pool: `dispose()` replaces the pool, and counters must never fall.

    Every method is called from the application's own path, so none lets an exception out.
    """

    def __init__(self, name: str, reporter: Reporter) -> None:
        self.name = name
        self.reporter = reporter
        self._pools: list[weakref.ref[Pool]] = []
        self.clear()

    def clear(self) -> None:
        """Starts from zero, as a new process must."""
        # Reentrant: the garbage collector may return a leaked connection while the lock is held.
        self.lock = threading.RLock()
        self.holds: dict[Any, Hold] = {}
        self._invalid: set[int] = set()
        # Callers inside the call that gets a connection, and those of them that wait for a place.
        self.asking: list[None] = []
        self.pending: list[None] = []
        self.pending_peak = 0
        self.peak = self.timeouts = self.acquire_errors = self.opened = 0
        self.invalidated = self.inherited = self.query_errors = 0
        self.n_plus_one = self.unpaginated = 0
        self.query, self.commit = Histogram(BOUNDS), Histogram(BOUNDS)
        self.acquire, self.hold = Histogram(ACQUIRE_BOUNDS), Histogram(HOLD_BOUNDS)
        self.findings = findings.Findings()

    # The pool's life.

    def add(self, pool: Pool, instead_of: Pool | None = None) -> None:
        with self.lock:
            kept = [known for known in self.pools() if known is not instead_of]
            self._pools = [weakref.ref(known) for known in (*kept, pool)]

    def pools(self) -> list[Pool]:
        return [pool for pool in (known() for known in self._pools) if pool is not None]

    def forked(self) -> None:
        """In the child: what the parent's pools hold open is inherited, and ruinous to use."""
        held = list(self.holds.values())
        self.clear()
        for pool in self.pools():
            watch: Watch = pool.__dict__["_poolwatch"]
            watch.inherited = max(open_slots(pool), sum(1 for hold in held if hold.pool is pool))
            watch.is_new = True

    def rest(self) -> bool:
        """Before a fork: whether nothing is held. The next use of a pool begins anew."""
        for pool in self.pools():
            pool.__dict__["_poolwatch"].is_new = True
        return not self.holds

    def begin(self, watch: Watch) -> None:
        """The first use of a pool in this process: what it inherited it will now hand out."""
        notice_fork()
        with self.lock:
            watch.is_new = False
            self.inherited, watch.inherited = self.inherited + watch.inherited, 0
        self.reporter.begin()

    def connected(self) -> None:
        with self.lock:
            self.opened += 1

    def disconnected(self, record: Any) -> None:
        with self.lock:
            self.invalidated += 1
            self._invalid.add(id(record))

    def closed(self, record: Any) -> None:
        """One broken connection invalidates all that were opened before: each counts, once."""
        with self.lock:
            if id(record) in self._invalid:
                self._invalid.discard(id(record))
            elif _pool_of(record)._invalidate_time > record.starttime:
                self.invalidated += 1

    # A checkout's life. No lock: what is shared is changed by single calls into C.

    def asked(self, watch: Watch) -> float:
        asked = perf_counter()
        try:
            if watch.is_new or not same_process[0]:
                self.begin(watch)
            self.asking.append(None)
        except Exception as error:
            pass_on(error)
        return asked

    def refused(self, asked: float, raised: BaseException) -> None:
        try:
            self.asking.pop()
            self.acquire.observe(perf_counter() - asked)
            with self.lock:
                if isinstance(raised, exc.TimeoutError):
                    self.timeouts += 1
                elif isinstance(raised, Exception):
                    self.acquire_errors += 1
        except Exception as error:
            pass_on(error)

    def acquired(self, asked: float, watch: Watch, record: Any) -> None:
        try:
            now = perf_counter()
            self.asking.pop()
            self.acquire.observe(now - asked)
            self.holds.setdefault(record, Hold(watch.pool, now, current_request()))
            out = len(self.holds)
            if out > self.peak:
                self.peak = out
        except Exception as error:
            pass_on(error)

    def returned(self, record: Any) -> None:
        try:
            hold = self.holds.pop(record, None)
            if hold is None:
                return
            now = perf_counter()
            self.hold.observe(now - hold.started)
            done = hold.statements
            if done is not None and done.repeated and hold.request is None:
                judge(done)
            if len(self.query.unfolded) >= MOST_UNFOLDED:
                self.fold()
            if now > self.reporter.overdue_at:
                self.reporter.report_late()
        except Exception as error:
            pass_on(error)

    def waits(self) -> None:
        """A caller found every connection taken."""
        self.pending.append(None)
        self.pending_peak = max(self.pending_peak, len(self.pending))

    def waited(self) -> None:
        if self.pending:
            self.pending.pop()

    def fold(self) -> None:
        with self.lock:
            for histogram in (self.query, self.commit, self.acquire, self.hold):
                histogram.fold()

    def found(self, found: list[findings.Finding]) -> None:
        """The N+1 of one checkout or request."""
        with self.lock:
            self.n_plus_one += 1
            for finding in found:
                self.findings.add(finding)

    # A statement's life.

    def executed(
        self, started: float, cursor: Any, statement: str, context: Any, parameters: Any = None
    ) -> None:
        try:
            seconds = perf_counter() - started
            connection = context._dbapi_connection
            record = connection._connection_record
            hold = self.holds.get(record)
            if hold is None:
                hold = self._unknown(connection, record)
                if hold is None:
                    return
            self.query.observe(seconds)
            rows = cursor.rowcount
            seen = hold.texts.get(statement)
            if seen is None:
                seen = hold.begin().of(statement, self)
            seen.runs += 1
            if rows > 0:
                seen.rows += rows
            if seen.runs == seen.sampled_at:
                hold.begin().sample(seen, statement, parameters)
            if rows >= findings.MANY_ROWS:
                self._many_rows(seen, rows, statement, parameters)
        except Exception as error:
            # No checkout to count it under: the dialect's own statements at its first connect.
            pass_on(error)

    def _unknown(self, connection: Any, record: Any) -> Hold | None:
        """The hold of a connection that was out before it was watched, from now on; or detached.

        None for the dialect's own statements at its first connect, which no checkout holds.
        """
        if not isinstance(connection, _ConnectionFairy):
            return None
        hold = Hold(connection._pool, perf_counter(), current_request())
        return hold if record is None else self.holds.setdefault(record, hold)

    def _many_rows(self, seen: Runs, rows: int, text: str, parameters: Any) -> None:
        if seen.statement.limited or not seen.statement.is_select:
            return
        if longest_list(text, parameters) >= findings.BATCH:
            return
        finding = findings.unpaginated(seen, rows, source_line())
        with self.lock:
            self.unpaginated += 1
            self.findings.add(finding)

    def failed(self, started: float, raised: BaseException, context: Any) -> None:
        try:
            seconds = perf_counter() - started
            record = context._dbapi_connection._connection_record
            if record is not None and record not in self.holds:
                return
            self.query.observe(seconds)
            with self.lock:
                self.query_errors += isinstance(raised, Exception)
        except Exception as error:
            pass_on(error)

    def committed(self, started: float, connection: Any) -> None:
        try:
            seconds = perf_counter() - started
            record = connection._connection_record
            if record is None or record in self.holds:
                self.commit.observe(seconds)
        except Exception as error:
            pass_on(error)

    # Its report.

    def snapshot(self) -> dict[str, Any]:
        with self.lock:
            now = self._gauges()
            peak, self.peak = max(self.peak, now.checked_out), len(self.holds)
            asking, pending = len(self.asking), len(self.pending)
            pending_peak, self.pending_peak = max(self.pending_peak, pending), pending
            return {
                "name": self.name,
                "size": now.size,
                "max_overflow": now.max_overflow,
                "checked_in": now.checked_in,
                "checked_out": now.checked_out,
                "pending": pending,
                "pending_peak": pending_peak,
                "connecting": max(0, asking - pending),
                "peak": peak,
                "oldest": self._oldest(),
                "timeouts": self.timeouts,
                "acquire_errors": self.acquire_errors,
                "opened": self.opened,
                "invalidated": self.invalidated,
                "inherited": self.inherited,
                "query_errors": self.query_errors,
                "n_plus_one": self.n_plus_one,
                "unpaginated": self.unpaginated,
                "query": self.query.snapshot(),
                "commit": self.commit.snapshot(),
                "acquire": self.acquire.snapshot(),
                "hold": self.hold.snapshot(),
            }

    def take_findings(self, most: int) -> list[findings.Finding]:
        with self.lock:
            return self.findings.take(most)

    def put_back(self, finding: findings.Finding) -> None:
        with self.lock:
            self.findings.add(finding)

    def raise_peaks(self, peak: int, pending_peak: int) -> None:
        with self.lock:
            self.peak = max(self.peak, peak)
            self.pending_peak = max(self.pending_peak, pending_peak)

    def _gauges(self) -> Gauges:
        each = [gauges(pool) for pool in self.pools()]
        uncounted = sum(1 for hold in list(self.holds.values()) if not is_counted(hold.pool))
        unlimited = any(pool.max_overflow is None for pool in each)
        return Gauges(
            size=sum(pool.size for pool in each),
            max_overflow=None if unlimited else sum(pool.max_overflow or 0 for pool in each),
            checked_in=sum(pool.checked_in for pool in each),
            checked_out=sum(pool.checked_out for pool in each) + uncounted,
        )

    def _oldest(self) -> float:
        started = [hold.started for hold in list(self.holds.values())]
        return round(perf_counter() - min(started), 3) if started else 0.0


def _pool_of(record: Any) -> Any:
    return record._ConnectionRecord__pool


def judge(done: StatementRuns) -> None:
    """Tells each pool of the N+1 that ran on it."""
    found: dict[Ledger, list[findings.Finding]] = {}
    for runs, finding in findings.n_plus_one(list(done.runs.values())):
        found.setdefault(runs.ledger, []).append(finding)
    for ledger, each in found.items():
        ledger.found(each)
