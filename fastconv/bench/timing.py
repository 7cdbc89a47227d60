"""Wall-clock time of a call."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

_BUDGET_SECONDS = 0.3
_LEAST_CALLS, _MOST_CALLS = 5, 2000


def seconds_of(call: Callable[[], object]) -> float:
    """Time of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def median_seconds(call: Callable[[], object], most_calls: int = _MOST_CALLS) -> float:
    """Median time of a call after a first one that is not counted, over about a third of a second."""
    call()
    times: list[float] = []
    while len(times) < most_calls and (len(times) < _LEAST_CALLS or sum(times) < _BUDGET_SECONDS):
        times.append(seconds_of(call))
    return median(times)
