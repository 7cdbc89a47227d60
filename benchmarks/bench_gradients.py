"""Gradients of every shape with respect to the input and to the weight."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import probes
import pytest
from problems import Problem, convolutions

import fastconv

every_convolution = pytest.mark.parametrize("problem", convolutions(), ids=lambda problem: problem.name)


@every_convolution
def bench_grad_input(problem: Problem, rate: Callable[..., None]) -> None:
    dy, w = problem.data("dy", problem.output), problem.data("w", problem.weight)
    grad_input = getattr(fastconv, f"conv{problem.nd}d_grad_input")
    call = partial(grad_input, dy, w, problem.input, **problem.steps)
    rate(problem, call, lambda result: probes.check_grad_input(problem, result, dy, w))


@every_convolution
def bench_grad_weight(problem: Problem, rate: Callable[..., None]) -> None:
    dy, x = problem.data("dy", problem.output), problem.data("x", problem.input)
    grad_weight = getattr(fastconv, f"conv{problem.nd}d_grad_weight")
    call = partial(grad_weight, dy, x, problem.kernel, **problem.steps)
    rate(problem, call, lambda result: probes.check_grad_weight(problem, result, dy, x))
