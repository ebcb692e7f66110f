"""Who takes the connections of one pool: a bounded number of endpoints, and the others as one.

What is reported only grows, whoever has an entry: an endpoint that gets one begins at zero, and one
that gives way goes on from where it stood, if it comes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Any

from poolwatch.histogram import HOLD_BOUNDS, Histogram
from poolwatch.places import Place
from poolwatch.watches import Hold

OTHER = "other"
MOST_NAMED = 20
# Those that give way at once: a report has them for the last time.
MOST_LEAVING = 10
# Endpoints without an entry, and those that had one, that are remembered.
MOST_REMEMBERED = 200
# What an endpoint held counts half after this many reports.
HALF_LIFE = 10
_DECAY = 0.5 ** (1 / HALF_LIFE)
# An endpoint must hold this many times as much as another to take its place.
MUCH_MORE = 2.0
# Seconds that are as good as none.
FORGOTTEN = 1e-6


class Endpoint:
    """What one endpoint held. `moved` is what it held while it was one of the others."""

    __slots__ = ("checkouts", "held", "hold", "moved", "moved_held", "name", "out", "recent")

    def __init__(self, name: str) -> None:
        self.name = name
        self.hold = Histogram(HOLD_BOUNDS)
        self.out = self.checkouts = self.moved = 0
        self.held = self.moved_held = self.recent = 0.0

    def count(self, started: list[float], now: float) -> None:
        """Takes in the connections that it has now. No figure falls where a name came late."""
        self.out = len(started)
        returned = sum(self.hold.counts) + self.moved
        self.checkouts = max(self.checkouts, returned + self.out)
        before = self.held
        held = self.hold.sum + self.moved_held + sum(now - each for each in started)
        self.held = max(before, held)
        self.recent = _DECAY * self.recent + self.held - before

    def move(self, to: Endpoint, started: list[float], now: float) -> None:
        """What is out stays counted here; it is returned there."""
        held = sum(now - each for each in started)
        self.moved += len(started)
        self.moved_held += held
        to.moved -= len(started)
        to.moved_held -= held

    def snapshot(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "out": self.out,
            "checkouts": self.checkouts,
            "held": round(self.held, 3),
            "hold": self.hold.snapshot(),
        }


class Endpoints:
    def __init__(self) -> None:
        self.other = Endpoint(OTHER)
        self._named: dict[str, Endpoint] = {}
        self._had: dict[str, Endpoint] = {}
        # What those without an entry held recently, in seconds.
        self._waiting: dict[str, float] = {}

    def returned(self, place: Place, seconds: float) -> None:
        """No lock: called from the application's own path."""
        endpoint = self._named.get(place.name)  # type: ignore[arg-type]
        if endpoint is None:
            name = place.endpoint
            endpoint = self._entry(name)
            if endpoint is self.other and name is not None:
                self._waits(name, seconds)
        endpoint.hold.observe(seconds)

    def fold(self, total: Histogram) -> None:
        """Not for two threads at once."""
        for each in (self.other, *list(self._named.values()), *list(self._had.values())):
            each.hold.fold(total)

    def snapshot(self, holds: Iterable[Hold], total: Histogram) -> list[dict[str, Any]]:
        """Nothing where no endpoint has a name."""
        now = perf_counter()
        self.fold(total)
        out: dict[str | None, list[float]] = {}
        for hold in holds:
            name = hold.place.endpoint if hold.place is not None else None
            entry = self._entry(name)
            out.setdefault(name if entry is self.other else entry.name, []).append(hold.started)
        if not self._named:
            return []
        leaving = self._take_turns(out, now)
        rest = [
            each for name, started in out.items() if name not in self._named for each in started
        ]
        self.other.count(rest, now)
        entries = [*self._named.values(), *leaving]
        for entry in entries:
            entry.count(out.get(entry.name, []), now)
        others = [self.other] if self.other.checkouts else []
        return [entry.snapshot() for entry in (*entries, *others)]

    def _entry(self, name: str | None) -> Endpoint:
        """The endpoint's own entry while there is room, else that of the others."""
        if name is None or name == OTHER:
            return self.other
        entry = self._named.get(name)
        if entry is None and len(self._named) < MOST_NAMED:
            entry = self._named.setdefault(name, Endpoint(name))
        return entry or self.other

    def _waits(self, name: str, seconds: float) -> None:
        if name in self._waiting or len(self._waiting) < MOST_REMEMBERED:
            self._waiting[name] = self._waiting.get(name, 0.0) + seconds

    def _take_turns(self, out: dict[str | None, list[float]], now: float) -> list[Endpoint]:
        """The entry that holds nothing gives way to an endpoint that holds much more."""
        leaving: list[Endpoint] = []
        for name, started in out.items():
            if name is not None and name not in self._named:
                self._waits(name, sum(min(1.0, now - each) for each in started))
        while self._waiting and len(leaving) < MOST_LEAVING:
            first = max(self._waiting, key=lambda name: self._waiting[name])
            idle = [entry for name, entry in self._named.items() if name not in out]
            least = min(idle, key=lambda entry: entry.recent, default=None)
            if least is None or self._waiting[first] <= MUCH_MORE * least.recent:
                break
            self._exchange(least, first, out.get(first, []), now)
            leaving.append(least)
        self._waiting = {
            name: _DECAY * seconds
            for name, seconds in list(self._waiting.items())
            if seconds > FORGOTTEN
        }
        return leaving

    def _exchange(self, least: Endpoint, name: str, started: list[float], now: float) -> None:
        recent = self._waiting.pop(name)
        entry = self._had.pop(name, None) or Endpoint(name)
        entry.recent = recent
        self.other.move(entry, started, now)
        # Beside the one that leaves for a moment, so that no return finds neither.
        self._named[name] = entry
        del self._named[least.name]
        if len(self._had) >= MOST_REMEMBERED:
            del self._had[next(iter(self._had))]
        self._had[least.name] = least
