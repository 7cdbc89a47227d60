"""A 3x3 layer of 64 channels on 56x56 in every padding mode and direction: the modes should cost what zeros cost.

``padding_cost.py`` measures the ratios themselves, mode against mode in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import probes
import pytest
from problems import MODES, Problem, parse

import fastconv

_LAYER = "resnet50-3x3-56 dense-3x3 1 64 56 56 -> 64 k3 p1"
every_mode = pytest.mark.parametrize("problem", [parse(f"{_LAYER} {mode}") for mode in MODES], ids=lambda p: p.mode)


@every_mode
def bench_mode_forward(problem: Problem, rate: Callable[..., None]) -> None:
    x, w = problem.data("x", problem.input), problem.data("w", problem.weight)
    call = partial(fastconv.conv2d, x, w, **problem.steps)
    rate(problem, call, lambda result: probes.check_forward(problem, result, x, w))


@every_mode
def bench_mode_grad_input(problem: Problem, rate: Callable[..., None]) -> None:
    dy, w = problem.data("dy", problem.output), problem.data("w", problem.weight)
    call = partial(fastconv.conv2d_grad_input, dy, w, problem.input, **problem.steps)
    rate(problem, call, lambda result: probes.check_grad_input(problem, result, dy, w))


@every_mode
def bench_mode_grad_weight(problem: Problem, rate: Callable[..., None]) -> None:
    dy, x = problem.data("dy", problem.output), problem.data("x", problem.input)
    call = partial(fastconv.conv2d_grad_weight, dy, x, problem.kernel, **problem.steps)
    rate(problem, call, lambda result: probes.check_grad_weight(problem, result, dy, x))
