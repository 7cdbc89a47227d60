"""The dense side: the best product of a big matrix and a few vectors that this machine can be made to do.

Weights are stored as in any dense layer, one row an output. Several ways to multiply are timed on the first block and
the fastest does the work. What counts as the dense layer's time is the multiplication alone: a layer would hold its
weights in memory, so the time to build a block is kept apart.
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


def _ways(batch: int) -> dict[str, Multiply]:
    blas: dict[str, Multiply] = {"numpy sgemv": _blas_vector} if batch == 1 else {"numpy sgemm": _blas}
    return {**blas, "fastconv 1x1": _fastconv_pointwise}


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

    ``advance`` is told the share of the matrix that each block was. A block is multiplied several times, many times if
    it is the whole matrix, and the fastest counts.
    """
    columns = np.ascontiguousarray(x.T)
    y = np.empty((matrix.shape[0], x.shape[0]), x.dtype)
    rows = matrix.rows_within(block_bytes)
    ways, way, trials = _ways(x.shape[0]), "", dict[str, float]()
    calls = MOST_CALLS if rows == matrix.shape[0] else _BLOCK_CALLS
    build = multiply = 0.0
    mark = perf_counter()
    for first, block in matrix.blocks(rows):
        build += perf_counter() - mark
        target = y[first : first + len(block)]
        if not trials:
            trials = _trials(ways, block, columns, target)
            way = min(trials, key=trials.__getitem__)
        multiply += fastest_seconds(partial(ways[way], block, columns, target), calls)
        advance(len(block) / matrix.shape[0])
        mark = perf_counter()
    return DenseRun(
        output=np.ascontiguousarray(y.T),
        way=way,
        trials=trials,
        blocks=-(-matrix.shape[0] // rows),
        block_shape=(rows, matrix.shape[1]),
        build_seconds=build,
        multiply_seconds=multiply,
    )


def _trials(ways: dict[str, Multiply], block: Array, x: Array, y: Array) -> dict[str, float]:
    return {name: fastest_seconds(partial(way, block, x, y), _TRIAL_CALLS) for name, way in ways.items()}
