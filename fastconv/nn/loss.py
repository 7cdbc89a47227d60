"""Losses: ``loss(output, target)`` gives the mean over the batch, ``loss.backward()`` the gradient of it by output.

All mean over samples, so that the learning rate does not depend on the batch size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastconv.checks import as_array, as_floats, check_numbers, check_whole
from fastconv.nn.activation import log_softmax, sigmoid
from fastconv.nn.module import Array, Parameter, checked


class Loss:
    """Base of the losses: ``loss(output, target)`` is a number, then ``loss.backward()`` its gradient in ``output``."""

    _grad: Array | None = None

    def forward(self, output: Array, target: Any) -> float:
        """The loss, a mean over the batch. Raises ValueError for a target that does not fit the output."""
        raise NotImplementedError(f"{type(self).__name__}.forward")

    def __call__(self, output: Array, target: Any) -> float:
        return self.forward(output, target)

    def backward(self) -> Array:
        """Gradient of the last value with respect to ``output``; once for each call."""
        grad, self._grad = self._grad, None
        if grad is None:
            raise RuntimeError(f"{type(self).__name__}.backward: call the loss first, once for each")
        return grad


def _check_output(output: Array) -> None:
    if not isinstance(output, np.ndarray):
        raise TypeError(f"output must be an array of floats, got {output!r:.120}")
    as_floats("output", output)


def _same_shape(output: Array, target: Array) -> None:
    if output.shape != target.shape:
        raise ValueError(f"target must have the output's shape {output.shape}, got {target.shape}")


def one_hot(labels: Array, classes: int, dtype: Any = np.float32) -> Array:
    """``(N,)`` integers in ``[0, classes)`` to ``(N, classes)`` of 0 and 1. Raises ValueError for other labels."""
    labels = as_array("labels", labels)
    check_whole(0, classes=classes)
    check_labels(labels, classes)
    encoded = np.zeros((len(labels), classes), dtype)
    encoded[np.arange(len(labels)), labels] = 1
    return encoded


def check_labels(labels: Array, classes: int) -> None:
    """Raises TypeError for labels that are not integers, ValueError for one outside ``[0, classes)``."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be a vector of integers, got shape {labels.shape} of {labels.dtype}")
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        bad = int(np.flatnonzero((labels < 0) | (labels >= classes))[0])
        raise ValueError(f"label {labels[bad]} (sample {bad}) is not in [0, {classes}), the model's classes")


class CrossEntropyLoss(Loss):
    """``-sum_j p_j log softmax(output)_j``, averaged over the batch: softmax and log-likelihood in one.

    output: logits ``(N, C)``. target: labels ``(N,)``, integers in ``[0, C)``, or distributions ``(N, C)``.
    label_smoothing: ``s`` replaces the target by ``(1 - s) p + s / C``. The gradient is ``(softmax - p) / N``.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        check_numbers(label_smoothing=label_smoothing)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, output: Array, target: Any) -> float:
        _check_output(output)
        if output.ndim != 2:
            raise ValueError(f"output must be (N, C), got shape {output.shape}")
        n, classes = output.shape
        p = labels = as_array("target", target)
        if p.ndim != 1:
            _same_shape(output, p)
            p = p.astype(output.dtype, copy=False)
        elif len(p) == n:
            p = one_hot(p, classes, output.dtype)
        else:
            raise ValueError(f"target has {len(p)} labels for {n} outputs")
        log_q = log_softmax(output)
        if self.label_smoothing:
            p = (1 - self.label_smoothing) * p + self.label_smoothing / classes
        one_each = labels.ndim == 1 and not self.label_smoothing
        terms = log_q[np.arange(n), labels] if one_each else p * log_q  # infinite logits of other classes have no part
        value: float = -float(terms.sum(dtype=np.float64)) / max(n, 1)
        grad = np.exp(log_q, out=log_q)
        if labels.ndim != 1:  # distributions need not sum to exactly one
            grad *= p.sum(axis=1, keepdims=True)
        grad -= p
        grad /= max(n, 1)
        self._grad = grad
        return value


class BCEWithLogitsLoss(Loss):
    """``-(y log g + (1 - y) log(1 - g))`` with ``g = sigmoid(output)``, averaged over all elements.

    target: numbers in [0, 1] of the output's shape. The gradient is ``(g - y) / count``.
    """

    def forward(self, output: Array, target: Any) -> float:
        _check_output(output)
        y = as_array("target", target, output.dtype)
        _same_shape(output, y)
        if y.size and (y.min() < 0 or y.max() > 1):
            raise ValueError(f"target must be in [0, 1], got values from {y.min()} to {y.max()}")
        count = max(output.size, 1)
        size = np.abs(output)  # of what is on the wrong side, and a rest that does not overflow
        value = float((size * np.where(output > 0, 1 - y, y) + np.log1p(np.exp(-size))).sum()) / count
        self._grad = (sigmoid(output) - y) / count
        return value


class KLDivLoss(Loss):
    """``D(p || q) = sum_j p_j (log p_j - log q_j)``, averaged over the batch (PyTorch's ``reduction="batchmean"``).

    output: ``log q``, ``(N, C)``, as :class:`LogSoftmax` gives it; target: ``p``, of the same shape.
    """

    def forward(self, output: Array, target: Any) -> float:
        _check_output(output)
        p = as_array("target", target, output.dtype)
        _same_shape(output, p)
        if p.size and p.min() < 0:
            raise ValueError(f"target must hold probabilities, got {p.min()}")
        n = max(len(output), 1)
        log_p = np.log(np.where(p > 0, p, 1))  # 0 log 0 = 0
        self._grad = -p / n
        return float((p * (log_p - output)).sum()) / n


class MSELoss(Loss):
    """``(output - target)^2`` averaged over all elements; with ``half=True`` half of it, the ``1/2m`` form of lectures
    whose gradient is ``(output - target) / count`` without a factor 2. Output and target have one shape, any."""

    def __init__(self, half: bool = False) -> None:
        self.factor = 0.5 if half else 1.0

    def forward(self, output: Array, target: Any) -> float:
        _check_output(output)
        y = as_array("target", target, output.dtype)
        _same_shape(output, y)
        count = max(output.size, 1)
        difference = output - y
        value = self.factor * float(np.vdot(difference, difference)) / count
        difference *= 2 * self.factor / count
        self._grad = difference
        return value


class Penalty:
    """``strength * r(weights)``, added to the loss; biases and normalisation vectors are left alone.

    Raises ValueError for a negative strength.
    """

    def __init__(self, strength: float) -> None:
        check_numbers(strength=strength)
        if not strength >= 0:
            raise ValueError(f"strength must not be negative, got {strength}")
        self.strength = strength

    def __call__(self, parameters: Iterable[Parameter]) -> float:
        """The penalty's value; its gradient is added to every ``parameter.grad``."""
        total = 0.0
        for parameter in checked(parameters):
            if parameter.data.ndim > 1:
                total += self._add(parameter.data, parameter.grad)
        return self.strength * total

    def _add(self, data: Array, grad: Array) -> float:
        raise NotImplementedError


class L1(Penalty):
    """``strength * sum |w|``. For weights that become exactly 0 use the optimiser's ``l1``."""

    def _add(self, data: Array, grad: Array) -> float:
        grad += self.strength * np.sign(data)
        return float(np.abs(data).sum())


class L2(Penalty):
    """``strength * sum w^2``, the square of the norm: ridge regression's penalty. SGD's ``weight_decay`` is twice
    the strength."""

    def _add(self, data: Array, grad: Array) -> float:
        grad += (2 * self.strength) * data
        return float(np.vdot(data, data))


def entropy(p: Any) -> float:
    """``-sum p_j log p_j`` of one distribution, in nats. p: probabilities, of any shape."""
    p = np.asarray(p, float)
    return -float((p * np.log(np.where(p > 0, p, 1))).sum())


def cross_entropy(p: Any, q: Any) -> float:
    """``-sum p_j log q_j`` of two distributions, in nats: at least ``entropy(p)``. Infinite where q is 0 and p is not.

    Raises ValueError if the shapes differ.
    """
    p, q = np.asarray(p, float), np.asarray(q, float)
    _same_shape(q, p)
    with np.errstate(divide="ignore"):
        return -float((p[p > 0] * np.log(q[p > 0])).sum())


def kl_divergence(p: Any, q: Any) -> float:
    """``cross_entropy(p, q) - entropy(p)``, at least 0. Raises ValueError if the shapes differ."""
    return cross_entropy(p, q) - entropy(p)
