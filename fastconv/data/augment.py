"""Augmentation: a batch and a generator in, a changed batch out. New samples that have the same label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastconv.data.dataset import Array

Augment = Callable[[Array, np.random.Generator], Array]


def shift_images(x: Array, offsets: Array, fill: float = 0.0) -> Array:
    """Move sample i by ``offsets[i]`` positions along the spatial axes; what comes in is ``fill``.

    x: ``(N, C, ...)``; offsets: ``(N, number of spatial axes)`` integers, positive towards higher indices.
    """
    if offsets.shape != (len(x), x.ndim - 2):
        raise ValueError(f"offsets must be ({len(x)}, {x.ndim - 2}), got {offsets.shape}")
    result = np.full_like(x, fill)
    for sample, moved, offset in zip(x, result, offsets, strict=True):
        here: list[slice] = [slice(None)]
        there: list[slice] = [slice(None)]
        for d, n in zip(offset.tolist(), x.shape[2:], strict=True):
            there.append(slice(max(d, 0), max(n + min(d, 0), 0)))
            here.append(slice(max(-d, 0), max(n - max(d, 0), 0)))
        moved[tuple(there)] = sample[tuple(here)]
    return result


def shift(pixels: int, fill: float = 0.0) -> Augment:
    """Each image moved by up to ``pixels`` along each axis, all whole shifts equally likely.

    fill: the value of the background; after standardising that is not 0.
    """
    if pixels < 0:
        raise ValueError(f"pixels must not be negative, got {pixels}")

    def augment(x: Array, rng: np.random.Generator) -> Array:
        return shift_images(x, rng.integers(-pixels, pixels + 1, (len(x), x.ndim - 2)), fill)

    return augment


def flip(p: float = 0.5, axis: int = -1) -> Augment:
    """Each image mirrored along ``axis`` (the last: left to right) with probability ``p``."""
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in [0, 1], got {p}")

    def augment(x: Array, rng: np.random.Generator) -> Array:
        chosen = rng.random(len(x)) < p
        result = x.copy()
        result[chosen] = np.flip(x[chosen], axis)
        return result

    return augment


def compose(*steps: Augment) -> Augment:
    """The augmentation that does one after another; each is a function of samples ``(N, C, ...)`` and a generator."""

    def augment(x: Array, rng: np.random.Generator) -> Array:
        for step in steps:
            x = step(x, rng)
        return x

    return augment
