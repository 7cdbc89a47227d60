"""Activations, softmax, dropout and reshaping: the layers without weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastconv import _core
from fastconv.checks import as_floats, check_generator, check_numbers, is_whole
from fastconv.nn import init
from fastconv.nn.module import Array, Gradient, Module, Reused, as_grad, laid_as


class ReLU(Module):
    """``max(x, 0)``. The gradient at 0 is taken as 0."""

    def __init__(self) -> None:
        self._out = Reused()

    def forward(self, x: Array) -> Array:
        x = as_floats("input", x)
        y: Array = np.maximum(x, 0, out=self._out.like(x))
        self._save(y)
        return y

    def accept(self, y: Array) -> None:
        """Take ``y`` as this layer's output, already rectified by the layer before."""
        self._save(y)

    def backward(self, grad: Gradient, need_input_grad: bool = True, sums: Array | None = None) -> Gradient:
        """sums: where to write the sum of each channel's gradient, which is that of a bias before this layer."""
        y = self._take_saved()
        grad = laid_as(as_grad(grad, y.shape, y), y)
        _core.relu_grad(grad, y, sums)
        return grad


class LeakyReLU(Module):
    """``x`` where positive, ``negative_slope * x`` elsewhere; ``LeakyReLU(0.1)`` is ``max(0.1 x, x)``."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        check_numbers(negative_slope=negative_slope)
        self.negative_slope = negative_slope

    def forward(self, x: Array) -> Array:
        x = as_floats("input", x)
        slope: Array = np.where(x > 0, 1, self.negative_slope).astype(x.dtype)
        self._save(slope)
        return x * slope

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        slope = self._take_saved()
        grad = as_grad(grad, slope.shape, slope)
        return np.multiply(grad, slope, out=grad)

    def describe(self) -> str:
        return f"{self.negative_slope}"


class ELU(Module):
    """``x`` where positive, ``alpha (exp(x) - 1)`` elsewhere (Clevert et al., 2015)."""

    def __init__(self, alpha: float = 1.0) -> None:
        check_numbers(alpha=alpha)
        self.alpha = float(alpha)  # of numpy's kinds a number would decide the result's dtype

    def forward(self, x: Array) -> Array:
        x = as_floats("input", x)
        below, y = x <= 0, self.alpha * np.expm1(np.minimum(x, 0))
        self._save((below, y))
        return np.where(below, y, x)

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        below, y = self._take_saved()
        grad = as_grad(grad, y.shape, y)
        return np.multiply(grad, np.where(below, y + self.alpha, 1), out=grad)

    def describe(self) -> str:
        return f"alpha={self.alpha}"


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` of every element, each exact relative to itself; a new array of the shape of ``x``."""
    with np.errstate(over="ignore"):  # 1 / infinity is right
        y: Array = np.exp(-as_floats("x", x))
    y += 1
    return 1 / y


class _FromOutput(Module):
    """An activation whose derivative is a function of its own output."""

    function: Callable[[Array], Array]
    slope: Callable[[Array], Array]

    def forward(self, x: Array) -> Array:
        y = type(self).function(as_floats("input", x))
        self._save(y)
        return y

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        y = self._take_saved()
        grad = as_grad(grad, y.shape, y)
        return np.multiply(grad, type(self).slope(y), out=grad)


class Sigmoid(_FromOutput):
    """``g = 1 / (1 + exp(-x))``, derivative ``g (1 - g)``."""

    function = staticmethod(sigmoid)
    slope = staticmethod(lambda y: y * (1 - y))


class Tanh(_FromOutput):
    """``tanh(x)``, derivative ``1 - tanh(x)^2``."""

    function = staticmethod(lambda x: np.tanh(x))
    slope = staticmethod(lambda y: 1 - y * y)


def log_softmax(x: Array, axis: int = 1) -> Array:
    """``x - log sum exp(x)`` along ``axis``, shifted by the maximum so that nothing overflows; shaped as ``x``."""
    x = as_floats("x", x)
    shifted: Array = x - x.max(axis=axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return shifted


def softmax(x: Array, axis: int = 1) -> Array:
    """``exp(x) / sum exp(x)`` along ``axis``, shifted likewise; shaped as ``x``."""
    x = as_floats("x", x)
    y: Array = np.exp(x - x.max(axis=axis, keepdims=True))
    y /= y.sum(axis=axis, keepdims=True)
    return y


def _axis(dim: int) -> int:
    if not is_whole(dim):
        raise TypeError(f"dim must be an integer, got {dim!r}")
    return dim


class Softmax(Module):
    """``exp(x / temperature) / sum exp(x / temperature)`` along ``dim``.

    As the temperature falls to 0 the result goes to the one-hot vector of the maximum, equal shares where several tie.
    Do not put it before :class:`CrossEntropyLoss`, which takes the logits themselves.
    """

    def __init__(self, dim: int = 1, temperature: float = 1.0) -> None:
        check_numbers(temperature=temperature)
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.dim, self.temperature = _axis(dim), temperature

    def forward(self, x: Array) -> Array:
        x = as_floats("input", x)
        y = softmax(x / self.temperature, self.dim).astype(x.dtype, copy=False)
        self._save(y)
        return y

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        y = self._take_saved()
        grad = as_grad(grad, y.shape, y)
        inner = (grad * y).sum(axis=self.dim, keepdims=True)
        return (grad - inner) * y / self.temperature

    def describe(self) -> str:
        return f"dim={self.dim}, temperature={self.temperature}"


class LogSoftmax(Module):
    """``log(Softmax(x))`` along ``dim``: what :class:`KLDivLoss` takes."""

    def __init__(self, dim: int = 1) -> None:
        self.dim = _axis(dim)

    def forward(self, x: Array) -> Array:
        y = log_softmax(x, self.dim)
        self._save(y)
        return y

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        y = self._take_saved()
        grad = as_grad(grad, y.shape, y)
        return grad - np.exp(y) * grad.sum(axis=self.dim, keepdims=True)


class Dropout(Module):
    """Sets each element to 0 with probability ``p`` while training, and divides the rest by ``1 - p``.

    ``p`` is the probability of *dropping*, and inference does nothing, as in PyTorch. Lectures (and Srivastava et al.,
    2014) often speak of the probability ``q = 1 - p`` of *keeping*: they multiply by a Bernoulli(q) mask while
    training, divide by nothing, and multiply by ``q`` at inference. The expectation is the same but for the factor q;
    their ``q = 0.8`` is ``Dropout(0.2)`` here.

    p is taken to the nearest 2^-32. rng: a numpy generator, else that of ``nn.manual_seed``; ``fit`` sets its own. It
    gives one number a batch; the mask is a hash of that number and of the place, and is computed again for the
    gradient instead of being kept.
    """

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None) -> None:
        check_numbers(p=p)
        check_generator(rng)
        if not 0 <= p < 1:
            raise ValueError(f"p must be in [0, 1), got {p}")
        self.p = p
        self.rng = rng or init.generator()
        self._out = Reused()

    def forward(self, x: Array, in_place: bool = False) -> Array:
        """in_place: the result takes the place of ``x``."""
        if not self.training or self.p == 0:
            self._save((None, None))
            return x
        y = x if in_place else self._out.like(x)
        seed = int(self.rng.integers(2**63))
        _core.dropout(laid_as(x, y), y, seed, self.p)
        self._save((seed, y))
        return y

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        seed, y = self._take_saved()
        if seed is None:
            return grad
        grad = laid_as(as_grad(grad, y.shape, y), y)
        _core.dropout(grad, grad, seed, self.p)
        return grad

    def describe(self) -> str:
        return f"p={self.p}"


class Flatten(Module):
    """``(N, ...)`` to ``(N, features)``: a view where the input is contiguous."""

    def forward(self, x: Array) -> Array:
        self._save(x.shape)
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        shape = self._take_saved()
        return as_grad(grad, (shape[0], math.prod(shape[1:]))).reshape(shape)
