"""What the job compares: one problem is one convolution and the dense layer of the same inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from fastconv import analysis

EDGE_KERNEL = (-1, 1)  # a pixel less its left neighbour
_SEED = 1998


@dataclass(frozen=True)
class Problem:
    """One convolution, stride 1, on whole-number data.

    input_shape: ``(C, H, W)``; weight_shape: ``(O, C, kH, kW)``; padding: zeros on every side; algorithm: as in
    :func:`fastconv.conv2d`. ``name`` is unique in the job.
    """

    name: str
    input_shape: tuple[int, int, int]
    weight_shape: tuple[int, int, int, int]
    padding: int = 0
    batch: int = 1
    bias: bool = True
    algorithm: str = "auto"
    kernel: tuple[int, ...] = field(default=())

    @property
    def costs(self) -> analysis.Comparison:
        """Counts of the convolution, the locally connected and the dense layer."""
        shape = (self.batch, *self.input_shape)
        return analysis.compare(shape, self.weight_shape, padding=self.padding, bias=self.bias)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """``(O, OH, OW)``."""
        return analysis.output_shape(self.input_shape, self.weight_shape, padding=self.padding)

    def weight(self) -> NDArray[np.float32]:
        """The kernel: the given one, or whole numbers from -3 to 3, the same in every run."""
        if self.kernel:
            return np.array(self.kernel, np.float32).reshape(self.weight_shape)
        numbers = np.random.default_rng(_SEED).integers(-3, 4, prod(self.weight_shape))
        return numbers.astype(np.float32).reshape(self.weight_shape)

    def biases(self) -> NDArray[np.float32] | None:
        """One whole number a filter, or None."""
        return np.arange(self.weight_shape[0], dtype=np.float32) - 2 if self.bias else None


def _edge(quick: bool) -> list[Problem]:
    height, width = (28, 32) if quick else (280, 320)
    name = f"edges {width}x{height}"
    return [Problem(name, (1, height, width), (1, 1, 1, 2), bias=False, kernel=EDGE_KERNEL)]


def _filters(quick: bool) -> list[Problem]:
    size, batch = (12, 4) if quick else (32, 64)
    layer = ((3, size, size), (6, 3, 5, 5))
    return [
        Problem(f"6 filters 5x5, {size}x{size}x3", *layer),
        Problem(f"6 filters 5x5, batch {batch}", *layer, batch=batch),
    ]


def _lenet(quick: bool) -> list[Problem]:
    return [
        Problem("LeNet-5 C1 5x5, 1->6", (1, 32, 32), (6, 1, 5, 5)),
        Problem("LeNet-5 C3 5x5, 6->16", (6, 14, 14), (16, 6, 5, 5)),
        Problem("LeNet-5 C5 5x5, 16->120", (16, 5, 5), (120, 16, 5, 5)),
    ]


def _wide(quick: bool) -> list[Problem]:
    size = 7 if quick else 32  # at the usual 56 the matrix would have 161 GB to read, here it has 17
    return [Problem(f"64 channels 3x3, {size}x{size}", (64, size, size), (64, 64, 3, 3), padding=1)]


def _curve_point(size: int, kernel: int) -> Problem:
    """One channel, size of the output kept; the direct method, so that the time shows its operations and no trick's."""
    name = f"{size}x{size}, kernel {kernel}x{kernel}"
    return Problem(name, (1, size, size), (1, 1, kernel, kernel), padding=kernel // 2, bias=False, algorithm="direct")


def _kernel_curve(quick: bool) -> list[Problem]:
    size, kernels = (16, (1, 3, 5)) if quick else (64, (1, 3, 5, 7, 9, 13, 19, 31))
    return [_curve_point(size, kernel) for kernel in kernels]


def _image_curve(quick: bool) -> list[Problem]:
    sizes = (8, 12, 16) if quick else (8, 16, 32, 64, 96, 128, 192, 256)
    return [_curve_point(size, 3) for size in sizes]


_MAKERS: dict[str, Callable[[bool], list[Problem]]] = {
    "edge": _edge,
    "filters": _filters,
    "lenet": _lenet,
    "wide": _wide,
    "kernel-curve": _kernel_curve,
    "image-curve": _image_curve,
}
PARTS = tuple(_MAKERS)
CURVES = ("kernel-curve", "image-curve")


def problems(part: str, quick: bool) -> list[Problem]:
    """The problems of one of ``PARTS``; ``quick`` makes them small."""
    return _MAKERS[part](quick)
