"""Pools, forward and backward. The rate that matters is GB/s: a pool does next to no arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import probes
import pytest
from problems import Problem, pools

import fastconv

every_pool = pytest.mark.parametrize("problem", pools(), ids=lambda problem: problem.name)


def _function(problem: Problem, backward: str = "") -> Callable[..., Any]:
    """The pool or its gradient, with the options of the problem bound."""
    if problem.op == "global_avg_pool":
        return getattr(fastconv, f"global_avg_pool{backward}")  # type: ignore[no-any-return]
    pool = getattr(fastconv, f"{problem.op}{problem.nd}d{backward}")
    return partial(pool, kernel_size=problem.kernel, stride=problem.stride, padding=problem.padding)


@every_pool
def bench_pool(problem: Problem, rate: Callable[..., None]) -> None:
    x = problem.data("x", problem.input)
    rate(problem, partial(_function(problem), x), lambda result: probes.check_pool(problem, result, x))


@every_pool
def bench_pool_gradient(problem: Problem, rate: Callable[..., None]) -> None:
    x, dy = problem.data("x", problem.input), problem.data("dy", problem.output)
    call = partial(_function(problem, "_backward"), dy, x)
    rate(problem, call, lambda result: probes.check_pool_gradient(problem, result, dy, x))
