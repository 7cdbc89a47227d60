"""Independent values to check a timed result against, from the formulas in float64 numpy.

A whole result would take numpy minutes; a probe is one plane of it (one channel of one image), and one pair of channels
of a weight gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from problems import Array, Problem

# Of the largest value of a probe: float32 sums of a few thousand terms, and what Winograd's transforms add.
TOLERANCE = 2e-4

_NUMPY_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
    "symmetric": "symmetric",
}


def _padded(problem: Problem, planes: Array, **options: float) -> Array:
    """Planes with their last axes padded as the problem says."""
    widths = [(0, 0)] * (planes.ndim - problem.nd) + [(p, p) for p in problem.padding]
    return np.pad(planes, widths, _NUMPY_MODES[problem.mode], **options)  # type: ignore[call-overload, no-any-return]


def _taps(problem: Problem) -> Iterator[tuple[Any, Any]]:
    """Each tap of the kernel, an index of a kernel, and the part of a padded plane that it meets, one element a
    position of the output: a tuple of slices."""
    for tap in product(*map(range, problem.kernel)):
        axes = zip(tap, problem.dilation, problem.stride, problem.output[2:], strict=True)
        yield tap, tuple(slice(t * d, t * d + s * (n - 1) + 1, s) for t, d, s, n in axes)


def _folded(problem: Problem, padded: Array) -> Array:
    """The adjoint of padding: what lies on the padding goes back to the elements it was copied from."""
    size = int(np.prod(problem.input[2:]))
    options = {"constant_values": -1} if problem.mode == "zeros" else {}
    sources = _padded(problem, np.arange(size).reshape(problem.input[2:]), **options)
    inside = sources >= 0
    return np.bincount(sources[inside], padded[inside], minlength=size).reshape(problem.input[2:])


def _group(problem: Problem, channel: int) -> slice:
    """Input channels that an output channel sees."""
    each = problem.weight[1]
    first = channel // (problem.oc // problem.groups) * each
    return slice(first, first + each)


def _assert_close(got: Array, expected: Array) -> None:
    error = np.abs(got - expected).max()
    assert error <= TOLERANCE * np.abs(expected).max(), f"differs by {error} from numpy"


def check_forward(problem: Problem, result: Array, x: Array, w: Array) -> None:
    """The plane of the last image and the last channel."""
    image, channel = problem.input[0] - 1, problem.oc - 1
    padded = _padded(problem, x[image, _group(problem, channel)].astype(np.float64))
    plane = sum(np.tensordot(w[(channel, slice(None), *tap)], padded[(..., *part)], 1) for tap, part in _taps(problem))
    assert result.shape == problem.output
    _assert_close(result[image, channel], np.asarray(plane))


def check_grad_input(problem: Problem, result: Array, dy: Array, w: Array) -> None:
    """The plane of the last image and the last channel: what forward read from a pixel, its gradient flows back to."""
    image, inside = problem.input[0] - 1, problem.weight[1] - 1
    readers = slice(problem.oc - problem.oc // problem.groups, problem.oc)
    gradient = np.zeros([n + 2 * p for n, p in zip(problem.input[2:], problem.padding, strict=True)])
    for tap, part in _taps(problem):
        gradient[part] += np.tensordot(w[(readers, inside, *tap)].astype(np.float64), dy[image, readers], 1)
    assert result.shape == problem.input
    _assert_close(result[image, -1], _folded(problem, gradient))


def check_grad_weight(problem: Problem, result: Array, dy: Array, x: Array) -> None:
    """The kernel between the last output channel and the last input channel of its group."""
    channel = problem.oc - 1
    padded = _padded(problem, x[:, _group(problem, channel)][:, -1].astype(np.float64))
    kernel = [np.sum(dy[:, channel] * padded[(slice(None), *part)]) for _, part in _taps(problem)]
    assert result.shape == problem.weight
    _assert_close(result[channel, -1], np.reshape(kernel, problem.kernel))


def _windows(problem: Problem, x: Array) -> Array:
    """Windows of the last plane, ``(taps, *output sizes)``; padding never wins a maximum and is 0 in an average."""
    border = -np.inf if problem.op == "max_pool" else 0.0
    padded = _padded(problem, x[-1, -1].astype(np.float64), constant_values=border)
    return np.stack([padded[part] for _, part in _taps(problem)])


def check_pool(problem: Problem, result: Array, x: Array) -> None:
    """The plane of the last image and the last channel of a max or average pool (padding counted in the average)."""
    windows = _windows(problem, x)
    assert result.shape == problem.output
    _assert_close(result[-1, -1], windows.max(0) if problem.op == "max_pool" else windows.mean(0))


def check_pool_gradient(problem: Problem, result: Array, dy: Array, x: Array) -> None:
    """The same plane of the gradient: the winner takes all of a maximum, an average shares evenly."""
    windows = _windows(problem, x)
    winner = windows.argmax(0)
    gradient = np.zeros([n + 2 * p for n, p in zip(problem.input[2:], problem.padding, strict=True)])
    for tap, (_, part) in enumerate(_taps(problem)):
        share = winner == tap if problem.op == "max_pool" else 1 / len(windows)
        gradient[part] += share * dy[-1, -1]
    assert result.shape == problem.input
    _assert_close(result[-1, -1], _folded(problem, gradient))
