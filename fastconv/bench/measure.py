"""Both sides of one problem: run, timed and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv.bench import dense, machine, photo
from fastconv.bench.parts import Problem
from fastconv.bench.timing import fastest_seconds
from fastconv.bench.toeplitz import ToeplitzMatrix

Array = NDArray[Any]

# All sums are whole numbers below 2**24, exact in float32; only an algorithm that transforms the data (Winograd, FFT)
# may round, and is allowed this share of the largest sum |x| |w|.
TOLERANCE = 1e-5


class DifferentResults(AssertionError):
    """The convolution and the dense layer do not agree."""


@dataclass(frozen=True)
class Outcome:
    """A problem, the arrays of both sides (batch, channels, height, width), and the times in seconds.

    scale: the largest sum |x| |w| + |b| of an output, which is what rounding is measured by.
    """

    part: str
    problem: Problem
    image: Array
    conv_output: Array
    dense_output: Array
    conv_seconds: float
    conv_threads: int
    algorithm: str
    dense: dense.DenseRun
    scale: float

    @property
    def largest_difference(self) -> float:
        """Largest absolute difference of the two results."""
        return float(np.abs(self.conv_output - self.dense_output).max())

    @property
    def relative_difference(self) -> float:
        """The largest difference as a share of ``scale``."""
        return self.largest_difference / self.scale if self.largest_difference else 0.0

    @property
    def speed_ratio(self) -> float:
        """Time of the dense layer's multiplication over the time of the convolution."""
        return self.dense.multiply_seconds / self.conv_seconds


def measure(part: str, problem: Problem, advance: Callable[[float], None]) -> Outcome:
    """Run ``problem`` both ways; ``advance`` is told each share of the dense side as it is done.

    Raises :class:`DifferentResults` if the two sides disagree.
    """
    image = photo.batch(problem.batch, *problem.input_shape)
    weight, bias = problem.weight(), problem.biases()
    call = partial(fastconv.conv2d, image, weight, bias, padding=problem.padding, algorithm=problem.algorithm)
    conv_output = call()
    matrix = ToeplitzMatrix(weight, problem.input_shape, problem.padding)
    run = dense.run(matrix, image.reshape(problem.batch, -1), advance)
    dense_output = run.output.reshape(conv_output.shape)
    if bias is not None:
        dense_output = dense_output + bias[:, None, None]
    plan = fastconv.explain(image.shape, weight.shape, padding=problem.padding, algorithm=problem.algorithm)
    seconds, threads = min(map(partial(_conv_seconds, call), machine.thread_counts()))
    outcome = Outcome(
        part=part,
        problem=problem,
        image=image,
        conv_output=conv_output,
        dense_output=dense_output,
        conv_seconds=seconds,
        conv_threads=threads,
        algorithm=str(plan["algorithm"]),
        dense=run,
        scale=_scale(problem, image, weight, bias),
    )
    _check(outcome)
    return outcome


def _scale(problem: Problem, image: Array, weight: Array, bias: Array | None) -> float:
    magnitudes = fastconv.conv2d(
        np.abs(image), np.abs(weight), None if bias is None else np.abs(bias), padding=problem.padding
    )
    return float(magnitudes.max())


def _conv_seconds(call: Callable[[], Array], threads: int) -> tuple[float, int]:
    with machine.at_most(threads):
        return fastest_seconds(call), threads


def _check(outcome: Outcome) -> None:
    if not outcome.relative_difference <= TOLERANCE:
        raise DifferentResults(
            f"{outcome.problem.name}: convolution and dense layer differ by {outcome.largest_difference}, "
            f"more than {TOLERANCE} of the largest sum |x| |w|, {outcome.scale}"
        )
    if outcome.part == "edge" and outcome.largest_difference:
        raise DifferentResults(f"{outcome.problem.name}: the two pictures differ by {outcome.largest_difference}")
