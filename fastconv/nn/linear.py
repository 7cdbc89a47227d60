"""Dense layers: matrix products, by numpy's BLAS."""

from __future__ import annotations

import math

import numpy as np

from fastconv.nn import init
from fastconv.nn.module import Array, Gradient, Module, Parameter, Reused


def as_rows(x: Array) -> Array:
    """``(..., features)`` as a matrix, also when it is empty."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


class Linear(Module):
    """``y = x W^T + b`` over the last axis. x: ``(..., in_features)``; W: ``(out_features, in_features)``.

    Weight and bias start uniform of bound ``1 / sqrt(in_features)``, as PyTorch's do. The products are numpy's BLAS,
    whose threads are its own (``OPENBLAS_NUM_THREADS``, or threadpoolctl).
    Raises ValueError if the last axis is not ``in_features`` long.
    """

    fuses_relu = True

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        if in_features < 1 or out_features < 1:
            raise ValueError(f"in_features and out_features must be positive, got {in_features} and {out_features}")
        weight = np.empty((out_features, in_features), np.float32)
        self.weight = Parameter(init.default_(weight, in_features), "weight")
        self.bias = Parameter(init.default_(np.empty(out_features, np.float32), in_features), "bias") if bias else None
        self._out, self._grad_input = Reused(), Reused()

    def forward(self, x: Array, activation: str | None = None) -> Array:
        weight = self.weight.data
        if x.shape[-1:] != weight.shape[1:]:
            raise ValueError(f"input must have {weight.shape[1]} features on its last axis, got shape {x.shape}")
        self._save(x)
        rows = as_rows(x)
        # W x^T, a sample a column in memory: BLAS is a fifth quicker at it than at x W^T
        columns = np.matmul(weight, rows.T, out=self._out.empty((weight.shape[0], len(rows)), x.dtype))
        if self.bias is not None:
            columns += self.bias.data[:, None]
        if activation == "relu":
            np.maximum(columns, 0, out=columns)
        return columns.T.reshape(*x.shape[:-1], weight.shape[0])

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        x = self._take_saved()
        rows, inputs = as_rows(grad), as_rows(x)
        np.matmul(rows.T, inputs, out=self.weight.grad)
        if self.bias is not None:
            np.add.reduce(rows, axis=0, out=self.bias.grad)
        if not need_input_grad:
            return None
        if inputs.flags.c_contiguous:
            grad_input = np.matmul(rows, self.weight.data, out=self._grad_input.empty(inputs.shape, x.dtype))
        else:  # in memory as the input lies, for what is multiplied by it next
            columns = self._grad_input.empty(inputs.shape[::-1], x.dtype)
            grad_input = np.matmul(self.weight.data.T, rows.T, out=columns).T
        return grad_input.reshape(x.shape)

    def describe(self) -> str:
        out_features, in_features = self.weight.data.shape
        return f"{in_features}, {out_features}"


class Maxout(Module):
    """The largest of several linear maps: ``max over k of (x W_k^T + b_k)`` (Goodfellow et al., 2013).

    x: ``(N, in_features)``; result: ``(N, out_features)``. With two pieces it can become a ReLU, an absolute value, or
    any convex function of two slopes.
    """

    def __init__(self, in_features: int, out_features: int, pieces: int = 2, bias: bool = True) -> None:
        if pieces < 1:
            raise ValueError(f"pieces must be at least 1, got {pieces}")
        self.out_features, self.pieces = out_features, pieces
        self.linear = Linear(in_features, out_features * pieces, bias)

    def forward(self, x: Array) -> Array:
        pieces = self.linear.forward(x).reshape(*x.shape[:-1], self.out_features, self.pieces)
        winner = pieces.argmax(axis=-1)[..., None]
        self._save((winner, pieces.shape))
        return np.take_along_axis(pieces, winner, axis=-1)[..., 0]

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        winner, shape = self._take_saved()
        pieces = np.zeros(shape, grad.dtype)
        np.put_along_axis(pieces, winner, grad[..., None], axis=-1)
        return self.linear.backward(pieces.reshape(*shape[:-2], self.out_features * self.pieces), need_input_grad)
