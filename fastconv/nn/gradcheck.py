"""Is ``backward`` the derivative of ``forward``? Central differences in float64 give the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.checks import as_array, check_kind, check_numbers, check_whole
from fastconv.nn.loss import Loss
from fastconv.nn.module import Array, Module


def numerical_gradient(function: Callable[[], float], array: Array, eps: float = 1e-6) -> Array:
    """``d function() / d array`` by central differences: ``(f(a + eps) - f(a - eps)) / (2 eps)``, one at a time."""
    check_kind("array", array, np.ndarray)  # itself, as function looks at it
    check_numbers(eps=eps)
    if not eps > 0:
        raise ValueError(f"eps must be above 0, got {eps}")
    grad = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + eps
        above = function()
        array[index] = kept - eps
        below = function()
        array[index] = kept
        grad[index] = (above - below) / (2 * eps)
    return grad


def _compare(name: str, analytic: Array, numeric: Array, rtol: float, atol: float) -> None:
    if analytic.shape != numeric.shape:
        raise AssertionError(f"gradient of {name} has shape {analytic.shape}, it should be {numeric.shape}")
    error = np.abs(analytic - numeric)
    wrong = error > atol + rtol * np.abs(numeric)
    if wrong.any() or not np.isfinite(analytic).all():
        worst = np.unravel_index(np.argmax(error), error.shape)
        where = tuple(int(i) for i in worst)
        raise AssertionError(
            f"gradient of {name} is wrong at {int(wrong.sum())} of {error.size} places, most at {where}: "
            f"backward gives {analytic[worst]:.8g}, differences give {numeric[worst]:.8g}"
        )


def gradcheck(
    module: Module | Loss,
    input: Any,
    target: Any = None,
    *,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    seed: int = 0,
) -> bool:
    """Compare ``backward`` with central differences, for the input and for every parameter.

    module: a layer (converted to float64, checked in training mode, its random layers reseeded before each forward so
    that dropout keeps one mask) or a loss. input: an array; for a loss the outputs, with ``target`` beside it.
    The layer's output is contracted with a random array, so that every element of it takes part.

    Keep inputs away from kinks: a ReLU at exactly 0 or a tie in a max pool has no derivative.
    Returns True, or raises AssertionError that names the gradient and the place where they differ most.
    """
    check_numbers(eps=eps, rtol=rtol, atol=atol)
    check_whole(0, seed=seed)
    x = as_array("input", input, np.float64).copy()
    if isinstance(module, Loss):
        loss = module
        loss(x.copy(), target)
        analytic = loss.backward()
        _compare("input", analytic, numerical_gradient(lambda: loss(x, target), x, eps), rtol, atol)
        return True

    check_kind("module", module, Module)
    layer = module.to(np.float64).train()

    def forward() -> Array:
        layer.seed(np.random.default_rng(seed))
        return layer.forward(x)

    weights = np.random.default_rng(seed + 1).standard_normal(forward().shape)

    def scalar() -> float:
        return float(np.vdot(weights, forward()))

    forward()
    grad_input = np.array(layer.backward(weights.copy()))
    grads = {name: parameter.grad.copy() for name, parameter in layer.named_parameters()}
    _compare("input", grad_input, numerical_gradient(scalar, x, eps), rtol, atol)
    for name, parameter in layer.named_parameters():
        _compare(name, grads[name], numerical_gradient(scalar, parameter.data, eps), rtol, atol)
    return True
