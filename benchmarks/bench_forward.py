"""Forward convolution of every shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import probes
import pytest
from problems import Problem, convolutions

import fastconv


@pytest.mark.parametrize("problem", convolutions(), ids=lambda problem: problem.name)
def bench_forward(problem: Problem, rate: Callable[..., None]) -> None:
    x, w = problem.data("x", problem.input), problem.data("w", problem.weight)
    conv = getattr(fastconv, f"conv{problem.nd}d")
    call = partial(conv, x, w, **problem.steps)
    rate(problem, call, lambda result: probes.check_forward(problem, result, x, w))
