"""Convolution and transposed convolution in one, two and three dimensions, forward and backward.

Each family is one factory that makes the 1-d, 2-d and 3-d function: they differ in nothing but the number of spatial
axes. Arguments are normalised and checked in the compiled core, so that a small call pays for little more than itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv import _core
from fastconv.checks import float_dtype

Array = NDArray[Any]
Axes = int | Sequence[int]
Padding = int | str | Sequence[int | Sequence[int]]
Modes = str | Sequence[str]


class ConvGrads(NamedTuple):
    """Gradients of a convolution, each shaped as what it belongs to; an entry that was not asked for is None."""

    input: Array | None
    weight: Array | None
    bias: Array | None


_AXES = {1: "W", 2: "H, W", 3: "D, H, W"}
_KERNEL = {1: "kW", 2: "kH, kW", 3: "kD, kH, kW"}

_OPTIONS = """
    stride, dilation: an int, or one per axis; dilation 1 is dense.
    padding: an int, one per axis, a ``(before, after)`` pair per axis, or a name: ``"valid"`` (none), ``"same"``
        (output ``ceil(n / stride)``, an odd element at the end), ``"same_lower"`` (at the start), ``"full"``
        (every position that touches the input), ``"causal"`` (1-d: all before).
    groups: channels are split into this many independent convolutions.
    padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"``, ``"circular"``, ``"symmetric"``, or one per axis. Any
        amount works, with as many bounces or wraps as it takes; the input is never copied into a padded array.
    flip: True for the true convolution (kernel reversed), False for the cross-correlation of network libraries.
    algorithm: ``"auto"``, ``"direct"``, ``"winograd"``, ``"fft"``, ``"depthwise"`` (few channels a group) or
        ``"reference"`` (naive loops, double accumulators). What one cannot do is left to ``"direct"``."""

_RESULT = """
    activation: None, ``"relu"``, ``"leaky_relu"`` (slope 0.01), ``"relu6"``, ``"elu"``, ``"sigmoid"`` or ``"tanh"``,
        applied as the result is stored.
    out: array to write to, of the result's shape and dtype, any strides, sharing no memory with the inputs."""

_RAISES = """
    Raises ValueError for shapes or values that do not fit, TypeError for a dtype that is not float32 or float64 or
    for mixed dtypes; the message names the argument and shows its value."""


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _make_conv(nd: int) -> Any:
    forward = _core.conv_forward

    def conv(
        input: Array,
        weight: Array,
        bias: Array | None = None,
        stride: Axes = 1,
        padding: Padding = 0,
        dilation: Axes = 1,
        groups: int = 1,
        *,
        padding_mode: Modes = "zeros",
        flip: bool = False,
        activation: str | None = None,
        algorithm: str = "auto",
        out: Array | None = None,
    ) -> Array:
        return forward(
            nd, input, weight, bias, stride, padding, dilation, groups, padding_mode, flip, activation, algorithm, out
        )

    doc = f"""{nd}-d cross-correlation, what network libraries call convolution (``flip=True`` for the true one).

    ``out[n, o, p] = bias[o] + sum over c, t of weight[o, c, t] * input[n, c, p * stride + t * dilation - padding]``

    input: ``(N, C, {_AXES[nd]})`` or unbatched ``(C, {_AXES[nd]})``, float32 or float64, any strides.
    weight: ``(O, C / groups, {_KERNEL[nd]})``; bias: ``(O,)`` or None.{_OPTIONS}{_RESULT}

    Returns ``(N, O, ...)`` or ``(O, ...)`` with ``floor((n + pads - dilation * (k - 1) - 1) / stride) + 1`` positions
    an axis.
{_RAISES}
    """
    return _named(conv, f"conv{nd}d", doc)


def _make_grad_input(nd: int) -> Any:
    grad_input = _core.conv_grad_input

    def conv_grad_input(
        grad_output: Array,
        weight: Array,
        input_size: Sequence[int],
        stride: Axes = 1,
        padding: Padding = 0,
        dilation: Axes = 1,
        groups: int = 1,
        *,
        padding_mode: Modes = "zeros",
        flip: bool = False,
        algorithm: str = "auto",
        out: Array | None = None,
    ) -> Array:
        return grad_input(
            nd, grad_output, weight, input_size, stride, padding, dilation, groups, padding_mode, flip, algorithm, out
        )

    doc = f"""Gradient of :func:`conv{nd}d` with respect to its input: its exact adjoint, in every padding mode.

    grad_output: the shape of the forward call's output; weight: as there.
    input_size: the input's shape, or its spatial part alone.{_OPTIONS}
    out: array to write to, of the input's shape.

    Returns the gradient, shaped as the input.
{_RAISES}
    """
    return _named(conv_grad_input, f"conv{nd}d_grad_input", doc)


def _make_grad_weight(nd: int) -> Any:
    grad_weight = _core.conv_grad_weight

    def conv_grad_weight(
        grad_output: Array,
        input: Array,
        kernel_size: Axes,
        stride: Axes = 1,
        padding: Padding = 0,
        dilation: Axes = 1,
        groups: int = 1,
        *,
        padding_mode: Modes = "zeros",
        flip: bool = False,
        algorithm: str = "auto",
        out: Array | None = None,
    ) -> Array:
        return grad_weight(
            nd, grad_output, input, kernel_size, stride, padding, dilation, groups, padding_mode, flip, algorithm, out
        )

    doc = f"""Gradient of :func:`conv{nd}d` with respect to its weight, summed over the batch.

    grad_output: the shape of the forward call's output; input: as there.
    kernel_size: an int, or ``({_KERNEL[nd]})``.{_OPTIONS}
    out: array to write to, ``(O, C / groups, {_KERNEL[nd]})``.

    Returns the gradient, shaped as the weight. The bits do not depend on the number of threads.
{_RAISES}
    """
    return _named(conv_grad_weight, f"conv{nd}d_grad_weight", doc)


def _make_grad_bias(nd: int) -> Any:
    grad_bias = _core.conv_grad_bias

    def conv_grad_bias(grad_output: Array, *, out: Array | None = None) -> Array:
        return grad_bias(nd, grad_output, out)

    doc = f"""Gradient of :func:`conv{nd}d` with respect to its bias: the sum over images and positions.

    grad_output: ``(N, O, {_AXES[nd]})`` or ``(O, {_AXES[nd]})``. out: array to write to, ``(O,)``.

    Returns ``(O,)``. Raises ValueError for another number of axes or an ``out`` that does not fit, TypeError for a
    dtype that is not float32 or float64.
    """
    return _named(conv_grad_bias, f"conv{nd}d_grad_bias", doc)


_NEEDS = ("input", "weight", "bias")


def _wanted(needs: Iterable[str]) -> tuple[bool, ...]:
    """Which of the three gradients ``needs`` asks for."""
    if needs is _NEEDS:
        return True, True, True
    try:
        names: tuple[Any, ...] = (None,) if isinstance(needs, str) else tuple(needs)
    except TypeError:
        names = (None,)
    if not all(isinstance(name, str) and name in _NEEDS for name in names):
        raise ValueError(f"needs must hold some of {_NEEDS}, got {needs!r}")
    return tuple(name in names for name in _NEEDS)


def _make_backward(nd: int) -> Any:
    backward = _core.conv_backward

    def conv_backward(
        grad_output: Array,
        input: Array,
        weight: Array,
        stride: Axes = 1,
        padding: Padding = 0,
        dilation: Axes = 1,
        groups: int = 1,
        *,
        padding_mode: Modes = "zeros",
        flip: bool = False,
        algorithm: str = "auto",
        needs: Iterable[str] = _NEEDS,
    ) -> ConvGrads:
        want = _wanted(needs)
        steps = (stride, padding, dilation, groups)
        return ConvGrads(*backward(nd, grad_output, input, weight, *steps, padding_mode, flip, *want, algorithm))

    doc = f"""Gradients of :func:`conv{nd}d`.

    grad_output: the shape of the forward call's output; input and weight: as there.{_OPTIONS}
    needs: which gradients to compute, some of ``"input"``, ``"weight"``, ``"bias"``.

    Returns ``ConvGrads(input, weight, bias)``.
{_RAISES}
    """
    return _named(conv_backward, f"conv{nd}d_backward", doc)


_TRANSPOSE_NOTE = """It is the adjoint of the convolution of the same options, in every padding mode: the input gradient
    of a convolution whose output is our input."""


def _make_transpose(nd: int) -> Any:
    transpose = _core.conv_transpose

    def conv_transpose(
        input: Array,
        weight: Array,
        bias: Array | None = None,
        stride: Axes = 1,
        padding: Padding = 0,
        output_padding: Axes = 0,
        groups: int = 1,
        dilation: Axes = 1,
        *,
        padding_mode: Modes = "zeros",
        flip: bool = False,
        activation: str | None = None,
        algorithm: str = "auto",
        out: Array | None = None,
    ) -> Array:
        steps = (stride, padding, output_padding, groups, dilation)
        return transpose(nd, input, weight, bias, *steps, padding_mode, flip, activation, algorithm, out)

    doc = f"""{nd}-d transposed convolution. {_TRANSPOSE_NOTE}

    input: ``(N, C, {_AXES[nd]})`` or ``(C, {_AXES[nd]})``, float32 or float64, any strides.
    weight: ``(C, O / groups, {_KERNEL[nd]})``; bias: ``(O,)`` or None.
    output_padding: extra positions at the end of each axis, less than stride or dilation, 0 for
        ``"same"``.{_OPTIONS}{_RESULT}

    Returns ``(N, O, ...)`` or ``(O, ...)`` with ``(n - 1) * stride - pads + dilation * (k - 1) + output_padding + 1``
    positions an axis; ``n * stride`` for ``"same"``.
{_RAISES}
    """
    return _named(conv_transpose, f"conv_transpose{nd}d", doc)


def _make_transpose_backward(nd: int) -> Any:
    backward = _core.conv_transpose_backward

    def conv_transpose_backward(
        grad_output: Array,
        input: Array,
        weight: Array,
        stride: Axes = 1,
        padding: Padding = 0,
        output_padding: Axes = 0,
        groups: int = 1,
        dilation: Axes = 1,
        *,
        padding_mode: Modes = "zeros",
        flip: bool = False,
        algorithm: str = "auto",
        needs: Iterable[str] = _NEEDS,
    ) -> ConvGrads:
        want = _wanted(needs)
        steps = (stride, padding, output_padding, groups, dilation)
        return ConvGrads(*backward(nd, grad_output, input, weight, *steps, padding_mode, flip, *want, algorithm))

    doc = f"""Gradients of :func:`conv_transpose{nd}d`. Returns ``ConvGrads(input, weight, bias)``.

    grad_output: the shape of the forward call's output; input and weight: as there.{_OPTIONS}
    needs: which gradients to compute, some of ``"input"``, ``"weight"``, ``"bias"``.
{_RAISES}
    """
    return _named(conv_transpose_backward, f"conv_transpose{nd}d_backward", doc)


conv1d, conv2d, conv3d = map(_make_conv, (1, 2, 3))
conv1d_grad_input, conv2d_grad_input, conv3d_grad_input = map(_make_grad_input, (1, 2, 3))
conv1d_grad_weight, conv2d_grad_weight, conv3d_grad_weight = map(_make_grad_weight, (1, 2, 3))
conv1d_grad_bias, conv2d_grad_bias, conv3d_grad_bias = map(_make_grad_bias, (1, 2, 3))
conv1d_backward, conv2d_backward, conv3d_backward = map(_make_backward, (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = map(_make_transpose, (1, 2, 3))
conv_transpose1d_backward, conv_transpose2d_backward, conv_transpose3d_backward = map(
    _make_transpose_backward, (1, 2, 3)
)


def explain(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Axes = 1,
    padding: Padding = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    padding_mode: Modes = "zeros",
    dtype: Any = np.float32,
    direction: str = "forward",
    algorithm: str = "auto",
) -> dict[str, Any]:
    """What a convolution of these shapes would do, without running it.

    input_shape: batched or not; weight_shape: 3, 4 or 5 sizes.
    direction: ``"forward"``, ``"grad_input"`` or ``"grad_weight"``. The other arguments are those of :func:`conv2d`.

    Returns algorithm, kernel family, instruction set, register tile ``mr x nr`` (elements), vector lanes, channels
    and pixels of a block, workspace in bytes (per thread, and shared), threads, multiply-accumulates, bytes of input,
    weight and output, and the plan's cost estimate in cycles of one core. An input gradient that is computed in pieces
    (a stride, a padding mode) names what runs on the largest of them.

    Raises ValueError for shapes or values that do not fit, TypeError for another dtype.
    """
    f64 = float_dtype(dtype) == np.float64
    nd = len(weight_shape) - 2 if np.ndim(weight_shape) else 0
    if nd not in (1, 2, 3):
        raise ValueError(f"weight_shape must have 3, 4 or 5 sizes, got {weight_shape!r:.120}")
    plan: dict[str, Any] = _core.explain(
        nd, input_shape, weight_shape, stride, padding, dilation, groups, padding_mode, direction, f64, algorithm
    )
    return {"isa": _core.isa_name(), **plan}
