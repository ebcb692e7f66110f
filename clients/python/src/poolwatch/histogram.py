"""Durations counted in fixed buckets."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Any, Callable

BOUNDS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    1,
    2.5,
    5,
    10,
)
# A hold or a wait may last minutes.
HOLD_BOUNDS = (*BOUNDS, 30, 60, 120, 300, 600)
ACQUIRE_BOUNDS = (0.0001, *HOLD_BOUNDS)


class Histogram:
    """Seconds by bucket: `counts[i]` holds what is at most `bounds[i]`, the last one the rest.

    `observe` is a deque's own append: safe in every thread without a lock, whose taking would
    cost ten times as much. The buckets are filled later, by `fold`.
    """

    # Reached only where nothing folds: no return, and no reporter thread either.
    MOST_UNFOLDED = 100_000

    __slots__ = ("bounds", "counts", "observe", "sum", "unfolded")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.unfolded: deque[float] = deque(maxlen=self.MOST_UNFOLDED)
        self.observe: Callable[[float], None] = self.unfolded.append

    def fold(self, whole: Histogram | None = None) -> None:
        """Into `whole`, too, of which it is a part. Not for two threads at once."""
        counts, bounds, total = self.counts, self.bounds, 0.0
        for _ in range(len(self.unfolded)):
            seconds = self.unfolded.popleft()
            bucket = bisect_left(bounds, seconds)
            counts[bucket] += 1
            total += seconds
            if whole is not None:
                whole.counts[bucket] += 1
        self.sum += total
        if whole is not None:
            whole.sum += total

    def snapshot(self) -> dict[str, Any]:
        self.fold()
        return {"sum": round(self.sum, 6), "counts": self.counts[:]}
