"""Maximum and minimum filters: boxes axis by axis, other footprints run by run."""

from __future__ import annotations

import warnings
from functools import lru_cache, partial
from typing import Any

import numpy as np

from fastconv.ndimage.arguments import (
    SHORT,
    SMALL,
    Array,
    Output,
    PerAxis,
    Side,
    as_image,
    before_of,
    core_mode,
    deliver,
    one_axis,
    output_dtype,
    per_axis,
    require_number,
    sides,
    some_axes,
)
from fastconv.ndimage.boxes import box_planes, extended, over_planes, plain_box
from fastconv.ndimage.running import running


def _box(x: Array, boxes: list[Side], cval: Any, minimum: bool) -> Array:
    """A new array, of the dtype of ``x``."""
    if not boxes or x.size == 0:
        return x.copy()
    kind = "minimum" if minimum else "maximum"
    if x.dtype.kind == "f":
        return over_planes(x, boxes, partial(box_planes, kind, cval))
    if x.size <= SMALL and x.dtype in SHORT:
        return over_planes(x.astype(np.float32), boxes, partial(box_planes, kind, float(cval))).astype(x.dtype)
    join = np.minimum if minimum else np.maximum
    y = running(join, x, boxes[0], cval)
    for side in boxes[1:]:
        y = running(join, y, side, cval, out=y)
    return y


@lru_cache(maxsize=16)
def _runs(elements: bytes, shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], int, int]]:
    """A footprint's elements as runs along its last axis: (place on the other axes, first element, length)."""
    ends = np.zeros((*shape[:-1], shape[-1] + 2), np.int8)
    ends[..., 1:-1] = np.frombuffer(elements, bool).reshape(shape)
    steps = ends[..., 1:] - ends[..., :-1]
    first, stop = np.argwhere(steps == 1).tolist(), np.argwhere(steps == -1).tolist()
    return [(tuple(a[:-1]), a[-1], b[-1] - a[-1]) for a, b in zip(first, stop, strict=True)]


def _shaped(x: Array, footprint: Array, axes: tuple[int, ...], boxes: list[Side], cval: Any, minimum: bool) -> Array:
    """``x`` under a footprint with gaps: one running extreme for each length of its runs, and a join for each run."""
    join = np.minimum if minimum else np.maximum
    order = np.argsort(axes)
    footprint, boxes = footprint.transpose(order), [boxes[i] for i in order]
    wide = extended(x, [s.axis for s in boxes], [s.pads for s in boxes], [s.mode for s in boxes], cval)
    runs = _runs(footprint.tobytes(), footprint.shape)
    last, result = boxes[-1].axis, None
    for length in sorted({run[2] for run in runs}):
        # Of windows that begin with each element; those that reach beyond the end belong to no result.
        extremes = _box(wide, [Side(last, length, 0, "replicate")], 0, minimum) if length > 1 else wide
        for place, first, _ in (run for run in runs if run[2] == length):
            window = [slice(None)] * x.ndim
            for side, start in zip(boxes, (*place, first), strict=True):
                window[side.axis] = slice(start, start + x.shape[side.axis])
            part = extremes[tuple(window)]
            result = part.copy() if result is None else join(result, part, out=result)
    assert result is not None  # a footprint has elements
    return result


def _filled(x: Array, boxes: list[Side], cval: Any) -> tuple[Array, Any]:
    """``x``, and ``cval`` as a value of its dtype. Short integers become float64 where theirs has no such value."""
    require_number(cval, "cval")
    if np.iscomplexobj(cval):
        raise ValueError(f"cval must be a real number, got {cval!r}")
    if not any(side.mode == "zeros" for side in boxes):
        return x, 0
    if x.dtype.kind != "f":
        low, high = (0, 1) if x.dtype.kind == "b" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
        if low <= cval <= high and (x.dtype.itemsize == 8 or cval == int(cval)):
            return x, x.dtype.type(int(cval))
        if x.dtype.itemsize == 8:
            raise ValueError(f"cval must fit the input's dtype {x.dtype}, got {cval!r}")
        x = x.astype(np.float64)
    return x, float(cval)


def _extreme(
    input: Any,
    size: PerAxis,
    footprint: Any,
    output: Output,
    mode: PerAxis,
    cval: Any,
    origin: PerAxis,
    axes: Any,
    minimum: bool,
) -> Array:
    if footprint is None:
        plain = plain_box("minimum" if minimum else "maximum", input, size, output, mode, cval, origin, axes)
        if plain is not None:
            return plain
    x = as_image(input)
    if x.dtype.kind == "c":
        raise TypeError(f"input must be real, because complex numbers have no order; got dtype {x.dtype}")
    if footprint is None:
        if size is None:
            raise ValueError("one of size and footprint is needed, got None for both")
        return _boxed(x, sides(x.ndim, axes, size, origin, mode), cval, minimum, output)
    if size is not None:
        warnings.warn("size is not used because footprint is given", UserWarning, stacklevel=3)
    chosen, shape = some_axes(axes, x.ndim), np.asarray(footprint, dtype=bool)
    if shape.ndim != len(chosen) or not shape.any():
        raise ValueError(
            f"footprint must have {len(chosen)} axes, as many as are filtered, and an element that is not zero; "
            f"got shape {shape.shape} with {np.count_nonzero(shape)} of them"
        )
    if shape.all():
        return _boxed(x, sides(x.ndim, axes, shape.shape, origin, mode), cval, minimum, output)
    count = len(chosen)
    rows = zip(chosen, shape.shape, per_axis(origin, count, "origin"), per_axis(mode, count, "mode"), strict=True)
    boxes = [Side(a, n, before_of(n, o), core_mode(m)) for a, n, o, m in rows]
    wide, fill = _filled(x, boxes, cval)
    y = wide.copy() if x.size == 0 else _shaped(wide, shape, chosen, boxes, fill, minimum)
    return _finish(y, x, output)


def _boxed(x: Array, boxes: list[Side], cval: Any, minimum: bool, output: Output) -> Array:
    wide, fill = _filled(x, boxes, cval)
    return _finish(_box(wide, boxes, fill, minimum), x, output)


def _finish(y: Array, x: Array, output: Output) -> Array:
    return deliver(y, output, output_dtype(output, x))


_DOC = """The {which} under a window around every element: ``scipy.ndimage.{name}``.

    input: an array of any number of axes, of a real dtype; the result is exact in each.
    size: of the window, at least 1; an int, or one per axis.
    footprint: booleans, the elements of the window that count, instead of a size. Boxes cost the logarithm of their
        size, other footprints one step for each run of elements along their last axis.
    output, mode, origin, axes: as for :func:`correlate`; of integers of 64 bits, ``cval`` must fit the input's dtype.

    A window that holds a NaN gives NaN, whatever else it holds. (SciPy's answer depends on the order.)

    Returns the filtered array. Raises ValueError for shapes or values that do not fit, TypeError for a complex input or
    a dtype that cannot be filtered.

    >>> from fastconv import ndimage
    >>> ndimage.{name}([3, 1, 4, 1, 5], 3).tolist()
    {example}
    """

_DOC_1D = """The {which} along an axis under a window around every element: ``scipy.ndimage.{name}1d``.

    axis: the axis of the lines. Other arguments, result and errors are those of :func:`{name}`.
    """


def maximum_filter(
    input: Any,
    size: PerAxis = None,
    footprint: Any = None,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    origin: PerAxis = 0,
    *,
    axes: Any = None,
) -> Array:
    return _extreme(input, size, footprint, output, mode, cval, origin, axes, minimum=False)


def minimum_filter(
    input: Any,
    size: PerAxis = None,
    footprint: Any = None,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    origin: PerAxis = 0,
    *,
    axes: Any = None,
) -> Array:
    return _extreme(input, size, footprint, output, mode, cval, origin, axes, minimum=True)


def maximum_filter1d(
    input: Any,
    size: int,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Array:
    axis = one_axis(axis, np.ndim(input))
    return _extreme(input, size, None, output, mode, cval, origin, axis, minimum=False)


def minimum_filter1d(
    input: Any,
    size: int,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Array:
    axis = one_axis(axis, np.ndim(input))
    return _extreme(input, size, None, output, mode, cval, origin, axis, minimum=True)


maximum_filter.__doc__ = _DOC.format(which="largest element", name="maximum_filter", example="[3, 4, 4, 5, 5]")
minimum_filter.__doc__ = _DOC.format(which="smallest element", name="minimum_filter", example="[1, 1, 1, 1, 1]")
maximum_filter1d.__doc__ = _DOC_1D.format(which="largest element", name="maximum_filter")
minimum_filter1d.__doc__ = _DOC_1D.format(which="smallest element", name="minimum_filter")
