"""Exact counts of what a layer holds and does: parameters, connections, operations, bytes, receptive field.

Three layers between the same two sets of units are compared: *dense* (every output sees every input), *locally
connected* (an output sees its window, with weights of its own) and *convolution* (the same window, weights shared by
all positions). Sparse connectivity is the step from the first to the second and lowers the connections; parameter
sharing is the step from the second to the third and lowers the parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from fastconv.checks import check_whole, is_whole, members, whole_numbers
from fastconv.padding import named_pads

__all__ = [
    "Axis",
    "Comparison",
    "Cost",
    "ReceptiveField",
    "Window",
    "compare",
    "conv_cost",
    "dense_cost",
    "locally_connected_cost",
    "output_shape",
    "receptive_field",
]

Axes = int | Sequence[int]
Padding = int | str | Sequence[int | Sequence[int]]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Cost:
    """What one forward pass of a layer takes; all counts are for the whole batch, parameters aside.

    inputs, outputs: elements read and written.
    terms: products summed for one output (inputs of a dense layer, taps times channels of a convolution).
    weights, biases: parameters of each kind.
    connections: pairs (output, input) that a weight joins, for one sample; a tap that falls on the padding joins none.
    """

    inputs: int
    outputs: int
    terms: int
    weights: int
    biases: int
    connections: int

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those with a padded zero included: ``outputs * terms``."""
        return self.outputs * self.terms

    @property
    def flops(self) -> int:
        """Floating point operations as hardware is rated: two a multiply-accumulate."""
        return 2 * self.macs

    @property
    def multiply_add_ops(self) -> int:
        """Operations as a blackboard counts them: a sum of k products is k multiplications and k - 1 additions.

        It is the count behind the 267,960 operations of the two-tap edge detector (Goodfellow, Bengio and Courville,
        *Deep Learning*, chapter 9). Biases are left out.
        """
        return self.outputs * (2 * self.terms - 1)

    def bytes(self, itemsize: int = 4) -> int:
        """Bytes of the inputs, parameters and outputs, each touched once; ``itemsize`` is 4 for float32."""
        return (self.inputs + self.parameters + self.outputs) * itemsize


def _per_axis(name: str, value: Axes, axes: int, least: int) -> tuple[int, ...]:
    sizes = (value,) * axes if is_whole(value) else whole_numbers(name, value)
    if len(sizes) != axes or any(size < least for size in sizes):
        raise ValueError(f"{name} must be {axes} numbers of at least {least}, or one for all axes, got {value!r}")
    return sizes


def _pads(padding: Padding, sizes: Sequence[int], reaches: Sequence[int], strides: Sequence[int]) -> list[Pair]:
    if isinstance(padding, str):
        return [named_pads(padding, len(sizes), *axis) for axis in zip(sizes, reaches, strides, strict=True)]
    given = padding if isinstance(padding, Sequence | np.ndarray) else [padding] * len(sizes)
    pads = [[p, p] if is_whole(p) else whole_numbers("padding", p) for p in given]
    if len(pads) != len(sizes) or any(len(pair) != 2 or min(pair) < 0 for pair in pads):
        raise ValueError(f"padding must be {len(sizes)} numbers or pairs of at least 0, got {padding!r}")
    return [(before, after) for before, after in pads]


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a convolution: size, kernel, stride, dilation and the padding before and after."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def outputs(self) -> int:
        """Positions: ``floor((size + before + after - dilation * (kernel - 1) - 1) / stride) + 1``."""
        return (self.size + self.before + self.after - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    @property
    def inside(self) -> int:
        """Pairs (output position, tap) that read the input and not its padding."""
        return sum(self._positions_inside(tap) for tap in range(self.kernel))

    def _positions_inside(self, tap: int) -> int:
        """Positions ``p`` with ``0 <= p * stride + tap * dilation - before < size``."""
        shift = self.before - tap * self.dilation
        first = max(-(-shift // self.stride), 0)
        last = min((self.size - 1 + shift) // self.stride, self.outputs - 1)
        return max(last - first + 1, 0)


@dataclass(frozen=True)
class _Geometry:
    batch: int
    in_channels: int
    out_channels: int
    groups: int
    axes: tuple[Axis, ...]

    @property
    def terms(self) -> int:
        return self.in_channels // self.groups * prod(axis.kernel for axis in self.axes)

    @property
    def inputs(self) -> int:
        return self.in_channels * prod(axis.size for axis in self.axes)

    @property
    def outputs(self) -> int:
        return self.out_channels * prod(axis.outputs for axis in self.axes)

    @property
    def connections(self) -> int:
        inside = prod(axis.inside for axis in self.axes)
        return self.out_channels * (self.in_channels // self.groups) * inside


def _geometry(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Axes,
    padding: Padding,
    dilation: Axes,
    groups: int,
) -> _Geometry:
    input_shape, weight_shape = whole_numbers("input_shape", input_shape), whole_numbers("weight_shape", weight_shape)
    check_whole(1, groups=groups)
    nd = len(weight_shape) - 2
    if nd < 1 or any(size < 1 for size in weight_shape):
        raise ValueError(f"weight_shape must be (O, C / groups, *kernel), all positive, got {weight_shape}")
    if len(input_shape) not in (nd + 1, nd + 2) or any(size < 0 for size in input_shape):
        raise ValueError(f"input_shape must be (N, C, *{nd} sizes) or (C, *{nd} sizes), got {input_shape}")
    batch = input_shape[0] if len(input_shape) == nd + 2 else 1
    channels, sizes = input_shape[-nd - 1], input_shape[-nd:]
    if weight_shape[0] % groups or channels != groups * weight_shape[1]:
        raise ValueError(
            f"groups must divide the channels, got groups={groups}, input_shape={input_shape}, "
            f"weight_shape={weight_shape}"
        )
    kernel = weight_shape[2:]
    strides, dilations = _per_axis("stride", stride, nd, 1), _per_axis("dilation", dilation, nd, 1)
    pads = _pads(padding, sizes, [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)], strides)
    axes = tuple(Axis(n, k, s, d, *p) for n, k, s, d, p in zip(sizes, kernel, strides, dilations, pads, strict=True))
    if any(axis.outputs < 1 for axis in axes):
        raise ValueError(f"kernel {kernel} does not fit input_shape {input_shape} with padding {padding!r}")
    return _Geometry(batch, channels, weight_shape[0], groups, axes)


def output_shape(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
) -> tuple[int, ...]:
    """Shape of a convolution's result, batched if ``input_shape`` is. Raises ValueError where the shapes do not fit."""
    geometry = _geometry(input_shape, weight_shape, stride, padding, dilation, groups)
    batch = tuple(input_shape[: len(input_shape) - len(geometry.axes) - 1])
    return (*batch, geometry.out_channels, *(axis.outputs for axis in geometry.axes))


def conv_cost(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    bias: bool = True,
) -> Cost:
    """Cost of a convolution, in any number of dimensions: ``O * (C / groups * prod(kernel) + 1)`` parameters.

    input_shape: ``(N, C, *spatial)`` or ``(C, *spatial)``; weight_shape: ``(O, C / groups, *kernel)``. stride, padding,
    dilation and groups as in :func:`fastconv.conv2d`; bias: whether the layer has one, one number a channel.

    Raises ValueError where the shapes do not fit each other. Connections are counted for zero padding.
    """
    layer = _geometry(input_shape, weight_shape, stride, padding, dilation, groups)
    return Cost(
        inputs=layer.batch * layer.inputs,
        outputs=layer.batch * layer.outputs,
        terms=layer.terms,
        weights=prod(weight_shape),
        biases=layer.out_channels if bias else 0,
        connections=layer.connections,
    )


def locally_connected_cost(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    bias: bool = True,
) -> Cost:
    """Cost of the convolution's windows with weights of their own at every position: sparse, nothing shared.

    Arguments and errors are those of :func:`conv_cost`. A weight that could only meet padding is not stored, so the
    weights are the connections; one bias an output.
    """
    layer = _geometry(input_shape, weight_shape, stride, padding, dilation, groups)
    return Cost(
        inputs=layer.batch * layer.inputs,
        outputs=layer.batch * layer.outputs,
        terms=layer.terms,
        weights=layer.connections,
        biases=layer.outputs if bias else 0,
        connections=layer.connections,
    )


def dense_cost(in_features: int, out_features: int, batch: int = 1, *, bias: bool = True) -> Cost:
    """Cost of a dense layer: ``in_features * out_features`` weights, each used once a sample."""
    check_whole(1, in_features=in_features, out_features=out_features)
    check_whole(0, batch=batch)
    pairs = in_features * out_features
    return Cost(
        inputs=batch * in_features,
        outputs=batch * out_features,
        terms=in_features,
        weights=pairs,
        biases=out_features if bias else 0,
        connections=pairs,
    )


@dataclass(frozen=True)
class Comparison:
    """The same two sets of units joined three ways."""

    dense: Cost
    locally_connected: Cost
    convolution: Cost


def compare(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    bias: bool = True,
) -> Comparison:
    """A convolution against the locally connected and the dense layer of the same inputs and outputs.

    Arguments and errors are those of :func:`conv_cost`.
    """
    layer = _geometry(input_shape, weight_shape, stride, padding, dilation, groups)
    options = (input_shape, weight_shape, stride, padding, dilation, groups)
    return Comparison(
        dense=dense_cost(layer.inputs, layer.outputs, layer.batch, bias=bias),
        locally_connected=locally_connected_cost(*options, bias=bias),
        convolution=conv_cost(*options, bias=bias),
    )


@dataclass(frozen=True)
class Window:
    """One layer along one axis, for the receptive field: a convolution or a pool."""

    kernel: int
    stride: int = 1
    dilation: int = 1


@dataclass(frozen=True)
class ReceptiveField:
    """Inputs that reach one output: how many along the axis, and how far apart the fields of neighbours lie."""

    size: int
    jump: int


def _up_to_three(name: str, given: Sequence[int]) -> tuple[int, ...]:
    numbers = whole_numbers(name, given)
    if not 1 <= len(numbers) <= 3:
        raise ValueError(f"{name} must be (kernel, stride, dilation) or the first of these, got {given!r}")
    return numbers


def receptive_field(layers: Iterable[Window | Sequence[int]]) -> ReceptiveField:
    """Receptive field of a stack of convolutions and pools, first layer first, along one axis.

    Each layer is a :class:`Window` or ``(kernel, stride, dilation)`` with the last ones left out at will. A layer adds
    ``dilation * (kernel - 1)`` steps of the spacing that the strides before it have made. Raises TypeError for what is
    no such layer, ValueError for numbers below 1.
    """
    size, jump = 1, 1
    for i, given in enumerate(members("layers", layers, "Window or (kernel, stride, dilation)")):
        layer = given if isinstance(given, Window) else Window(*_up_to_three(f"layers[{i}]", given))
        check_whole(1, **{f"layers[{i}].{name}": value for name, value in vars(layer).items()})
        size += layer.dilation * (layer.kernel - 1) * jump
        jump *= layer.stride
    return ReceptiveField(size, jump)
