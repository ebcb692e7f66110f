"""A watched pool, and a connection of it that is in the application's hands."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from poolwatch.places import Place
from poolwatch.signals import pass_on
from poolwatch.statement_runs import Runs, StatementRuns

if TYPE_CHECKING:
    from poolwatch.ledger import Ledger
    from poolwatch.source_line import Call


# More seconds are as good as no limit, and `inf` is no number in JSON.
LONGEST = 1e9
STATEMENT_FIGURES = frozenset({"query", "commit", "query_errors", "n_plus_one", "unpaginated"})


@dataclass
class Gauges:
    """`max_overflow` None: no limit. `checked_out` only where the pool counts it.

    `timeout` and `recycle` are settings in seconds: how long a caller waits, and the age from which
    a connection is replaced. None: there is none, or it is not known.
    """

    size: int
    max_overflow: int | None
    checked_in: int
    checked_out: int
    timeout: float | None = None
    recycle: float | None = None

    def __post_init__(self) -> None:
        """A library takes settings of any type that it can compute with; a report cannot."""
        self.size = int(self.size)
        self.max_overflow = None if self.max_overflow is None else int(self.max_overflow)
        self.checked_in, self.checked_out = int(self.checked_in), int(self.checked_out)
        self.timeout, self.recycle = _seconds(self.timeout), _seconds(self.recycle)


def _seconds(limit: Any) -> float | None:
    """None for what is no limit, or no number."""
    try:
        seconds = float(limit)
    except Exception:
        return None
    return seconds if 0 <= seconds < LONGEST else None


def capacity(each: list[Gauges]) -> dict[str, float | None]:
    """The sum over pools, and their longest times; one without a limit makes the sum unlimited."""
    if not each:
        return {}
    unlimited = any(pool.max_overflow is None for pool in each)
    return {
        "size": sum(pool.size for pool in each),
        "max_overflow": None if unlimited else sum(pool.max_overflow or 0 for pool in each),
        "checked_in": sum(pool.checked_in for pool in each),
        **_longest("timeout", [pool.timeout for pool in each]),
        **_longest("recycle", [pool.recycle for pool in each]),
    }


def _longest(name: str, each: list[float | None]) -> dict[str, float]:
    """Nothing where some pool has none."""
    limits = [seconds for seconds in each if seconds is not None]
    return {name: max(limits)} if len(limits) == len(each) else {}


class Watch:
    """One pool: the ledger it is written into, and whether this process has used it yet.

    Each library has its own kind. The pool is not kept alive.
    """

    # Errors by which this library tells a caller that waited its whole timeout.
    timeouts: tuple[type[BaseException], ...] = ()
    # Whether the pool itself knows how many connections are out; else its holds are counted.
    counts_itself = True
    # Figures that cannot be had here, which are left out of a report rather than sent as 0.
    unknown = STATEMENT_FIGURES
    # True if each hold learns when its statements begin and end.
    sees_statements = False
    # Called before each process's first use of the pool.
    begins: Callable[[], None] | None = None

    def __init__(self, pool: Any, ledger: Ledger) -> None:
        self._pool_ref: Callable[[], Any] = weakref.ref(pool)
        self.ledger = ledger
        # One for all pools that take the place of one another.
        self.origin = object()
        self.is_new = True
        self.inherited = 0

    @property
    def pool(self) -> Any:
        return self._pool_ref()

    def checks_before_use(self, pool: Any) -> bool | None:
        """Whether the pool asks a connection if it lives before it gives it out. None: unknown."""
        return None

    def gauges(self, pool: Any) -> Gauges | None:
        """Read from the pool itself, for counting its events drifts. None: it is closed."""
        raise NotImplementedError

    def read(self, pool: Any) -> Gauges | None:
        """Its gauges; None where they cannot be read, which leaves all else of a report."""
        try:
            return self.gauges(pool)
        except Exception as error:
            pass_on(error)
            return None

    def counters(self, pool: Any) -> dict[str, int]:
        """Counters that the library itself keeps, since this process began."""
        return {}

    def forked(self, held: int) -> None:
        """In the child: what the parent's pool holds open is inherited, and ruinous to use."""
        pool = self.pool
        now = self.read(pool) if pool is not None else None
        open_now = now.checked_in + now.checked_out if now is not None else 0
        self.inherited = max(open_now, held)
        self.is_new = True


NO_TEXTS: dict[str, Runs] = {}


class Hold:
    """A connection in the application's hands. `owner`, once dead, has not returned it itself.

    It keeps nothing of the application alive but the code that took the connection.
    """

    __slots__ = (
        "call",
        "last",
        "owner",
        "place",
        "request",
        "running",
        "running_since",
        "started",
        "statements",
        "texts",
        "watch",
    )

    def __init__(
        self,
        watch: Watch,
        started: float,
        place: Place | None,
        owner: Any = None,
        call: Call | None = None,
    ) -> None:
        self.watch = watch
        self.started = started
        self.owner = owner
        self.call = call
        self.place = place
        # The text of the statement that runs now, and the runs of the last that has ended.
        self.running: str | None = None
        self.running_since = 0.0
        self.last: Runs | None = None
        # Judged with the request where one is marked, else at the return.
        request: StatementRuns | None = None if place is None else place.request
        self.request = self.statements = request
        if place is not None and place.name is None:
            place.find()
        self.texts = NO_TEXTS if request is None else request.texts

    def begin(self) -> StatementRuns:
        """Made at the first statement: a checkout may run none."""
        if self.statements is None:
            self.statements = StatementRuns()
            self.texts = self.statements.texts
        return self.statements
