"""Pictures of what padding and pooling do to an image."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastconv.functional as functional
from fastconv import pooling
from fastconv.nn.module import Array
from fastconv.viz.figure import grid, picture

MODES = ("zeros", "reflect", "replicate", "circular", "symmetric")


def _checked(image: Array) -> Array:
    image = np.asarray(image)
    if image.ndim != 2:
        raise ValueError(f"image must be (H, W), got shape {image.shape}")
    return image.astype(np.float32, copy=False)[None, None]


def padding_modes(image: Array, pad: int | None = None) -> Any:
    """An image ``(H, W)`` padded by ``pad`` pixels (by default 3/8 of its size) in each mode; the frame is the image.

    The padding is the library's own: a convolution by the 1x1 kernel [[1]], which gives its padded input.
    """
    x = _checked(image)
    height, width = x.shape[2:]
    amount = 3 * min(height, width) // 8 if pad is None else pad
    figure, axes = grid(1, len(MODES), 2.0, 2.2)
    limits = {"vmin": float(x.min()), "vmax": float(x.max())}
    for ax, mode in zip(axes[0], MODES, strict=True):
        padded = functional.conv2d(x, np.ones((1, 1, 1, 1), x.dtype), padding=amount, padding_mode=mode)
        picture(ax, padded[0, 0], mode, 9, **limits)
        corner, far_x, far_y = amount - 0.5, amount + width - 0.5, amount + height - 0.5
        ax.plot([corner, far_x, far_x, corner, corner], [corner, corner, far_y, far_y, corner], color="#d55e00", lw=1.2)
    return figure


def pooling_effects(image: Array, size: int = 4, shift: int = 1) -> Any:
    """An image ``(H, W)`` after each pool of ``size`` x ``size``, and below it the same for the image moved right by
    ``shift`` pixels: pooling answers nearly, but not exactly, alike.
    """
    x = _checked(image)
    moved = np.concatenate([x[..., :1]] * shift + [x[..., : x.shape[3] - shift]], axis=3)
    pools = {
        "image": lambda a: a,
        f"max {size}x{size}": lambda a: pooling.max_pool2d(a, size),
        f"average {size}x{size}": lambda a: pooling.avg_pool2d(a, size),
        "power mean, p = 4": lambda a: pooling.lp_pool2d(a, 4, size, mean=True),
        "adaptive average to 5x5": lambda a: pooling.adaptive_avg_pool2d(a, 5),
    }
    figure, axes = grid(2, len(pools), 1.9, 2.0)
    limits = {"vmin": float(x.min()), "vmax": float(x.max())}
    for ax, below, (title, pool) in zip(*axes, pools.items(), strict=True):
        first, second = pool(x), pool(moved)
        picture(ax, first[0, 0], title, 8, **limits)
        change = float(np.abs(second - first).mean() / (np.ptp(x) or 1))
        picture(below, second[0, 0], f"moved by {shift}: {change:.1%} change", 8, **limits)
    return figure
