"""A few networks to start from: ``(channels, height, width)`` of the images and the number of classes in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fastconv.nn import init
from fastconv.nn.activation import Dropout, Flatten, ReLU
from fastconv.nn.container import Sequential
from fastconv.nn.conv import Conv2d
from fastconv.nn.linear import Linear
from fastconv.nn.module import Module
from fastconv.nn.norm import BatchNorm2d
from fastconv.nn.pooling import GlobalAvgPool, MaxPool2d


def lenet5(input_shape: Sequence[int] = (1, 28, 28), classes: int = 10) -> Sequential:
    """LeNet-5 as it is drawn today (LeCun et al., 1998; ReLU, max pooling, every map joined to every map).

    Images of 28x28 are padded to the 32x32 of the paper: 61,706 parameters for ten classes.
    """
    channels, height, width = input_shape
    if min(height, width) < 16:
        raise ValueError(f"lenet5 needs images of 16x16 or more, got {height}x{width}")
    pad = 2 if min(height, width) < 32 else 0
    after = [((n + 2 * pad - 4) // 2 - 4) // 2 for n in (height, width)]
    return Sequential(
        Conv2d(channels, 6, 5, padding=pad), ReLU(), MaxPool2d(2),
        Conv2d(6, 16, 5), ReLU(), MaxPool2d(2),
        Flatten(),
        Linear(16 * after[0] * after[1], 120), ReLU(),
        Linear(120, 84), ReLU(),
        Linear(84, classes),
    )  # fmt: skip


def small_cnn(input_shape: Sequence[int] = (1, 28, 28), classes: int = 10) -> Sequential:
    """Two 3x3 convolutions of 32 and 64 channels, pool, dropout, 128 hidden units: the textbook CNN."""
    channels, height, width = input_shape
    pooled = ((height - 4) // 2, (width - 4) // 2)
    return Sequential(
        Conv2d(channels, 32, 3), ReLU(),
        Conv2d(32, 64, 3), ReLU(), MaxPool2d(2), Dropout(0.25),
        Flatten(),
        Linear(64 * pooled[0] * pooled[1], 128), ReLU(), Dropout(0.5),
        Linear(128, classes),
    )  # fmt: skip


def cnn(input_shape: Sequence[int] = (1, 28, 28), classes: int = 10, width: int = 32) -> Sequential:
    """Five 3x3 convolutions of ``width`` to 4 ``width`` channels with batch normalisation, two poolings, and the mean
    of each channel at the end: the larger network, of fewer weights than one dense layer would have.
    """
    channels, rows, columns = input_shape
    if min(rows, columns) < 4:
        raise ValueError(f"cnn needs images of 4x4 or more, got {rows}x{columns}")

    def convolution(before: int, after: int) -> list[Module]:
        return [Conv2d(before, after, 3, padding=1, bias=False), BatchNorm2d(after), ReLU()]

    return Sequential(
        *convolution(channels, width), MaxPool2d(2),
        *convolution(width, 2 * width), *convolution(2 * width, 2 * width), MaxPool2d(2), Dropout(0.1),
        *convolution(2 * width, 4 * width), *convolution(4 * width, 4 * width), GlobalAvgPool(),
        Flatten(), Dropout(0.2), Linear(4 * width, classes),
    )  # fmt: skip


def mlp(input_shape: Sequence[int] = (1, 28, 28), classes: int = 10, hidden: Sequence[int] = (512, 512)) -> Sequential:
    """The image flattened, then dense layers: what the convolution is compared with."""
    sizes = [math.prod(input_shape), *hidden]
    layers: list[Module] = [Flatten()]
    for before, after in zip(sizes, sizes[1:], strict=False):
        layers += [Linear(before, after), ReLU()]
    return Sequential(*layers, Linear(sizes[-1], classes))


MODELS: dict[str, Callable[..., Sequential]] = {"lenet5": lenet5, "cnn": cnn, "small-cnn": small_cnn, "mlp": mlp}


def build(name: str, input_shape: Sequence[int], classes: int, seed: int | None = None) -> Sequential:
    """One of ``MODELS`` by name; ``seed`` fixes its initial weights. Raises ValueError for another name."""
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {name!r}")
    if seed is not None:
        init.manual_seed(seed)
    return MODELS[name](input_shape, classes)
