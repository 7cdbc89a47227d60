"""Initial weights. Each function fills ``array`` in place and returns it.

``fan_in`` is the number of inputs that one output sums, ``fan_out`` the number of outputs that one input reaches; for a
convolution both count the taps of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastconv.checks import check_generator, check_numbers, check_whole, generator_of, whole_numbers
from fastconv.nn.module import Array

_generator = np.random.default_rng()


def manual_seed(seed: int) -> None:
    """Seed the generator that layers made from now on take their initial weights from, and dropout its masks."""
    global _generator
    _generator = generator_of(seed)


def generator() -> np.random.Generator:
    """The generator of :func:`manual_seed`."""
    return _generator


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """``(fan_in, fan_out)`` of a weight ``(out, in, *kernel)``. Raises ValueError for fewer than two axes."""
    if len(whole_numbers("shape", shape)) < 2:
        raise ValueError(f"fans need a weight of at least two axes, got shape {shape}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def _source(array: Array, rng: np.random.Generator | None, **spread: float) -> np.random.Generator:
    """What to fill ``array`` from. Raises TypeError or ValueError for arguments that it cannot be filled with."""
    check_generator(rng)
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise TypeError(f"array must be a numpy array of floats, got {array!r:.120}")
    check_numbers(**spread)
    for name, value in spread.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {value}")
    return rng or _generator


def uniform_(array: Array, bound: float, rng: np.random.Generator | None = None) -> Array:
    """Fill an array, uniform on ``[-bound, bound)``, from ``rng`` or :func:`generator`; returns it."""
    array[...] = _source(array, rng, bound=bound).uniform(-bound, bound, array.shape)
    return array


def normal_(array: Array, std: float, rng: np.random.Generator | None = None) -> Array:
    """Fill an array, normal of mean 0 and deviation ``std``, from ``rng`` or :func:`generator`; returns it."""
    array[...] = _source(array, rng, std=std).normal(0.0, std, array.shape)
    return array


def default_(array: Array, fan_in: int, rng: np.random.Generator | None = None) -> Array:
    """PyTorch's default for weights and biases: uniform of bound ``1 / sqrt(fan_in)``."""
    check_whole(0, fan_in=fan_in)
    return uniform_(array, 1.0 / math.sqrt(fan_in) if fan_in else 0.0, rng)


def _variance_scaling(name: str, variance: Callable[[int, int], float], source: str) -> Callable[..., Array]:
    def initialise(array: Array, rng: np.random.Generator | None = None, *, distribution: str = "normal") -> Array:
        if distribution not in ("normal", "uniform"):
            raise ValueError(f"distribution must be 'normal' or 'uniform', got {distribution!r}")
        _source(array, rng)
        std = math.sqrt(variance(*fans(array.shape))) if array.size else 0.0
        return normal_(array, std, rng) if distribution == "normal" else uniform_(array, math.sqrt(3.0) * std, rng)

    initialise.__name__ = initialise.__qualname__ = name
    initialise.__doc__ = f"""{source}

    distribution: ``"normal"`` or ``"uniform"``, of the same variance. Raises ValueError for fewer than two axes.
    """
    return initialise


he_ = _variance_scaling("he_", lambda i, o: 2 / i, "Variance 2 / fan_in, for ReLU (He et al., 2015).")
glorot_ = _variance_scaling(
    "glorot_", lambda i, o: 2 / (i + o), "Variance 2 / (fan_in + fan_out), for tanh (Glorot and Bengio, 2010)."
)
lecun_ = _variance_scaling("lecun_", lambda i, o: 1 / i, "Variance 1 / fan_in (LeCun et al., 1998).")
