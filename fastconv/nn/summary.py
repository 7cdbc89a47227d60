"""What a network is made of: shapes, parameters, operations, memory, receptive field; one line a layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import analysis
from fastconv.checks import check_kind, whole_numbers
from fastconv.nn.conv import LocallyConnected2d, _Conv, _ConvTranspose
from fastconv.nn.hooks import layer_by_layer, observed
from fastconv.nn.linear import Linear
from fastconv.nn.module import Array, Module


@dataclass(frozen=True)
class LayerSummary:
    """One layer for one sample. macs: multiply-accumulates of forward, taps on padding counted. bytes: output and
    parameters. field: pixels of the input that one output sees, per axis, or None after a dense layer."""

    name: str
    layer: Module
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    bytes: int
    field: tuple[int, ...] | None


@dataclass(frozen=True)
class Summary:
    """The layers of a model, and their sums. ``print(summary)`` shows a table."""

    input_shape: tuple[int, ...]
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one forward pass."""
        return sum(layer.macs for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Bytes of all outputs of one forward pass."""
        return sum(layer.bytes for layer in self.layers)

    def __str__(self) -> str:
        head = ("layer", "output", "parameters", "MACs", "bytes", "sees")
        rows = [head, ("input", _times(self.input_shape), "", "", "", "")]
        for layer in self.layers:
            name = f"{layer.name} {type(layer.layer).__name__}".strip()
            counts = (f"{layer.parameters:,}", f"{layer.macs:,}", f"{layer.bytes:,}")
            rows.append((name, _times(layer.output_shape), *counts, _times(layer.field) if layer.field else "all"))
        rows.append(("total", "", f"{self.parameters:,}", f"{self.macs:,}", f"{self.bytes:,}", ""))
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [
            "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
            for row in rows
        ]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _macs(layer: Module, x: Array, y: Array) -> int:
    """Multiply-accumulates of one forward. Elementwise layers and pools count none."""
    if isinstance(layer, _Conv):
        options = {name: value for name, value in layer.options.items() if name != "padding_mode"}
        return analysis.conv_cost(x.shape, layer.weight.data.shape, **options).macs
    if isinstance(layer, _ConvTranspose):  # each input element meets all taps of its group
        return x.size * math.prod(layer.weight.data.shape[1:])
    if isinstance(layer, LocallyConnected2d):
        return layer.weight.data.size
    if isinstance(layer, Linear):
        return analysis.dense_cost(x.shape[-1], y.shape[-1], y.size // y.shape[-1]).macs
    return 0


def summary(model: Module, input_shape: Sequence[int]) -> Summary:
    """Run one sample of zeros, shaped ``(C, ...)``, through ``model`` and describe every layer.

    The receptive field is exact for layers in a row, but behind a transposed convolution with a stride it is an upper
    bound; in a branch it is that of the branch.
    """
    check_kind("model", model, Module)
    input_shape = whole_numbers("input_shape", input_shape)
    dtype = next((p.data.dtype for p in model.parameters()), np.dtype(np.float32))
    fields = _Fields(len(input_shape) - 1)
    found: list[LayerSummary] = []

    def around(
        name: str, layer: Module, method: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        x = args[0]
        y = call(*args, **kwargs)
        parameters = sum(p.data.size for p in layer.parameters())
        size = (y.size + parameters) * y.dtype.itemsize
        found.append(
            LayerSummary(name, layer, y.shape[1:], parameters, _macs(layer, x, y), size, fields.after(layer, x, y))
        )
        return y

    training = model.training
    model.eval()
    try:
        with layer_by_layer(model), observed(model, around, ("forward",)):
            model.forward(np.zeros((1, *input_shape), dtype))
    finally:
        model.train(training)
    return Summary(tuple(input_shape), tuple(found))


class _Fields:
    """The windows of a row of layers so far, along each axis."""

    def __init__(self, nd: int) -> None:
        self.windows: list[list[analysis.Window]] | None = [[] for _ in range(nd)] if nd else None

    def after(self, layer: Module, x: Array, y: Array) -> tuple[int, ...] | None:
        """Receptive field of the layer's output, or None once positions are mixed."""
        if self.windows is None or y.ndim - 2 != len(self.windows):
            self.windows = None
            return None
        for axis, kernel, stride, dilation in zip(self.windows, *_window(layer, x, y), strict=True):
            axis.append(analysis.Window(kernel, stride, dilation))
        return tuple(analysis.receptive_field(axis).size for axis in self.windows)


def _window(layer: Module, x: Array, y: Array) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, stride and dilation of a layer, one per axis; ones where it looks at single positions."""
    nd = x.ndim - 2
    options: dict[str, Any] = getattr(layer, "options", {})
    arguments: tuple[Any, ...] = getattr(layer, "arguments", ())
    kernel: Any = getattr(layer, "kernel_size", None)
    if kernel is None and "stride" in options:
        kernel = arguments[-1]  # a pool's last positional argument is its kernel
    if kernel is None and hasattr(layer, "arguments") and y.shape[2:] != x.shape[2:]:
        kernel = tuple(-(-n // m) for n, m in zip(x.shape[2:], y.shape[2:], strict=True))  # adaptive and global pools
        return kernel, kernel, (1,) * nd
    if kernel is None:
        return (1,) * nd, (1,) * nd, (1,) * nd
    stride = options.get("stride", getattr(layer, "stride", 1))
    if stride is None:
        stride = kernel
    kernel, stride, dilation = (_each(value, nd) for value in (kernel, stride, options.get("dilation", 1)))
    if isinstance(layer, _ConvTranspose):  # an output sees the inputs whose taps meet there, a stride apart
        seen = tuple(d * (k - 1) // s + 1 for k, s, d in zip(kernel, stride, dilation, strict=True))
        return seen, (1,) * nd, (1,) * nd
    return kernel, stride, dilation


def _each(value: Any, nd: int) -> tuple[int, ...]:
    return (value,) * nd if isinstance(value, int) else tuple(value)
