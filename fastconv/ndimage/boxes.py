"""Boxes and separable kernels over the axes of an array: two axes at once where they are the last two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from fastconv import _core
from fastconv.ndimage.arguments import FLOATS, MODES, SMALL, WIDEST, Array, Side, before_of, is_plain, whole
from fastconv.ndimage.running import continuation, running

Pair = tuple[int, int]

# arrays of planes (..., H, W), sides of H and W: the planes, filtered
PlaneFilter = Callable[[Array, Side, Side], Array]

_NOTHING = Side(0, 1, 0, "zeros")
_JOINS: dict[str, Any] = {"mean": np.add, "maximum": np.maximum, "minimum": np.minimum}
_NARROW = 32  # bytes
_LONGEST = 512  # boxes that the core takes: it keeps as many lines


def over_planes(x: Array, sides: Sequence[Side], plane_filter: PlaneFilter) -> Array:
    """An array of floats after a filter of each of the axes of ``sides``, one after the other in their order."""
    last = tuple(side.axis for side in sides[-2:])
    together = last == (x.ndim - 2, x.ndim - 1)
    for side in sides[:-2] if together else sides:
        x = _line_filter(x, side, plane_filter)
    return plane_filter(x, sides[-2], sides[-1]) if together else x


def _line_filter(x: Array, side: Side, plane_filter: PlaneFilter) -> Array:
    """An array after a filter of one axis: the axis is the height of planes, or the width if nothing lies behind it."""
    n, inner = x.shape[side.axis], prod(x.shape[side.axis + 1 :])
    if inner == 1:
        return plane_filter(x.reshape(-1, n), _NOTHING, side).reshape(x.shape)
    return plane_filter(x.reshape(-1, n, inner), side, _NOTHING).reshape(x.shape)


def fits_core(x: Array, height: Side, width: Side) -> bool:
    """Whether the core filters these planes in a few lines of memory."""
    wraps = width.mode == "circular" and width.size > 1 and x.shape[-1] > WIDEST
    return height.size <= _LONGEST and width.size <= _LONGEST and not wraps


def is_narrow(x: Array, inner: int) -> bool:
    """Whether rows of so many elements, the channels of a picture's pixels, are too short to fill vectors."""
    return inner * x.itemsize <= _NARROW and x.size >= SMALL


def plane_of(x: Array) -> Array:
    """The same elements with no more axes than the core takes."""
    return x if x.ndim <= 8 else x.reshape(-1, *x.shape[-2:])


def box_planes(kind: str, cval: float, x: Array, height: Side, width: Side) -> Array:
    """The ``"mean"``, ``"maximum"`` or ``"minimum"`` under a box, of planes of floats."""
    beyond = cval * height.size if kind == "mean" else cval  # what there would be a sum of already
    if fits_core(x, height, width) and not (width.size == 1 < height.size and is_narrow(x, x.shape[-1])):
        sides = height.size, width.size, height.before, width.before, height.mode, width.mode
        return _core.filter_axes(plane_of(x), kind, *sides, cval, beyond).reshape(x.shape)
    planes = x.reshape(-1, *x.shape[-2:])
    for axis, side, fill in ((1, height, cval), (2, width, beyond)):
        if side.size > 1:
            planes = running(_JOINS[kind], planes, side._replace(axis=axis), fill)
    if kind == "mean":
        planes /= height.size * width.size
    return planes.reshape(x.shape)


def plain_box(
    kind: str, input: Any, size: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any
) -> Array | None:
    """The common case without detours: a plane under a square box. None where it is not that."""
    if output is not None or axes is not None or type(size) is not int or not 1 < size <= _LONGEST:
        return None
    name = MODES.get(mode) if type(mode) is str else None
    y = _core.filter_box(input, kind, size, name, cval, origin)
    if y is not None:
        return y
    if name is None or not is_plain(input) or input.ndim != 2 or input.dtype in FLOATS or type(origin) is not int:
        return None
    if type(cval) not in (int, float):
        return None
    before = before_of(size, origin)
    x = input.astype(np.float64)
    if kind != "mean":  # whose cval must fit the dtype
        if name == "zeros" and cval != 0:
            return None
        return _core.filter_axes(x, kind, size, size, before, before, name, name, 0, 0).astype(input.dtype)
    y = whole(_core.filter_axes(x, kind, size, 1, before, 0, name, name, cval, cval), input.dtype)  # each is rounded
    return whole(_core.filter_axes(y.astype(np.float64), kind, 1, size, 0, before, name, name, cval, cval), input.dtype)


def extended(x: Array, axes: Sequence[int], pads: Sequence[Pair], modes: Sequence[str], cval: Any) -> Array:
    """An array of any dtype continued beyond the ends of some axes."""
    for axis, pair, mode in zip(axes, pads, modes, strict=True):
        if pair == (0, 0):
            continue
        if mode == "zeros":
            width = [(0, 0)] * x.ndim
            width[axis] = pair
            x = np.pad(x, width, constant_values=cval)
        else:
            x = x.take(continuation(x.shape[axis], *pair, mode), axis)
    return x
