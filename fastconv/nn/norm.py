"""Batch normalisation (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from fastconv import _core
from fastconv.checks import check_numbers, check_whole
from fastconv.nn.module import Array, Gradient, Module, Parameter, Reused, as_grad, require_dtype


class _BatchNorm(Module):
    """``(x - mean) / sqrt(var + eps) * weight + bias``, mean and variance of each channel over batch and positions.

    Training uses the batch's own statistics (biased variance) and moves the running ones by ``momentum`` towards them
    (unbiased variance); inference uses the running ones. x: ``(N, C)`` or ``(N, C, L)`` for BatchNorm1d,
    ``(N, C, H, W)`` for 2d, ``(N, C, D, H, W)`` for 3d; weight and bias: ``(C,)``.
    Raises ValueError for another shape, or fewer than two values a channel while training.
    """

    fuses_relu = True
    buffers = ("running_mean", "running_var")
    dims: ClassVar[tuple[int, ...]]

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        check_whole(1, num_features=num_features)
        check_numbers(eps=eps, momentum=momentum)
        if not eps >= 0:
            raise ValueError(f"eps must not be negative, got {eps}")
        self.num_features, self.eps, self.momentum = num_features, float(eps), float(momentum)
        self.weight = Parameter(np.ones(num_features, np.float32), "weight") if affine else None
        self.bias = Parameter(np.zeros(num_features, np.float32), "bias") if affine else None
        self.running_mean = np.zeros(num_features, np.float32)
        self.running_var = np.ones(num_features, np.float32)
        self._out = Reused()

    def forward(self, x: Array, activation: str | None = None) -> Array:
        if x.ndim not in self.dims or x.shape[1] != self.num_features:
            raise ValueError(
                f"input must have {' or '.join(map(str, self.dims))} axes, {self.num_features} channels on the second;"
                f" got shape {x.shape}"
            )
        if self.training and x.size < 2 * self.num_features:
            raise ValueError(f"training needs at least two values a channel, got input of shape {x.shape}")
        require_dtype(x, self.running_mean)
        rows = self._rows(x)
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = np.empty_like(mean), np.empty_like(var)
            self._save((rows, mean, var, x.shape))
        y = self._out.empty(rows.shape, rows.dtype)
        _core.batch_norm(rows, y, *self._affine(), mean, var, self.eps, self.training, activation == "relu")
        if self.training:
            count = x.size // self.num_features
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * (count / (count - 1)) - self.running_var)
        return self._like_input(y, x.shape)

    def _affine(self) -> tuple[Array | None, Array | None]:
        return (self.weight.data, self.bias.data) if self.weight and self.bias else (None, None)

    def _rows(self, x: Array) -> Array:
        """``(N, C, L)`` in memory; a dense layer's ``(N, C)`` as one sample of N positions."""
        rows = x.T[None] if x.ndim == 2 else x.reshape(len(x), self.num_features, math.prod(x.shape[2:]))
        return np.ascontiguousarray(rows)

    def _like_input(self, rows: Array, shape: tuple[int, ...]) -> Array:
        return rows[0].T if len(shape) == 2 else rows.reshape(shape)

    def scale_and_shift(self, mean: Array, var: Array) -> tuple[Array, Array]:
        """The layer as ``x * scale + shift`` for given statistics."""
        scale = 1 / np.sqrt(var + self.eps)
        if self.weight is None or self.bias is None:
            return scale, -mean * scale
        scale = scale * self.weight.data
        return scale, self.bias.data - mean * scale

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        x, mean, var, shape = self._take_saved()
        rows = self._rows(as_grad(grad, shape, x))
        weight, _ = self._affine()
        grad_weight, grad_bias = np.empty_like(mean), np.empty_like(mean)
        _core.batch_norm_grad(rows, x, weight, mean, var, self.eps, grad_weight, grad_bias)
        if self.weight is not None and self.bias is not None:
            self.weight.grad[...] = grad_weight
            self.bias.grad[...] = grad_bias
        return self._like_input(rows, shape) if need_input_grad else None

    def describe(self) -> str:
        return f"{self.num_features}"


class BatchNorm1d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    dims = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    dims = (5,)
