"""Padding an array, and the gradient of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastconv import _core
from fastconv.functional import Array


def pad(
    input: Array, pad: Sequence[int], mode: str = "constant", value: float | None = 0.0, *, out: Array | None = None
) -> Array:
    """Pad or crop the last axes of an array.

    ``out[o] = input[map(o - before)]`` on every axis, ``map`` being the mode's continuation of the axis.

    input: any shape of up to 8 axes, float32 or float64, any strides. NaN and infinity are copied as they are.
    pad: flat ``(before, after)`` amounts in elements, the last axis first: ``(left, right, top, bottom, ...)``, for up
        to five axes (three in the modes other than ``"constant"``). A negative amount crops.
    mode: ``"constant"``, ``"reflect"`` (edge once), ``"symmetric"`` (edge twice), ``"replicate"``, ``"circular"``. Any
        amount works, with as many bounces or wraps as it takes. An axis that is also cropped reflects and replicates
        the values cropped away; ``"circular"`` wraps what is left, as PyTorch does.
    value: what ``"constant"`` fills in; None is 0.
    out: array to write to, of the result's shape and dtype, sharing no memory with the input.

    Returns an array of ``n + before + after`` elements an axis. Raises ValueError for amounts that crop more than there
    is or for an axis with no value to pad with, TypeError for other dtypes.
    """
    return _core.pad(input, pad, mode, 0.0 if value is None else value, out)


def pad_backward(
    grad_output: Array,
    input: Array | Sequence[int],
    pad: Sequence[int],
    mode: str = "constant",
    *,
    out: Array | None = None,
) -> Array:
    """Gradient of :func:`pad` with respect to its input: its exact adjoint.

    grad_output: the shape of the forward call's output. input: the forward call's input, or its shape.
    pad, mode: as there. out: array to write to, of the input's shape.

    Returns the gradient, shaped as the input: every element is the sum of the places it was copied to, added in one
    order for any number of threads. Raises ValueError or TypeError, as :func:`pad` does.
    """
    shape: Any = input if isinstance(input, (tuple, list)) else _core.as_array(input).shape
    return _core.pad_backward(grad_output, shape, pad, mode, out)


def named_pads(name: str, nd: int, n: int, reach: int, stride: int) -> tuple[int, int]:
    """What a convolution's padding by name adds before and after one of its ``nd`` axes, of size ``n``.

    reach: how far the dilated kernel extends beyond its first tap. Raises ValueError for a name that is none.
    """
    if name == "valid":
        return 0, 0
    if name == "full":
        return reach, reach
    if name == "causal" and nd == 1:
        return reach, 0
    if name in ("same", "same_lower"):
        # With a stride of 1 it does not depend on n, which a compiler of PyTorch's may not know.
        total = reach if stride == 1 else max((-(-n // stride) - 1) * stride + reach + 1 - n, 0)
        less = total // 2
        return (less, total - less) if name == "same" else (total - less, less)
    names = "'valid', 'same', 'same_lower', 'full' or 'causal' (1-d)"
    raise ValueError(f"padding must be an int, one or a pair per axis, or {names}, got {name!r}")
