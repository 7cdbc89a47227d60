"""Dense layers: matrix products, as the pointwise convolutions that they are."""

from __future__ import annotations

import math

import numpy as np

from fastconv import _core, functional
from fastconv.checks import check_whole
from fastconv.nn import init
from fastconv.nn.module import Array, Gradient, Module, Parameter, Reused, as_grad, require_dtype

_FEW = 16  # samples: BLAS is quicker at fewer, but its bits may depend on its threads, so never while training


def as_rows(x: Array) -> Array:
    """``(..., features)`` as a matrix, also when it is empty."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def product(a: Array, b: Array, out: Array, bias: Array | None = None, activation: str | None = None) -> Array:
    """``a @ b`` into ``out``, plus ``bias`` for each row. Quickest where rows of ``b`` are contiguous.

    A pointwise convolution: every row of ``a`` holds the weights of one output channel, every column of ``b`` is a
    pixel. The same bits with any number of threads.
    """
    if out.size:
        functional.conv1d(b[None], a[:, :, None], bias, activation=activation, out=out[None])
    return out


class _Transposed:
    """A matrix with the other order of memory, in memory that is used again."""

    def __init__(self) -> None:
        self._out = Reused()

    def __call__(self, x: Array) -> Array:
        """``x`` with contiguous rows; copied if it has not."""
        if x.flags.c_contiguous:
            return x
        if not x.flags.f_contiguous:
            return np.ascontiguousarray(x)
        out = self._out.empty(x.shape, x.dtype)
        _core.transpose(x.T, out)
        return out


class Linear(Module):
    """``y = x W^T + b`` over the last axis. x: ``(..., in_features)``; W: ``(out_features, in_features)``.

    Weight and bias start uniform of bound ``1 / sqrt(in_features)``, as PyTorch's do.
    Raises ValueError if the last axis is not ``in_features`` long, TypeError for another dtype than the weight's.
    """

    fuses_relu = True

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        check_whole(1, in_features=in_features, out_features=out_features)
        weight = np.empty((out_features, in_features), np.float32)
        self.weight = Parameter(init.default_(weight, in_features), "weight")
        self.bias = Parameter(init.default_(np.empty(out_features, np.float32), in_features), "bias") if bias else None
        self._out, self._grad_input = Reused(), Reused()
        self._rows, self._columns, self._grads = _Transposed(), _Transposed(), _Transposed()

    def forward(self, x: Array, activation: str | None = None) -> Array:
        weight = self.weight.data
        if x.shape[-1:] != weight.shape[1:]:
            raise ValueError(f"input must have {weight.shape[1]} features on its last axis, got shape {x.shape}")
        require_dtype(x, weight)
        self._save(x)
        rows = as_rows(x)
        bias = None if self.bias is None else self.bias.data
        out = self._out.empty((weight.shape[0], len(rows)), x.dtype)  # a sample a column: of the next layer, the pixels
        if len(rows) < _FEW and not self.training:
            self._few(rows, bias, activation, out)
        else:
            product(weight, rows.T, out, bias, activation)
        return out.T.reshape(*x.shape[:-1], weight.shape[0])

    def _few(self, rows: Array, bias: Array | None, activation: str | None, out: Array) -> None:
        np.matmul(self.weight.data, rows.T, out=out)
        if bias is not None:
            out += bias[:, None]
        if activation == "relu":
            np.maximum(out, 0, out=out)

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        x = self._take_saved()
        grad = as_grad(grad, (*x.shape[:-1], len(self.weight.data)), x)
        grads, rows = as_rows(grad), as_rows(x)
        product(grads.T, self._rows(rows), self.weight.grad)
        if self.bias is not None:
            np.add.reduce(grads, axis=0, out=self.bias.grad)
        if not need_input_grad:
            return None
        if rows.flags.c_contiguous:
            grad_input = product(self._grads(grads), self.weight.data, self._grad_input.empty(rows.shape, x.dtype))
        else:  # in memory as the input lies
            columns = self._columns(grads.T)
            grad_input = product(self.weight.data.T, columns, self._grad_input.empty(rows.shape[::-1], x.dtype)).T
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
        check_whole(1, out_features=out_features, pieces=pieces)
        self.out_features, self.pieces = out_features, pieces
        self.linear = Linear(in_features, out_features * pieces, bias)

    def forward(self, x: Array) -> Array:
        pieces = self.linear.forward(x).reshape(*x.shape[:-1], self.out_features, self.pieces)
        winner = pieces.argmax(axis=-1)[..., None]
        self._save((winner, pieces.shape))
        return np.take_along_axis(pieces, winner, axis=-1)[..., 0]

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        winner, shape = self._take_saved()
        grad = as_grad(grad, shape[:-1])
        pieces = np.zeros(shape, grad.dtype)
        np.put_along_axis(pieces, winner, grad[..., None], axis=-1)
        return self.linear.backward(pieces.reshape(*shape[:-2], self.out_features * self.pieces), need_input_grad)
