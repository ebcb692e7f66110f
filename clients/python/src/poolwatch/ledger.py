"""What happened to the pools of one name in this process: counters, histograms, holds."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import TYPE_CHECKING, Any

from poolwatch import current_holds, findings, settings
from poolwatch.backends import Backends
from poolwatch.endpoints import Endpoints
from poolwatch.forks import notice as notice_fork
from poolwatch.forks import same_process
from poolwatch.histogram import ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS, Histogram
from poolwatch.places import current_place
from poolwatch.signals import pass_on
from poolwatch.source_line import calling, source_line
from poolwatch.statement_runs import Runs, StatementRuns, longest_list
from poolwatch.targets import Target, distinct, of_connection
from poolwatch.watches import Hold, Watch, capacity

if TYPE_CHECKING:
    from poolwatch.reporter import Reporter

# A return folds the histograms beyond this, so that the reporter never has much to fold at once.
MOST_UNFOLDED = 256


class Ledger:
    """Kept by name, not by pool: `dispose()` replaces the pool, and counters must never fall.

    Every method of a checkout's life is called from the application's own path, so none lets an
    exception out.
    """

    def __init__(self, name: str, reporter: Reporter) -> None:
        self.name = name
        self.reporter = reporter
        self._watches: dict[int, Watch] = {}
        self._calling = calling if settings.source_lines() else _not_asked
        # The servers that its connections went to; before the first, those that it was given.
        self._reached: list[Target] = []
        self._declared: list[Target] = []
        self._backends = Backends()
        # What no pool of this name can tell.
        self._unknown: frozenset[str] | None = None
        self.clear()

    def clear(self) -> None:
        """Starts from zero, as a new process must."""
        # Reentrant: the garbage collector may return a leaked connection while the lock is held.
        self.lock = threading.RLock()
        self.holds: dict[Any, Hold] = {}
        # Callers inside the call that gets a connection, and those of them that wait for a place.
        self.asking: list[None] = []
        self.pending: list[None] = []
        self.pending_peak = 0
        self.peak = self.timeouts = self.acquire_errors = self.abandoned = self.opened = 0
        self.invalidated = self.inherited = self.collected = self.query_errors = 0
        self.n_plus_one = self.unpaginated = 0
        self.query, self.commit = Histogram(BOUNDS), Histogram(BOUNDS)
        self.acquire, self.hold = Histogram(ACQUIRE_BOUNDS), Histogram(HOLD_BOUNDS)
        self.endpoints = Endpoints()
        self._returned_by_others = self.endpoints.other.hold.observe
        self.findings = findings.Findings()
        self._was_used = False

    # The pool's life.

    def add(self, watch: Watch, instead_of: Watch | None = None) -> None:
        with self.lock:
            unknown = self._unknown
            self._unknown = watch.unknown & (watch.unknown if unknown is None else unknown)
            if instead_of is not None:
                self._watches.pop(id(instead_of), None)
                self._backends.forget_inherited(instead_of.origin)
            self._watches[id(watch)] = watch

    def learn(self, figures: frozenset[str]) -> None:
        """Another than the pool tells these."""
        self._unknown = (self._unknown or frozenset()) - figures

    def declare(self, targets: list[Target]) -> None:
        """Where a pool is to connect to, by its settings."""
        self._declared = distinct([*self._declared, *targets])

    def reached(self, connection: Any, origin: object = None) -> None:
        """Learns from a connection that was just made where it went."""
        self._backends.add(connection, origin)
        went_to = of_connection(connection)
        if any(target not in self._reached for target in went_to):
            # The newest first: of too many the oldest are left out.
            self._reached = distinct([*went_to, *self._reached])

    def targets(self) -> list[Target]:
        return self._reached or self._declared

    def remove(self, watch: Watch) -> None:
        """A pool that is watched no longer; what happened to it stays counted."""
        with self.lock:
            if self._watches.pop(id(watch), None) is not None:
                self._keep_counters(watch, watch.pool)
            for key in [key for key, hold in list(self.holds.items()) if hold.watch is watch]:
                self.holds.pop(key, None)

    def is_vain(self) -> bool:
        """Whether all its pools went elsewhere before they were used."""
        return not self._watches and not self._was_used

    def watches(self) -> list[Watch]:
        return list(self._watches.values())

    def forked(self) -> None:
        """In the child: another life, which has what the parent's pools hold open."""
        holds = list(self.holds.values())
        self.clear()
        for watch in self.watches():
            watch.forked(sum(1 for hold in holds if hold.watch is watch))

    def rest(self) -> bool:
        """Before a fork: whether nothing is held. The next use of a pool begins anew."""
        for watch in self.watches():
            watch.is_new = True
        return not self.holds

    def begin(self, watch: Watch) -> None:
        """The first use of a pool in this process: what it inherited it will now hand out."""
        notice_fork()
        with self.lock:
            watch.is_new = False
            self._was_used = True
            self.inherited, watch.inherited = self.inherited + watch.inherited, 0
        if watch.begins is not None:
            watch.begins()
        self.reporter.begin()

    def connected(self, connection: Any, origin: object = None) -> None:
        """A connection was just made, which the pool itself does not count."""
        with self.lock:
            self.opened += 1
        self.reached(connection, origin)

    def disconnected(self) -> None:
        """A connection was thrown away as broken."""
        with self.lock:
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

    def refused(self, asked: float, watch: Watch, raised: BaseException) -> None:
        try:
            self.asking.pop()
            self.acquire.observe(perf_counter() - asked)
            with self.lock:
                if isinstance(raised, watch.timeouts):
                    self.timeouts += 1
                elif isinstance(raised, Exception):
                    self.acquire_errors += 1
                else:
                    self.abandoned += 1
        except Exception as error:
            pass_on(error)

    def acquired(self, asked: float, watch: Watch, key: Any, owner: Any = None) -> None:
        """`owner` is a weak reference to what the application must return, and may forget."""
        try:
            now = perf_counter()
            self.asking.pop()
            self.acquire.observe(now - asked)
            self.holds.setdefault(key, Hold(watch, now, current_place(), owner, self._calling()))
            out = len(self.holds)
            if out > self.peak:
                self.peak = out
        except Exception as error:
            pass_on(error)

    def returned(self, key: Any) -> None:
        try:
            hold = self.holds.pop(key, None)
            if hold is None:
                return
            now = perf_counter()
            if hold.place is None:
                self._returned_by_others(now - hold.started)
            else:
                self.endpoints.returned(hold.place, now - hold.started)
            if hold.owner is not None and hold.owner() is None:
                self._was_collected(hold)
            done = hold.statements
            if done is not None and done.repeated and hold.request is None:
                judge(done)
            if len(self.query.unfolded) >= MOST_UNFOLDED:
                self.fold()
            if now > self.reporter.overdue_at:
                self.reporter.report_late()
        except Exception as error:
            pass_on(error)

    def _was_collected(self, hold: Hold) -> None:
        finding = current_holds.forgotten(hold)
        with self.lock:
            self.collected += 1
            if finding is not None:
                self.findings.add(finding)

    def waits(self) -> None:
        """A caller found every connection taken."""
        self.pending.append(None)
        self.pending_peak = max(self.pending_peak, len(self.pending))

    def waited(self) -> None:
        if self.pending:
            self.pending.pop()

    def fold(self) -> None:
        with self.lock:
            for histogram in (self.query, self.commit, self.acquire):
                histogram.fold()
            self.endpoints.fold(self.hold)

    def found(self, found: list[findings.Finding]) -> None:
        """The N+1 of one checkout or request."""
        with self.lock:
            self.n_plus_one += 1
            for finding in found:
                self.findings.add(finding)

    # A statement's life. Its callers let no exception out.

    def executed(self, hold: Hold, seconds: float, rows: int, text: str, parameters: Any) -> None:
        self.query.observe(seconds)
        runs = hold.texts.get(text)
        if runs is None:
            runs = hold.begin().runs_of(text, self)
        hold.last = runs
        runs.runs += 1
        if rows > 0:
            runs.rows += rows
        if runs.runs == runs.sampled_at:
            hold.begin().sample(runs, text, parameters)
        if rows >= findings.MANY_ROWS:
            self._many_rows(runs, rows, text, parameters)

    def _many_rows(self, runs: Runs, rows: int, text: str, parameters: Any) -> None:
        if runs.statement.limited or not runs.statement.is_select:
            return
        if longest_list(text, parameters) >= findings.BATCH:
            return
        finding = findings.unpaginated(runs, rows, source_line())
        if finding is None:
            return
        with self.lock:
            self.unpaginated += 1
            self.findings.add(finding)

    def failed(self, seconds: float, raised: BaseException) -> None:
        self.query.observe(seconds)
        with self.lock:
            self.query_errors += isinstance(raised, Exception)

    # Its report.

    def snapshot(self) -> dict[str, Any]:
        with self.lock:
            unknown = self._unknown or ()
            holders: dict[str, list[Any]] = {**self._holders(), "targets": self.targets()}
            figures = {**self._gauges(), **self._counters(), **self._histograms()}
            pids = self._backends.snapshot()
            return {
                "name": self.name,
                **({"pids": pids} if pids is not None else {}),
                **{key: value for key, value in figures.items() if key not in unknown},
                **{key: value for key, value in holders.items() if value},
            }

    def _gauges(self) -> dict[str, Any]:
        """No size and no limit where every pool is gone or closed."""
        read = [(watch, watch.pool) for watch in self.watches()]
        each = [found for watch, pool in read if pool is not None and (found := watch.read(pool))]
        uncounted = sum(1 for hold in list(self.holds.values()) if not hold.watch.counts_itself)
        out = sum(pool.checked_out for pool in each) + uncounted
        peak, self.peak = max(self.peak, out), len(self.holds)
        asking, pending = len(self.asking), len(self.pending)
        pending_peak, self.pending_peak = max(self.pending_peak, pending), pending
        return {
            **capacity(each),
            "checked_out": out,
            "pending": pending,
            "pending_peak": pending_peak,
            "connecting": max(0, asking - pending),
            "peak": peak,
            "oldest": self._oldest(),
            **_pre_ping(
                [watch.checks_before_use(pool) for watch, pool in read if pool is not None]
            ),
        }

    def _counters(self) -> dict[str, int]:
        opened, invalidated = self._counted_by_the_pools()
        return {
            "timeouts": self.timeouts,
            "acquire_errors": self.acquire_errors,
            "abandoned": self.abandoned,
            "opened": self.opened + opened,
            "invalidated": self.invalidated + invalidated,
            "inherited": self.inherited,
            "collected": self.collected,
            "query_errors": self.query_errors,
            "n_plus_one": self.n_plus_one,
            "unpaginated": self.unpaginated,
        }

    def _histograms(self) -> dict[str, Any]:
        return {
            "query": self.query.snapshot(),
            "commit": self.commit.snapshot(),
            "acquire": self.acquire.snapshot(),
            "hold": self.hold.snapshot(),
        }

    def _holders(self) -> dict[str, list[dict[str, Any]]]:
        holds = list(self.holds.values())
        return {
            "endpoints": self.endpoints.snapshot(holds, self.hold),
            "holds": current_holds.longest(holds),
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

    def _counted_by_the_pools(self) -> tuple[int, int]:
        """Opened and invalidated, of pools that count these. One that is gone leaves them."""
        opened = invalidated = 0
        for watch in self.watches():
            pool = watch.pool
            if pool is None:
                self._keep_counters(watch, pool)
                self._watches.pop(id(watch), None)
                continue
            counters = watch.counters(pool)
            opened += counters.get("opened", 0)
            invalidated += counters.get("invalidated", 0)
        return opened, invalidated

    def _keep_counters(self, watch: Watch, pool: Any) -> None:
        counters = watch.counters(pool)
        self.opened += counters.get("opened", 0)
        self.invalidated += counters.get("invalidated", 0)

    def _oldest(self) -> float:
        started = [hold.started for hold in list(self.holds.values())]
        return round(perf_counter() - min(started), 3) if started else 0.0


def _not_asked() -> None:
    """In place of the source line, where it is switched off."""


def _pre_ping(checks: list[bool | None]) -> dict[str, int]:
    """1 where all pools check connections before use; nothing where that is not known."""
    return {} if not checks or None in checks else {"pre_ping": int(all(checks))}


def judge(done: StatementRuns) -> None:
    """Tells each pool of the N+1 that ran on it."""
    found: dict[Ledger, list[findings.Finding]] = {}
    for runs, finding in findings.n_plus_one(list(done.runs.values())):
        found.setdefault(runs.ledger, []).append(finding)
    for ledger, each in found.items():
        ledger.found(each)
