"""Convolution written down from its formula, in numpy, for any number of dimensions; nothing here imports fastconv.

Along one axis, output position p and kernel tap t look at the padded coordinate ``p * stride + t * dilation - before``.
A 0/1 array ``links[p, t, i]`` says which input coordinate i that is, by the padding mode. Convolution is linear in the
input and in the weight, with these constants between them, so that the formula and both its gradients are three
contractions of the same arrays. Everything is float64, exact for small integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MODES = ("zeros", "reflect", "replicate", "circular", "symmetric")


def source(mode: str, q: Array, n: int) -> tuple[Array, Array]:
    """Input coordinate behind each padded coordinate q of an axis of length n, and whether there is one."""
    inside = (q >= 0) & (q < n)
    if mode == "zeros" or n == 0:
        return np.where(inside, q, 0), inside
    everywhere = np.ones_like(inside)
    if mode == "replicate":
        return np.clip(q, 0, n - 1), everywhere
    if mode == "circular":
        return q % n, everywhere
    if mode == "reflect":  # a triangle wave that touches 0 and n - 1 once a period
        return np.minimum(q % max(2 * n - 2, 1), -q % max(2 * n - 2, 1)), everywhere
    if mode == "symmetric":  # a triangle wave that stays twice on 0 and on n - 1
        return np.minimum(q % (2 * n), (-1 - q) % (2 * n)), everywhere
    raise ValueError(mode)


@dataclass(frozen=True)
class Axis:
    n: int
    k: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    mode: str = "zeros"
    positions: int | None = None  # a transposed convolution may leave out the last ones

    @property
    def extent(self) -> int:
        return self.dilation * (self.k - 1) + 1

    @property
    def out(self) -> int:
        """Output positions; 0 or less where the kernel does not fit."""
        if self.positions is not None:
            return self.positions
        return (self.n + self.before + self.after - self.extent) // self.stride + 1

    @property
    def valid(self) -> bool:
        return self.out >= 1 and (self.n > 0 or self.mode == "zeros" or self.before + self.after == 0)

    def links(self) -> Array:
        p, t = np.arange(self.out)[:, None], np.arange(self.k)[None, :]
        index, there = source(self.mode, p * self.stride + t * self.dilation - self.before, self.n)
        return np.asarray((index[..., None] == np.arange(self.n)) * there[..., None], np.float64)


def per_axis(value: Any, nd: int) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value] * nd


def named_padding(name: str, n: int, k: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = dilation * (k - 1)
    if name in ("same", "same_lower"):
        total = max((-(-n // stride) - 1) * stride + reach + 1 - n, 0)
        less, more = total // 2, total - total // 2
        return (less, more) if name == "same" else (more, less)
    return {"valid": (0, 0), "full": (reach, reach), "causal": (reach, 0)}[name]


def make_axes(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    padding_mode: Any = "zeros",
) -> list[Axis]:
    """The axes of a convolution from the arguments of the public functions."""
    nd = len(sizes)
    axes = []
    for n, k, s, d, p, mode in zip(
        sizes,
        kernel,
        per_axis(stride, nd),
        per_axis(dilation, nd),
        per_axis(padding, nd),
        per_axis(padding_mode, nd),
        strict=True,
    ):
        before, after = named_padding(p, n, k, s, d) if isinstance(p, str) else per_axis(p, 2)
        axes.append(Axis(n, k, s, d, before, after, mode))
    return axes


def out_sizes(axes: Sequence[Axis]) -> tuple[int, ...]:
    return tuple(a.out for a in axes)


def patches(x: Array, axes: Sequence[Axis]) -> Array:
    """(N, C, *sizes) -> (N, C, positions, taps): what the kernel sees at each output position."""
    nd = len(axes)
    for axis in axes:  # contracts the first axis left, and puts its (position, tap) at the end
        x = np.tensordot(x, axis.links(), axes=([2], [2]))
    order = [0, 1, *range(2, 2 + 2 * nd, 2), *range(3, 3 + 2 * nd, 2)]
    return x.transpose(order).reshape(*x.shape[:2], prod(out_sizes(axes)), prod(a.k for a in axes))


def scatter(p: Array, axes: Sequence[Axis]) -> Array:
    """The adjoint of `patches`."""
    nd = len(axes)
    x = p.reshape(*p.shape[:2], *out_sizes(axes), *(a.k for a in axes))
    for i, axis in enumerate(axes):  # contracts the first (position, tap) left, and puts its coordinate at the end
        x = np.tensordot(x, axis.links(), axes=([2, 2 + nd - i], [0, 1]))
    return x


def split(a: Array, axis: int, groups: int) -> Array:
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])


def flatten_taps(w: Array, groups: int) -> Array:
    """(O, C/g, *kernel) -> (g, O/g, C/g, taps)."""
    return split(w.reshape(*w.shape[:2], prod(w.shape[2:])), 0, groups)


def flatten_pixels(g: Array, groups: int) -> Array:
    """(N, O, *sizes) -> (N, g, O/g, positions)."""
    return split(g.reshape(*g.shape[:2], prod(g.shape[2:])), 1, groups)


def conv(x: Array, w: Array, axes: Sequence[Axis], groups: int = 1, bias: Array | None = None) -> Array:
    x, w = x.astype(np.float64), w.astype(np.float64)
    seen = split(patches(x, axes), 1, groups)
    y: Array = np.einsum("ngcpt,goct->ngop", seen, flatten_taps(w, groups), optimize=True)
    y = y.reshape(x.shape[0], w.shape[0], *out_sizes(axes))
    return y if bias is None else y + bias.astype(np.float64).reshape(-1, *(1 for _ in axes))


def grad_input(g: Array, w: Array, axes: Sequence[Axis], groups: int = 1) -> Array:
    g, w = g.astype(np.float64), w.astype(np.float64)
    seen = np.einsum("ngop,goct->ngcpt", flatten_pixels(g, groups), flatten_taps(w, groups), optimize=True)
    return scatter(seen.reshape(g.shape[0], groups * w.shape[1], *seen.shape[3:]), axes)


def grad_weight(g: Array, x: Array, axes: Sequence[Axis], groups: int = 1) -> Array:
    g, x = g.astype(np.float64), x.astype(np.float64)
    seen = split(patches(x, axes), 1, groups)
    dw: Array = np.einsum("ngcpt,ngop->goct", seen, flatten_pixels(g, groups), optimize=True)
    return dw.reshape(g.shape[1], x.shape[1] // groups, *(a.k for a in axes))


def grad_bias(g: Array) -> Array:
    return np.asarray(g.astype(np.float64).sum(axis=(0, *range(2, g.ndim))))


def flipped(w: Array) -> Array:
    """The kernel reversed along every spatial axis."""
    return w[(slice(None), slice(None), *(slice(None, None, -1) for _ in w.shape[2:]))]


def transposed_axes(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    padding_mode: Any = "zeros",
) -> list[Axis]:
    """The axes of the convolution whose adjoint the transposed convolution of these arguments is."""
    nd = len(sizes)
    axes = []
    for m, k, s, d, p, extra, mode in zip(
        sizes,
        kernel,
        per_axis(stride, nd),
        per_axis(dilation, nd),
        per_axis(padding, nd),
        per_axis(output_padding, nd),
        per_axis(padding_mode, nd),
        strict=True,
    ):
        before, after = named_padding(p, m * s, k, s, d) if isinstance(p, str) else per_axis(p, 2)
        same = isinstance(p, str) and p.startswith("same")
        n = m * s if same else (m - 1) * s - before - after + d * (k - 1) + extra + 1
        axes.append(Axis(n, k, s, d, before, after, mode, positions=m))
    return axes


def activate(name: str | None, y: Array) -> Array:
    """The fused activations, by their definitions."""
    with np.errstate(over="ignore"):
        if name is None:
            return y
        if name == "relu":
            return np.where(y < 0, 0.0, y)
        if name == "leaky_relu":
            return np.where(y < 0, 0.01 * y, y)
        if name == "relu6":
            return np.clip(y, 0.0, 6.0)
        if name == "elu":
            return np.where(y < 0, np.expm1(y), y)
        if name == "sigmoid":
            return 1.0 / (1.0 + np.exp(-y))
        if name == "tanh":
            return np.tanh(y)
    raise ValueError(name)
