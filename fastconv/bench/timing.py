"""Wall-clock time of a call."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

_BUDGET_SECONDS = 0.2
_LEAST_CALLS = 5
MOST_CALLS = 2000


def fastest_seconds(call: Callable[[], object], most_calls: int = MOST_CALLS) -> float:
    """Time of the fastest call after a first one that is not counted, over about a fifth of a second.

    The fastest and not the median: other programs only ever add time, and the least disturbed call is the figure that
    comes out again in the next run.
    """
    call()
    times: list[float] = []
    while len(times) < most_calls and (len(times) < _LEAST_CALLS or sum(times) < _BUDGET_SECONDS):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)
