"""Batch normalisation (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from fastconv.nn.module import Array, Gradient, Module, Parameter, Reused


def _sum(rows: Array) -> Array:
    """Sum of each channel of ``(N, C, L)``; the long axis first, where numpy adds in pairs."""
    total: Array = rows.sum(axis=2).sum(axis=0)
    return total


def _sum_of_products(a: Array, b: Array) -> Array:
    """Sum of ``a b`` of each channel, without an array of the products."""
    total: Array = np.einsum("ncl,ncl->nc", a, b).sum(axis=0)
    return total


class _BatchNorm(Module):
    """``(x - mean) / sqrt(var + eps) * weight + bias``, mean and variance of each channel over batch and positions.

    Training uses the batch's own statistics (biased variance) and moves the running ones by ``momentum`` towards them
    (unbiased variance); inference uses the running ones. x: ``(N, C)`` or ``(N, C, L)`` for BatchNorm1d,
    ``(N, C, H, W)`` for 2d, ``(N, C, D, H, W)`` for 3d; weight and bias: ``(C,)``.
    Raises ValueError for another shape, or fewer than two values a channel while training.
    """

    buffers = ("running_mean", "running_var")
    dims: ClassVar[tuple[int, ...]]

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, np.float32), "weight") if affine else None
        self.bias = Parameter(np.zeros(num_features, np.float32), "bias") if affine else None
        self.running_mean = np.zeros(num_features, np.float32)
        self.running_var = np.ones(num_features, np.float32)
        self._centred, self._out = Reused(), Reused()

    def forward(self, x: Array) -> Array:
        if x.ndim not in self.dims or x.shape[1] != self.num_features:
            raise ValueError(
                f"input must have {' or '.join(map(str, self.dims))} axes, {self.num_features} channels on the second;"
                f" got shape {x.shape}"
            )
        rows = x.reshape(len(x), self.num_features, math.prod(x.shape[2:]))
        if not self.training:
            scale, shift = self.scale_and_shift(self.running_mean, self.running_var)
            return (rows * scale[:, None] + shift[:, None]).reshape(x.shape)
        count = rows.shape[0] * rows.shape[2]
        if count < 2:
            raise ValueError(f"training needs at least two values a channel, got input of shape {x.shape}")
        mean = _sum(rows) / count
        centred = np.subtract(rows, mean[:, None], out=self._centred.empty(rows.shape, rows.dtype))
        var = _sum_of_products(centred, centred) / count
        self.running_mean += self.momentum * (mean - self.running_mean)
        self.running_var += self.momentum * (var * (count / (count - 1)) - self.running_var)
        gain, shift = self.scale_and_shift(np.zeros_like(mean), var)
        self._save((centred, var))
        y = np.multiply(centred, gain[:, None], out=self._out.empty(rows.shape, rows.dtype))
        y += shift[:, None]
        return y.reshape(x.shape)

    def scale_and_shift(self, mean: Array, var: Array) -> tuple[Array, Array]:
        """The layer as ``x * scale + shift`` for given statistics."""
        scale = 1 / np.sqrt(var + self.eps)
        if self.weight is None or self.bias is None:
            return scale, -mean * scale
        scale = scale * self.weight.data
        return scale, self.bias.data - mean * scale

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        centred, var = self._take_saved()
        rows = grad.reshape(centred.shape)
        count = rows.shape[0] * rows.shape[2]
        gain = 1 / np.sqrt(var + self.eps)
        grad_bias = _sum(rows)
        grad_weight = _sum_of_products(rows, centred) * gain
        tilt = gain * grad_weight
        if self.weight is not None and self.bias is not None:
            self.weight.grad[...] = grad_weight
            self.bias.grad[...] = grad_bias
            gain = gain * self.weight.data
        if not need_input_grad:
            return None
        centred *= (tilt / count)[:, None]
        centred += (grad_bias / count)[:, None]
        rows -= centred
        rows *= gain[:, None]
        return rows.reshape(grad.shape)

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
