"""The dense side: the best product of a big matrix and a few vectors that this machine can be made to do.

Weights are stored as in any dense layer, one row an output. Several ways to multiply, with all threads and with one,
are timed on the first block and the fastest does the work. What counts as the dense layer's time is the multiplication
alone: a layer would hold its weights in memory, so the time to build a block is kept apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv.bench import machine
from fastconv.bench.timing import MOST_CALLS, fastest_seconds
from fastconv.bench.toeplitz import ToeplitzMatrix

Array = NDArray[Any]
Multiply = Callable[[Array, Array, Array], object]

BLOCK_BYTES = 128 << 20
_TRIAL_CALLS = 5
_BLOCK_CALLS = 2  # of each block of many, after the one that is not counted


def _blas(block: Array, x: Array, y: Array) -> object:
    return np.dot(block, x, out=y)


def _blas_vector(block: Array, x: Array, y: Array) -> object:
    return np.dot(block, x[:, 0], out=y[:, 0])


def _fastconv_pointwise(block: Array, x: Array, y: Array) -> object:
    """A dense layer is a 1x1 convolution whose channels are the features and whose pixels are the samples."""
    weight, image = block[:, :, None, None], x[None, :, None, :]
    return fastconv.conv2d(image, weight, out=y[None, :, None, :])


@dataclass(frozen=True)
class Way:
    """One way to multiply, with a number of threads."""

    name: str
    threads: int
    multiply: Multiply

    def seconds(self, block: Array, x: Array, y: Array, most_calls: int) -> float:
        """Time of the fastest of some multiplications."""
        with machine.at_most(self.threads):
            return fastest_seconds(partial(self.multiply, block, x, y), most_calls)


def ways(batch: int) -> list[Way]:
    """Every way to multiply a matrix by ``batch`` vectors."""
    blas: tuple[str, Multiply] = ("numpy sgemv", _blas_vector) if batch == 1 else ("numpy sgemm", _blas)
    kinds = [blas, ("fastconv 1x1", _fastconv_pointwise)]
    return [
        Way(f"{name}, {count} thread{'s' if count > 1 else ''}", count, multiply)
        for name, multiply in kinds
        for count in machine.thread_counts()
    ]


@dataclass(frozen=True)
class DenseRun:
    """Outcome of the dense side; times in seconds.

    output: ``(batch, outputs)``. way: how the product was done; trials: seconds of each way on the first block.
    build_seconds, multiply_seconds: for the whole matrix once.
    """

    output: Array
    way: str
    trials: dict[str, float]
    blocks: int
    block_shape: tuple[int, int]
    build_seconds: float
    multiply_seconds: float


def run(matrix: ToeplitzMatrix, x: Array, advance: Callable[[float], None], block_bytes: int = BLOCK_BYTES) -> DenseRun:
    """Multiply every row of ``matrix`` with the samples ``x`` of shape (batch, inputs), block by block.

    ``advance`` is told the share of the matrix that each block was. Of each block the fastest multiplication counts; if
    it is the whole matrix, those of the trials as well.
    """
    columns = np.ascontiguousarray(x.T)
    y = np.empty((matrix.shape[0], x.shape[0]), x.dtype)
    rows = matrix.rows_within(block_bytes)
    whole = rows == matrix.shape[0]
    trials: dict[Way, float] = {}
    build = multiply = 0.0
    mark = perf_counter()
    for first, block in matrix.blocks(rows):
        build += perf_counter() - mark
        target = y[first : first + len(block)]
        calls = MOST_CALLS if whole else _TRIAL_CALLS
        trials = trials or {way: way.seconds(block, columns, target, calls) for way in ways(x.shape[0])}
        best = min(trials, key=trials.__getitem__)
        again = best.seconds(block, columns, target, _BLOCK_CALLS)
        multiply += min(again, trials[best]) if whole else again
        advance(len(block) / matrix.shape[0])
        mark = perf_counter()
    return DenseRun(
        output=np.ascontiguousarray(y.T),
        way=best.name,
        trials={way.name: seconds for way, seconds in trials.items()},
        blocks=-(-matrix.shape[0] // rows),
        block_shape=(rows, matrix.shape[1]),
        build_seconds=build,
        multiply_seconds=multiply,
    )
