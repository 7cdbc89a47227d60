"""Uniform and Gaussian filters."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv.ndimage.arguments import (
    FLOATS,
    MODES,
    Array,
    Output,
    PerAxis,
    Side,
    as_image,
    cast,
    core_mode,
    deliver,
    is_plain,
    one_axis,
    output_dtype,
    per_axis,
    require_number,
    sides,
    some_axes,
    whole,
    working_dtype,
)
from fastconv.ndimage.boxes import box_planes, over_planes, plain_box
from fastconv.ndimage.linear import WEIGHED, weigh_planes

_BLOCK = 1 << 15  # elements at a time where they are converted


class Step(NamedTuple):
    """A filter of arrays of floats or complex numbers, and the axes on which elements have to do with each other."""

    axes: tuple[int, ...]
    filter: Callable[[Array], Array]


def in_steps(x: Array, steps: list[Step], output: Output, working: Any = None) -> Array:
    """Filters one after the other, each result rounded to the output's dtype, as SciPy's intermediate results are.

    working: the dtype to compute in, if not the usual one.
    """
    dtype = output_dtype(output, x, x.dtype.kind == "c")
    if not steps or x.size == 0:
        return deliver(x.copy(), output, dtype)
    working = np.dtype(working or working_dtype(x, dtype))
    for step in steps:
        if x.ndim > 1 and x.size > 2 * _BLOCK and not x.dtype == dtype == working:
            x = _by_blocks(step, x, dtype, working)
        else:
            x = cast(step.filter(x.astype(working, copy=False)), dtype)
    return deliver(x, output, dtype)


def _by_blocks(step: Step, x: Array, dtype: np.dtype[Any], working: np.dtype[Any]) -> Array:
    """A step in parts that stay in the cache while they are of another dtype."""
    split = 0 if 0 not in step.axes else x.ndim - 1
    if split in step.axes:
        return cast(step.filter(x.astype(working)), dtype)
    result = np.empty(x.shape, dtype)
    length = max(1, _BLOCK * x.shape[split] // x.size)
    for first in range(0, x.shape[split], length):
        part = (*[slice(None)] * split, slice(first, first + length))
        result[part] = cast(step.filter(x[part].astype(working, order="C")), dtype)
    return result


def by_parts(real_filter: Callable[[Array, float], Array], x: Array, cval: Any) -> Array:
    """A linear filter of real arrays, on an array that may be complex."""
    if x.dtype.kind != "c":
        return real_filter(x, float(np.real(cval)))
    y = np.empty_like(x)
    y.real, y.imag = real_filter(x.real.copy(), np.real(cval)), real_filter(x.imag.copy(), np.imag(cval))
    return y


def _by_sides(
    x: Array, lines: list[Side], planes: Callable[..., Array], cval: Any, output: Output, working: Any = None
) -> Array:
    """A filter of some axes, by ``planes(cval, x, height, width)``; axis by axis, where each result is rounded."""
    rounded = output_dtype(output, x).kind in "biu"
    groups = [[line] for line in lines] if rounded else [lines] * bool(lines)

    def of_group(group: list[Side], x: Array) -> Array:
        return by_parts(lambda part, fill: over_planes(part, group, partial(planes, fill)), x, cval)

    return in_steps(x, [Step(tuple(s.axis for s in g), partial(of_group, g)) for g in groups], output, working)


def uniform_filter(
    input: Any,
    size: PerAxis = 3,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    origin: PerAxis = 0,
    *,
    axes: Any = None,
) -> Array:
    """The mean of a box around every element: ``scipy.ndimage.uniform_filter``.

    input: an array of any number of axes.
    size: of the box, at least 1; an int, or one per axis. The time grows with its logarithm.
    output, mode, cval, origin, axes: as for :func:`correlate`.

    Every mean is a sum of its own: its error does not grow along the axis, as that of a running sum does. Integers go
    axis by axis, each result rounded towards zero, as in SciPy.

    Returns the filtered array. Raises ValueError for values that do not fit, TypeError for a dtype that cannot be
    filtered.

    >>> from fastconv import ndimage
    >>> ndimage.uniform_filter([0.0, 0.0, 3.0, 0.0], 3)
    array([0., 1., 1., 1.])
    """
    plain = plain_box("mean", input, size, output, mode, cval, origin, axes)
    if plain is not None:
        return plain
    x = as_image(input)
    require_number(cval, "cval")
    boxes = sides(x.ndim, axes, size, origin, mode)
    # Sums below 2**22 and their quotients by a size are told apart in single precision.
    bytes_alone = (
        x.dtype.kind in "biu" and output_dtype(output, x) == x.dtype and x.dtype.itemsize == 1 and abs(cval) < 256
    )
    single = bytes_alone and all(s.size < 2**14 for s in boxes)
    return _by_sides(x, boxes, partial(box_planes, "mean"), cval, output, np.float32 if single else None)


def uniform_filter1d(
    input: Any,
    size: int,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Array:
    """The mean of a window along an axis: ``scipy.ndimage.uniform_filter1d``.

    axis: the axis of the lines. Other arguments, result and errors are those of :func:`uniform_filter`.

    >>> from fastconv import ndimage
    >>> ndimage.uniform_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3).tolist()
    [4, 3, 4, 1, 4, 6, 6, 3]
    """
    return uniform_filter(input, size, output, mode, cval, origin, axes=one_axis(axis, np.ndim(input)))


@lru_cache(maxsize=64)
def gaussian_kernel(sigma: float, order: int, radius: int) -> Array:
    """The Gaussian's values at ``-radius .. radius``, of sum 1, or its derivative, to be correlated with.

    The derivatives are ``H(x) * gaussian(x)`` with the polynomials ``H' - x / sigma**2 * H`` of the one before.
    """
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    gaussian = np.exp(-0.5 * (x / sigma) ** 2)
    gaussian /= gaussian.sum()
    if order == 0:
        return gaussian
    polynomial = [1.0]  # coefficients, the constant one first
    for _ in range(order):
        derivative = [i * c for i, c in enumerate(polynomial)][1:] + [0.0, 0.0]
        multiple = [0.0] + [c / sigma**2 for c in polynomial]
        polynomial = [d - m for d, m in zip(derivative, multiple, strict=True)]
    kernel: Array = (np.polyval(polynomial[::-1], x) * gaussian)[::-1]
    return kernel


def _radius(sigma: float, truncate: float, radius: Any) -> int:
    if radius is None:
        require_number(truncate, "truncate")
        if not 0 <= truncate * sigma < np.inf:
            raise ValueError(f"truncate must be at least 0, got {truncate!r}")
        return int(truncate * float(sigma) + 0.5)
    if not isinstance(radius, (int, np.integer)) or radius < 0:
        raise ValueError(f"radius must be an integer of at least 0, or None, got {radius!r}")
    return int(radius)


@lru_cache(maxsize=64)
def _weights(sigma: float, order: int, radius: int, dtype: np.dtype[Any]) -> Array:
    """:func:`gaussian_kernel` as it is used; not to be written to."""
    return gaussian_kernel(sigma, order, radius).astype(dtype)


def _plain_gaussian(
    input: Any, sigma: Any, order: Any, output: Any, mode: Any, cval: Any, truncate: Any, radius: Any, axes: Any
) -> Array | None:
    """The common case without detours: a plane, blurred alike on both axes. None where it is not that."""
    if output is not None or axes is not None or radius is not None or not is_plain(input) or input.ndim != 2:
        return None
    name = MODES.get(mode) if type(mode) is str else None
    if name is None or type(cval) not in (int, float) or type(sigma) not in (int, float) or type(order) is not int:
        return None
    if not 1e-15 < sigma < np.inf or order < 0:
        return None
    reach = _radius(sigma, truncate, None)
    if not 0 < 2 * reach < WEIGHED:
        return None
    if input.dtype not in FLOATS:
        weights = _weights(float(sigma), order, reach, FLOATS[1])
        y = _core.filter_axes(input.astype(np.float64), "weigh", weights, 1, reach, 0, name, name, cval, cval)
        x = whole(y, input.dtype).astype(np.float64)  # each result is rounded
        return whole(_core.filter_axes(x, "weigh", 1, weights, 0, reach, name, name, cval, cval), input.dtype)
    weights = _weights(float(sigma), order, reach, input.dtype)
    return _core.filter_axes(input, "weigh", weights, weights, reach, reach, name, name, cval, cval)


def gaussian_filter(
    input: Any,
    sigma: PerAxis,
    order: PerAxis = 0,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    truncate: float = 4.0,
    *,
    radius: PerAxis = None,
    axes: Any = None,
) -> Array:
    """The convolution with a Gaussian or its derivatives: ``scipy.ndimage.gaussian_filter``.

    input: an array of any number of axes.
    sigma: the standard deviation in elements; or one per axis, where 0 leaves an axis as it is.
    order: 0 for the Gaussian, n for its n-th derivative; or one per axis.
    output, mode, cval, axes: as for :func:`correlate`.
    truncate, radius: the kernel reaches to ``int(truncate * sigma + 0.5)`` elements, or to ``radius``; or one per axis.

    Returns the filtered array. Raises ValueError for values that do not fit, TypeError for a dtype that cannot be
    filtered.

    >>> from fastconv import ndimage
    >>> ndimage.gaussian_filter([0.0, 0.0, 1.0, 0.0, 0.0], 1, radius=1).round(3)
    array([0.   , 0.274, 0.452, 0.274, 0.   ])
    """
    plain = _plain_gaussian(input, sigma, order, output, mode, cval, truncate, radius, axes)
    if plain is not None:
        return plain
    x = as_image(input)
    require_number(cval, "cval")
    chosen = some_axes(axes, x.ndim)
    count = len(chosen)
    lines: list[Side] = []
    options = [
        per_axis(v, count, n) for v, n in ((sigma, "sigma"), (order, "order"), (mode, "mode"), (radius, "radius"))
    ]
    for axis, deviation, derivative, name, reach in zip(chosen, *options, strict=True):
        require_number(deviation, "sigma")
        if not 0 <= deviation < np.inf:
            raise ValueError(f"sigma must be at least 0, got {sigma!r}")
        if not isinstance(derivative, (int, np.integer)) or derivative < 0:
            raise ValueError(f"order must be an integer of at least 0, got {order!r}")
        named, length = core_mode(name), _radius(deviation, truncate, reach)
        if deviation > 1e-15:
            kernel = gaussian_kernel(float(deviation), int(derivative), length)
            if length == 0 and derivative:  # one weight, which need not be 1
                kernel, length = np.pad(kernel, 1), 1
            lines.append(Side(axis, len(kernel), length, named, kernel))
    return _by_sides(x, lines, weigh_planes, cval, output)


def gaussian_filter1d(
    input: Any,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Output = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Array:
    """The convolution with a Gaussian along an axis: ``scipy.ndimage.gaussian_filter1d``.

    axis: the axis of the lines. Other arguments, result and errors are those of :func:`gaussian_filter`.

    >>> from fastconv import ndimage
    >>> ndimage.gaussian_filter1d([1.0, 2.0, 3.0, 4.0, 5.0], 1).round(3)
    array([1.427, 2.068, 3.   , 3.932, 4.573])
    """
    only = one_axis(axis, np.ndim(input))
    return gaussian_filter(input, sigma, order, output, mode, cval, truncate, radius=radius, axes=only)
