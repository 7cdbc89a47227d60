"""Arrays for tests: small integers, the same values in awkward memory, outputs with guards round them, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

GUARD = -777.25


def integers(rng: np.random.Generator, shape: Sequence[int], dtype: Any, low: int = -3, high: int = 3) -> Array:
    """Small integers: sums of their products are exact in float32, so results can be compared with ==."""
    return rng.integers(low, high + 1, size=tuple(shape)).astype(dtype)


def numbers(rng: np.random.Generator, shape: Sequence[int], dtype: Any, low: int = -3, high: int = 3) -> Array:
    """The same of any dtype: complex, bool, unsigned from 0 on."""
    kind = np.dtype(dtype).kind
    if kind == "c":
        return integers(rng, shape, dtype) + 1j * integers(rng, shape, dtype)
    if kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    return integers(rng, shape, dtype, 0 if kind == "u" else low, high)


def assert_exact(got: Any, expected: Array, dtype: Any) -> None:
    assert type(got) is np.ndarray
    assert got.dtype == dtype
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected.astype(dtype))


def assert_same_bits(got: Array, expected: Array) -> None:
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


class Guarded:
    """An array to write to, spread out by `steps` inside a larger one; NaN inside, known values everywhere else."""

    def __init__(self, shape: Sequence[int], dtype: Any, steps: Sequence[int] | None = None) -> None:
        steps = steps if steps is not None else [1] * len(shape)
        margins = [1] * (len(shape) - 1) + [17]  # a whole vector beside each row
        spans = [(n * abs(s), m, s) for n, s, m in zip(shape, steps, margins, strict=True)]
        self.everything = np.full([span + 2 * m for span, m, _ in spans], GUARD, dtype)
        inside = tuple(slice(m, m + span, abs(s)) for span, m, s in spans)
        self.outside = np.ones(self.everything.shape, bool)
        self.outside[inside] = False
        self.everything[inside] = np.nan
        turned = tuple(slice(None, None, -1 if s < 0 else 1) for s in steps)
        self.view = self.everything[inside][turned]
        assert self.view.shape == tuple(shape)

    def assert_intact(self) -> None:
        assert (self.everything[self.outside] == GUARD).all(), "wrote outside of the array"


def written(
    function: Callable[..., Any], shape: Sequence[int], steps: Sequence[int] | None, *args: Any, **options: Any
) -> Array:
    """What a call writes to such an array, of its arguments' dtype; and that it writes nothing else."""
    out = Guarded(shape, args[0].dtype, steps)
    function(*args, **options, out=out.view)
    out.assert_intact()
    return np.ascontiguousarray(out.view)


def _spread(a: Array, steps: Sequence[int]) -> Array:
    """The values of `a` in an array full of NaN: reading anything but them shows."""
    g = Guarded(a.shape, a.dtype, steps)
    g.everything[...] = np.nan
    g.view[...] = a
    return g.view


def _fortran(a: Array) -> Array:
    return np.asfortranarray(a)


def _channels_last(a: Array) -> Array:
    order = [0, *range(2, a.ndim), 1] if a.ndim > 1 else [0]
    return np.ascontiguousarray(a.transpose(order)).transpose(np.argsort(order))


def _readonly(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "fortran": _fortran,
    "channels_last": _channels_last,
    "readonly": _readonly,
    "inside_nan": lambda a: _spread(a, [1] * a.ndim),
    "every_second": lambda a: _spread(a, [2] * a.ndim),
    "every_third_of_last": lambda a: _spread(a, [1] * (a.ndim - 1) + [3]),
    "last_reversed": lambda a: _spread(a, [1] * (a.ndim - 1) + [-1]),
    "all_reversed": lambda a: _spread(a, [-1] * a.ndim),
    "reversed_and_spread": lambda a: _spread(a, [(-1) ** i * (1 + i % 3) for i in range(a.ndim)]),
}
