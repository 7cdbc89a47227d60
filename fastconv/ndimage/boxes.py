"""Box filters axis by axis: two axes at once where they are the last two, arrays in order never copied to turn them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from fastconv import _core
from fastconv.ndimage.arguments import Array, Side

Pair = tuple[int, int]

# planes (C, H, W), sides of H and W: the planes, filtered
PlaneFilter = Callable[[Array, Side, Side], Array]

_NOTHING = Side(0, 1, 0, "zeros")


def over_planes(x: Array, sides: Sequence[Side], plane_filter: PlaneFilter) -> Array:
    """An array of floats after a separable filter on the axes of ``sides``, which are in order."""
    rest = list(sides)
    if len(rest) > 1 and rest[-1].axis == x.ndim - 1 and rest[-2].axis == x.ndim - 2:
        x = plane_filter(x.reshape(-1, *x.shape[-2:]), rest[-2], rest[-1]).reshape(x.shape)
        rest = rest[:-2]
    for side in rest:
        x = line_filter(x, side, plane_filter)
    return x


def line_filter(x: Array, side: Side, plane_filter: PlaneFilter) -> Array:
    """An array after a filter of one axis: the axis is the height of planes, or the width if nothing lies behind it."""
    n, inner = x.shape[side.axis], prod(x.shape[side.axis + 1 :])
    if inner == 1:
        return plane_filter(x.reshape(1, -1, n), _NOTHING, side).reshape(x.shape)
    return plane_filter(x.reshape(-1, n, inner), side, _NOTHING).reshape(x.shape)


def continuation(n: int, before: int, after: int, mode: str) -> Array:
    """Which element stands at each position of an axis of n that is continued on both sides."""
    q = np.arange(-before, n + after)
    if mode == "replicate":
        return q.clip(0, n - 1)
    if mode == "circular":
        return q % n
    period = 2 * n if mode == "symmetric" else max(2 * n - 2, 1)
    q %= period
    return np.minimum(q, 2 * n - 1 - q if mode == "symmetric" else 2 * n - 2 - q) if n > 1 else q * 0


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


def extended_planes(x: Array, height: Side, width: Side, cval: float) -> Array:
    """Planes of floats continued beyond their ends."""
    if height.size == 1 or width.size == 1 or height.mode == width.mode:
        mode = width.mode if height.size == 1 else height.mode
        return _extended_core(x, (*width.pads, *height.pads), mode, cval)
    return _extended_core(_extended_core(x, (0, 0, *height.pads), height.mode, cval), width.pads, width.mode, cval)


def _extended_core(x: Array, pads: tuple[int, ...], mode: str, cval: float) -> Array:
    return _core.pad(x, pads, "constant" if mode == "zeros" else mode, cval if mode == "zeros" else 0.0, None)
