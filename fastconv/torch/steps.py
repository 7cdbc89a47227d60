"""Options as PyTorch users write them, turned into the plain lists of whole numbers that operators take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fastconv.padding import named_pads

_INT: Any = (int, torch.SymInt, np.integer)
Axes = int | Sequence[int]
Padding = int | str | Sequence[int | Sequence[int]]
Modes = str | Sequence[str]


def _plain(sizes: Any) -> tuple[int, ...]:
    """numpy's integers as Python's, the only ones that operators take; symbols of a traced shape as they are."""
    return tuple(int(size) if isinstance(size, np.integer) else size for size in sizes)


def per_axis(value: Any, nd: int, name: str) -> tuple[int, ...]:
    """An int, or one per axis; a sequence of one int counts for all axes, as in PyTorch.

    Raises TypeError for what is neither, ValueError for another number of them.
    """
    if isinstance(value, _INT):
        return _plain((value,) * nd)
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be an int or {nd} of them, got {value!r}")
    sizes = _plain(value)
    if len(sizes) == nd:
        return sizes
    if len(sizes) == 1:
        return sizes * nd
    raise ValueError(f"{name} must be an int or {nd} of them, got {value!r}")


def pads(
    padding: Any, spatial: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    """``(before, after)`` of every axis, one after the other.

    Raises TypeError for what is no number, sequence or name, ValueError for the wrong number of sides.
    """
    nd = len(spatial)
    if isinstance(padding, _INT):
        return _plain((padding,) * (2 * nd))
    if isinstance(padding, str):
        reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple(
            side for axis in zip(spatial, reach, stride, strict=True) for side in named_pads(padding, nd, *axis)
        )
    if not hasattr(padding, "__iter__"):
        raise TypeError(f"padding must be an int, one or a pair per axis ({nd}), or a name, got {padding!r}")
    sides = tuple(padding)
    if len(sides) == 1 and isinstance(sides[0], _INT):
        return _plain(sides * (2 * nd))
    if len(sides) != nd:
        raise ValueError(f"padding must be an int, one or a pair per axis ({nd}), or a name, got {padding!r}")
    pairs = [(side, side) if isinstance(side, _INT) else tuple(side) for side in sides]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"padding must hold ints or (before, after) pairs, got {padding!r}")
    return _plain(side for pair in pairs for side in pair)


def pairs(padding: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """What :func:`pads` made, as pairs again."""
    return tuple(zip(padding[::2], padding[1::2], strict=True))


def joined(modes: Modes) -> str:
    """Padding modes as one text: ``"reflect"``, or ``"reflect,zeros"`` for two axes."""
    return modes if isinstance(modes, str) else ",".join(modes)


def split(modes: str) -> Modes:
    return modes.split(",") if "," in modes else modes


def positions(
    spatial: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    """Output sizes of a convolution or pool."""
    sizes = []
    for i, n in enumerate(spatial):
        room = n + padding[2 * i] + padding[2 * i + 1] - dilation[i] * (kernel[i] - 1) - 1
        size = (room + (stride[i] - 1 if ceil_mode else 0)) // stride[i] + 1
        if ceil_mode and (size - 1) * stride[i] >= n + padding[2 * i]:
            size -= 1  # the last window would begin behind the input
        sizes.append(size)
    return tuple(sizes)
