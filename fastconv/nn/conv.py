"""Convolution layers: the weights, and the calls of ``fastconv.functional`` forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastconv import functional
from fastconv.checks import check_whole, is_whole, plain
from fastconv.nn import init
from fastconv.nn.module import Array, Gradient, Module, Parameter, Reused, as_grad, require_dtype

Axes = int | Sequence[int]
Padding = int | str | Sequence[int | Sequence[int]]


def per_axis(value: Axes, nd: int, name: str) -> tuple[int, ...]:
    """``value`` as one positive int per axis."""
    given = plain(value)
    sizes = tuple(given) if isinstance(given, Sequence) else (given,) * nd
    if len(sizes) != nd or not all(is_whole(size) and size >= 1 for size in sizes):
        raise ValueError(f"{name} must be a positive int or {nd} of them, got {value!r}")
    return tuple(map(int, sizes))


def _check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    check_whole(1, in_channels=in_channels, out_channels=out_channels, groups=groups)
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"groups {groups} must divide in_channels {in_channels} and out_channels {out_channels}")


class _ConvBase(Module):
    nd: ClassVar[int]
    fuses_relu = True

    def __init__(self, channels: tuple[int, int], weight_shape: tuple[int, ...], bias: bool, options: dict[str, Any]):
        self.in_channels, self.out_channels = channels
        self.kernel_size = weight_shape[2:]
        self.options = {name: plain(value) for name, value in options.items()}
        fan_in, _ = init.fans(weight_shape)
        self.weight = Parameter(init.default_(np.empty(weight_shape, np.float32), fan_in), "weight")
        self.bias = Parameter(init.default_(np.empty(channels[1], np.float32), fan_in), "bias") if bias else None
        self._out, self._grad_input = Reused(), Reused()

    def describe(self) -> str:
        shown = {name: value for name, value in self.options.items() if value != _DEFAULTS.get(name)}
        extra = "".join(f", {name}={value!r}" for name, value in shown.items())
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{extra}"


_DEFAULTS = {
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "dilation": 1,
    "groups": 1,
    "padding_mode": "zeros",
}


class _Conv(_ConvBase):
    """{nd}-d convolution (cross-correlation) of ``(N, in_channels, ...)``: see :func:`fastconv.conv{nd}d` for options.

    weight: ``(out_channels, in_channels / groups, *kernel_size)``; bias: ``(out_channels,)``. Both start uniform of
    bound ``1 / sqrt(fan_in)``, as PyTorch's do. padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"``,
    ``"circular"``, ``"symmetric"``, or one per axis. Raises ValueError for channels that ``groups`` does not divide.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Axes,
        stride: Axes = 1,
        padding: Padding = 0,
        dilation: Axes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str | Sequence[str] = "zeros",
    ) -> None:
        _check_channels(in_channels, out_channels, groups)
        kernel = per_axis(kernel_size, self.nd, "kernel_size")
        options = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "padding_mode": padding_mode,
        }
        super().__init__((in_channels, out_channels), (out_channels, in_channels // groups, *kernel), bias, options)
        self._conv = getattr(functional, f"conv{self.nd}d")
        self._conv_grad_input = getattr(functional, f"conv{self.nd}d_grad_input")
        self._conv_grad_weight = getattr(functional, f"conv{self.nd}d_grad_weight")
        self._conv_grad_bias = getattr(functional, f"conv{self.nd}d_grad_bias")

    def forward(self, x: Array, activation: str | None = None) -> Array:
        self._save(x)
        return self.apply(x, self.weight.data, None if self.bias is None else self.bias.data, activation)

    def apply(self, x: Array, weight: Array, bias: Array | None, activation: str | None = None) -> Array:
        """This layer's convolution with other weights: what folding a normalisation into them needs."""
        key = (x.shape, x.dtype)
        out = self._conv(x, weight, bias, **self.options, activation=activation, out=self._out.offer(key))
        return self._out.keep(key, out)

    def backward(self, grad: Gradient, need_input_grad: bool = True, need_bias_grad: bool = True) -> Gradient:
        """need_bias_grad: False where the bias has its gradient already, from the layer behind."""
        x = self._take_saved()
        self._conv_grad_weight(grad, x, self.kernel_size, **self.options, out=self.weight.grad)
        if self.bias is not None and need_bias_grad:
            self._conv_grad_bias(grad, out=self.bias.grad)
        if not need_input_grad:
            return None
        key = (x.shape, x.dtype)
        out = self._grad_input.offer(key)
        return self._grad_input.keep(
            key, self._conv_grad_input(grad, self.weight.data, x.shape, **self.options, out=out)
        )


class _ConvTranspose(_ConvBase):
    """{nd}-d transposed convolution of ``(N, in_channels, ...)``: see :func:`fastconv.conv_transpose{nd}d`.

    weight: ``(in_channels, out_channels / groups, *kernel_size)``; bias: ``(out_channels,)``.
    Raises ValueError for channels that ``groups`` does not divide.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Axes,
        stride: Axes = 1,
        padding: Padding = 0,
        output_padding: Axes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Axes = 1,
        padding_mode: str | Sequence[str] = "zeros",
    ) -> None:
        _check_channels(in_channels, out_channels, groups)
        kernel = per_axis(kernel_size, self.nd, "kernel_size")
        options = {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "groups": groups,
            "dilation": dilation,
            "padding_mode": padding_mode,
        }
        super().__init__((in_channels, out_channels), (in_channels, out_channels // groups, *kernel), bias, options)
        self._conv = getattr(functional, f"conv_transpose{self.nd}d")
        self._conv_backward = getattr(functional, f"conv_transpose{self.nd}d_backward")

    def forward(self, x: Array, activation: str | None = None) -> Array:
        self._save(x)
        key = (x.shape, x.dtype)
        bias = None if self.bias is None else self.bias.data
        out = self._conv(x, self.weight.data, bias, **self.options, activation=activation, out=self._out.offer(key))
        return self._out.keep(key, out)

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        x = self._take_saved()
        needs = ["input"] * need_input_grad + ["weight"] + ["bias"] * (self.bias is not None)
        grads = self._conv_backward(grad, x, self.weight.data, **self.options, needs=needs)
        self.weight.grad[...] = grads.weight
        if self.bias is not None:
            self.bias.grad[...] = grads.bias
        return grads.input


def _layer(base: type[_ConvBase], name: str, nd: int) -> Any:
    doc = (base.__doc__ or "").replace("{nd}", str(nd))
    return type(name, (base,), {"nd": nd, "__doc__": doc, "__module__": __name__})


Conv1d, Conv2d, Conv3d = (_layer(_Conv, f"Conv{nd}d", nd) for nd in (1, 2, 3))
ConvTranspose1d, ConvTranspose2d, ConvTranspose3d = (
    _layer(_ConvTranspose, f"ConvTranspose{nd}d", nd) for nd in (1, 2, 3)
)


class LocallyConnected2d(Module):
    """A convolution without weight sharing: every output position has a kernel of its own.

    The step between the dense layer and the convolution: sparse connections, but no shared weights, so it is not
    equivariant to translation and its size grows with the image.

    x: ``(N, in_channels, *input_size)``; weight: ``(positions, in_channels * kH * kW, out_channels)``; bias:
    ``(out_channels, oH, oW)``. No padding. Raises ValueError if the kernel is larger than the image.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Axes,
        kernel_size: Axes,
        stride: Axes = 1,
        bias: bool = True,
    ) -> None:
        check_whole(1, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.input_size = per_axis(input_size, 2, "input_size")
        self.kernel_size = per_axis(kernel_size, 2, "kernel_size")
        self.stride = per_axis(stride, 2, "stride")
        self.out_size = tuple(
            (n - k) // s + 1 for n, k, s in zip(self.input_size, self.kernel_size, self.stride, strict=True)
        )
        if min(self.out_size) < 1:
            raise ValueError(f"kernel_size {self.kernel_size} is larger than input_size {self.input_size}")
        positions = self.out_size[0] * self.out_size[1]
        fan_in = in_channels * self.kernel_size[0] * self.kernel_size[1]
        self.weight = Parameter(
            init.default_(np.empty((positions, fan_in, out_channels), np.float32), fan_in), "weight"
        )
        bias_shape = (out_channels, *self.out_size)
        self.bias = Parameter(init.default_(np.empty(bias_shape, np.float32), fan_in), "bias") if bias else None

    def _windows(self, x: Array, writeable: bool = False) -> Array:
        """View ``(oH, oW, N, C, kH, kW)`` of all patches."""
        windows = np.lib.stride_tricks.sliding_window_view(x, self.kernel_size, (2, 3), writeable=writeable)
        return windows[:, :, :: self.stride[0], :: self.stride[1]].transpose(2, 3, 0, 1, 4, 5)

    def forward(self, x: Array) -> Array:
        if x.ndim != 4 or x.shape[1:] != (self.in_channels, *self.input_size):
            raise ValueError(f"input must be (N, {self.in_channels}, {self.input_size}), got shape {x.shape}")
        require_dtype(x, self.weight.data)
        n = len(x)
        positions, taps, _ = self.weight.data.shape
        patches = self._windows(x).reshape(positions, n, taps)
        self._save((x, patches))
        y = (patches @ self.weight.data).transpose(1, 2, 0).reshape(n, self.out_channels, *self.out_size)
        return y if self.bias is None else y + self.bias.data

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        x, patches = self._take_saved()
        n = len(x)
        grad = as_grad(grad, (n, self.out_channels, *self.out_size), x)
        if self.bias is not None:
            grad.sum(axis=0, out=self.bias.grad)
        by_position = grad.reshape(n, self.out_channels, len(self.weight.data)).transpose(2, 0, 1)
        np.matmul(patches.transpose(0, 2, 1), by_position, out=self.weight.grad)
        if not need_input_grad:
            return None
        grad_patches = by_position @ self.weight.data.transpose(0, 2, 1)
        grad_patches = grad_patches.reshape(*self.out_size, n, self.in_channels, *self.kernel_size)
        grad_input = np.zeros_like(x)
        into = self._windows(grad_input, writeable=True)
        for tap in np.ndindex(self.kernel_size):  # one tap's windows never overlap, so the view can be added to
            into[..., tap[0], tap[1]] += grad_patches[..., tap[0], tap[1]]
        return grad_input

    def describe(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}, kernel_size={self.kernel_size}"
