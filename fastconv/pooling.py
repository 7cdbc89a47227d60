"""Pooling in one, two and three dimensions, forward and backward.

Every pool ``f(input, ..., options)`` has a gradient ``f_backward(grad_output, input, ..., options)``, with ``indices``
where the pool can return them: without them the winners are found again from the input.

A maximum is the first of the largest elements of its window; a NaN is larger than any number. Padding never wins a
maximum and has no part in a norm; in an average it counts as zeros if ``count_include_pad``. Indices are int64, flat
positions in the input's spatial axes, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import _core
from fastconv.checks import generator_of, is_whole
from fastconv.functional import _AXES, Array, Axes, Padding, _named

OutputSize = int | None | Sequence[int | None]

_INPUT = """
    input: ``(N, C, {axes})`` or unbatched ``(C, {axes})``, float32 or float64, any strides."""

_WINDOWS = """
    kernel_size, stride: an int, or one per axis; stride None is kernel_size.
    padding: an int, one per axis, a ``(before, after)`` pair per axis, or a name as for convolutions (``"valid"``,
        ``"same"``, ``"same_lower"``, ...); less than the window's extent ``dilation * (kernel_size - 1) + 1``.
    ceil_mode: output positions an axis are ``floor((n + before + after - extent) / stride) + 1``; with ceil_mode the
        quotient is rounded up, less the last window if it would begin at or beyond ``n + before``."""

_OUT = """
    out: array to write to, of the result's shape and dtype, any strides, sharing no memory with the inputs."""

_RAISES = """

    Raises ValueError for shapes or values that do not fit, TypeError for a dtype that is not float32 or float64 or
    for mixed dtypes; the message names the argument and shows its value.
    """

_GRAD = """Gradient of :func:`{name}` with respect to its input.

    grad_output: the shape of the forward call's output; input and options: as there.{more}
    out: array to write to, of the input's shape.

    Returns the gradient, shaped as the input."""

_INDICES = """
    indices: what the forward call returned with ``return_indices=True``; None finds the winners again."""


def _pair(forward: Any, backward: Any, name: str, doc: str, grad_more: str = "") -> tuple[Any, Any]:
    grad_doc = _GRAD.format(name=name, more=grad_more) + _RAISES
    return _named(forward, name, doc + _RAISES), _named(backward, f"{name}_backward", grad_doc)


def _make_max_pool(nd: int) -> tuple[Any, Any]:
    def max_pool(
        input: Array,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Padding = 0,
        dilation: Axes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
        *,
        out: Array | None = None,
    ) -> Any:
        return _core.max_pool(nd, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, out)

    def max_pool_backward(
        grad_output: Array,
        input: Array,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Padding = 0,
        dilation: Axes = 1,
        ceil_mode: bool = False,
        *,
        indices: Array | None = None,
        out: Array | None = None,
    ) -> Array:
        return _core.max_pool_backward(
            nd, grad_output, input, kernel_size, stride, padding, dilation, ceil_mode, indices, out
        )

    doc = f"""{nd}-d max pooling: the largest element under each window.
{_INPUT.format(axes=_AXES[nd])}{_WINDOWS}
    dilation: distance between a window's elements; 1 is dense.
    return_indices: return ``(output, indices)``.{_OUT}

    Returns the pooled array."""
    return _pair(max_pool, max_pool_backward, f"max_pool{nd}d", doc, _INDICES)


def _make_avg_pool(nd: int) -> tuple[Any, Any]:
    def avg_pool(
        input: Array,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        return _core.avg_pool(
            nd, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, out
        )

    def avg_pool_backward(
        grad_output: Array,
        input: Array,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        return _core.avg_pool_backward(
            nd, grad_output, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, out
        )

    doc = f"""{nd}-d average pooling: the sum of each window over its divisor.

    The divisor is ``divisor_override``, else the product over the axes of ``min(kernel_size, n + after - begin)`` for a
    window that begins at ``begin >= -before`` if ``count_include_pad``, else the number of the window's elements inside
    the input. Every window holds at least one, so none is ever 0 / 0.
{_INPUT.format(axes=_AXES[nd])}{_WINDOWS}
    count_include_pad: True, as in PyTorch, counts padding as zeros (ONNX's default is False).
    divisor_override: a positive int that divides every sum.{_OUT}

    Returns the pooled array."""
    return _pair(avg_pool, avg_pool_backward, f"avg_pool{nd}d", doc)


def _make_lp_pool(nd: int) -> tuple[Any, Any]:
    def lp_pool(
        input: Array,
        norm_type: float,
        kernel_size: Axes,
        stride: Axes | None = None,
        ceil_mode: bool = False,
        *,
        mean: bool = False,
        padding: Padding = 0,
        out: Array | None = None,
    ) -> Array:
        return _core.lp_pool(nd, input, norm_type, kernel_size, stride, ceil_mode, mean, padding, out)

    def lp_pool_backward(
        grad_output: Array,
        input: Array,
        norm_type: float,
        kernel_size: Axes,
        stride: Axes | None = None,
        ceil_mode: bool = False,
        *,
        mean: bool = False,
        padding: Padding = 0,
        out: Array | None = None,
    ) -> Array:
        return _core.lp_pool_backward(
            nd, grad_output, input, norm_type, kernel_size, stride, ceil_mode, mean, padding, out
        )

    doc = f"""{nd}-d power pooling: ``(sum |x|^p)^(1/p)`` of each window, or its power mean.

    Unlike PyTorch's it takes magnitudes, overflows or underflows only where the norm itself does, sums only the
    elements inside the input, and has gradient 0 wherever x is 0, all-zero windows included.
{_INPUT.format(axes=_AXES[nd])}
    norm_type: p > 0, not necessarily whole; ``inf`` is the largest magnitude.{_WINDOWS}
    mean: divide the sum by the number of elements, for the power mean ``(sum |x|^p / count)^(1/p)``.{_OUT}

    Returns the pooled array."""
    return _pair(lp_pool, lp_pool_backward, f"lp_pool{nd}d", doc)


_OUTPUT_SIZE = """
    output_size: an int, or one per axis; None keeps the input's. Window o of an axis covers
        ``[floor(o * n / size), ceil((o + 1) * n / size))``."""


def _make_adaptive_avg_pool(nd: int) -> tuple[Any, Any]:
    def adaptive_avg_pool(input: Array, output_size: OutputSize, *, out: Array | None = None) -> Array:
        return _core.adaptive_avg_pool(nd, input, output_size, out)

    def adaptive_avg_pool_backward(
        grad_output: Array, input: Array, output_size: OutputSize, *, out: Array | None = None
    ) -> Array:
        return _core.adaptive_avg_pool_backward(nd, grad_output, input, output_size, out)

    doc = f"""{nd}-d average pooling to a given output size.
{_INPUT.format(axes=_AXES[nd])}{_OUTPUT_SIZE}{_OUT}

    Returns the pooled array."""
    return _pair(adaptive_avg_pool, adaptive_avg_pool_backward, f"adaptive_avg_pool{nd}d", doc)


def _make_adaptive_max_pool(nd: int) -> tuple[Any, Any]:
    def adaptive_max_pool(
        input: Array, output_size: OutputSize, return_indices: bool = False, *, out: Array | None = None
    ) -> Any:
        return _core.adaptive_max_pool(nd, input, output_size, return_indices, out)

    def adaptive_max_pool_backward(
        grad_output: Array,
        input: Array,
        output_size: OutputSize,
        *,
        indices: Array | None = None,
        out: Array | None = None,
    ) -> Array:
        return _core.adaptive_max_pool_backward(nd, grad_output, input, output_size, indices, out)

    doc = f"""{nd}-d max pooling to a given output size.
{_INPUT.format(axes=_AXES[nd])}{_OUTPUT_SIZE}
    return_indices: return ``(output, indices)``.{_OUT}

    Returns the pooled array."""
    return _pair(adaptive_max_pool, adaptive_max_pool_backward, f"adaptive_max_pool{nd}d", doc, _INDICES)


def _spatial_axes(input: Array, dims: int | None, least: int = 1) -> int:
    """How many spatial axes ``input`` has: ``dims``, or all behind (N, C)."""
    nd = _core.as_array(input).ndim - 2 if dims is None else dims
    if not is_whole(nd):
        raise TypeError(f"dims must be None or an integer, got {dims!r}")
    if nd not in range(least, 4):
        what = f"dims={dims!r}" if dims is not None else f"input has shape {_core.as_array(input).shape}"
        raise ValueError(f"{what}: {least} to 3 spatial axes behind (N, C) are needed; an unbatched input needs dims=")
    return nd


_DIMS = """
    input: ``(N, C, *spatial)`` with {least} to 3 spatial axes, or ``(C, *spatial)`` with ``dims`` given.
    dims: the number of spatial axes; None takes all behind the first two."""


def _make_global_avg_pool() -> tuple[Any, Any]:
    def global_avg_pool(input: Array, *, dims: int | None = None, out: Array | None = None) -> Array:
        return _core.adaptive_avg_pool(_spatial_axes(input, dims), input, 1, out)

    def global_avg_pool_backward(
        grad_output: Array, input: Array, *, dims: int | None = None, out: Array | None = None
    ) -> Array:
        return _core.adaptive_avg_pool_backward(_spatial_axes(input, dims), grad_output, input, 1, out)

    doc = f"""The mean of every channel of every image, with spatial axes of size 1 kept.
{_DIMS.format(least=1)}{_OUT}

    Returns ``(N, C, 1, ...)`` or ``(C, 1, ...)``. Long sums are kept in several parts, so that the
    error does not grow with them."""
    return _pair(global_avg_pool, global_avg_pool_backward, "global_avg_pool", doc)


def _make_global_max_pool() -> tuple[Any, Any]:
    def global_max_pool(
        input: Array, return_indices: bool = False, *, dims: int | None = None, out: Array | None = None
    ) -> Any:
        return _core.adaptive_max_pool(_spatial_axes(input, dims), input, 1, return_indices, out)

    def global_max_pool_backward(
        grad_output: Array,
        input: Array,
        *,
        indices: Array | None = None,
        dims: int | None = None,
        out: Array | None = None,
    ) -> Array:
        return _core.adaptive_max_pool_backward(_spatial_axes(input, dims), grad_output, input, 1, indices, out)

    doc = f"""The maximum of every channel of every image, with spatial axes of size 1 kept.
{_DIMS.format(least=1)}
    return_indices: return ``(output, indices)``.{_OUT}

    Returns ``(N, C, 1, ...)`` or ``(C, 1, ...)``."""
    return _pair(global_max_pool, global_max_pool_backward, "global_max_pool", doc, _INDICES)


def _make_fractional_max_pool(nd: int) -> tuple[Any, Any]:
    def settle(
        input: Array,
        output_size: OutputSize,
        output_ratio: float | Sequence[float] | None,
        seed: int | np.random.Generator | None,
        samples: Array | None,
    ) -> tuple[OutputSize, Array]:
        """The output size in numbers, and a sample for every plane and axis."""
        x = _core.as_array(input)
        shape = x.shape
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"one of output_size and output_ratio is needed, got {output_size!r} and {output_ratio!r}")
        if output_ratio is not None:
            ratios = np.array(output_ratio, ndmin=1)
            if ratios.shape not in ((1,), (nd,)) or ratios.dtype.kind not in "fiu":
                raise ValueError(f"output_ratio must be a number or one per axis ({nd}), got {output_ratio!r}")
            if not ((ratios > 0) & (ratios < 1)).all():
                raise ValueError(f"output_ratio must be between 0 and 1, got {output_ratio!r}")
            output_size = [int(n * r) for n, r in zip(shape[-nd:], np.resize(ratios, nd), strict=False)]
        if samples is None:
            lead = shape[: len(shape) - nd]
            size = (1, *lead)[-2:] + (nd,) if lead else (1, 1, nd)
            dtype = np.float64 if x.dtype == np.float64 else np.float32
            samples = generator_of(seed).random(size, dtype=dtype)
        elif seed is not None:
            raise ValueError(f"seed={seed!r} has no use when samples are given")
        return output_size, samples

    def fractional_max_pool(
        input: Array,
        kernel_size: Axes,
        output_size: OutputSize = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        *,
        seed: int | np.random.Generator | None = None,
        samples: Array | None = None,
        out: Array | None = None,
    ) -> Any:
        size, samples = settle(input, output_size, output_ratio, seed, samples)
        return _core.fractional_max_pool(nd, input, kernel_size, size, samples, return_indices, out)

    def fractional_max_pool_backward(
        grad_output: Array,
        input: Array,
        kernel_size: Axes,
        output_size: OutputSize = None,
        output_ratio: float | Sequence[float] | None = None,
        *,
        seed: int | np.random.Generator | None = None,
        samples: Array | None = None,
        indices: Array | None = None,
        out: Array | None = None,
    ) -> Array:
        if seed is None and samples is None and indices is None:
            raise ValueError("the forward call's seed, samples or indices are needed, got None for all three")
        size, samples = settle(input, output_size, output_ratio, seed, samples)
        return _core.fractional_max_pool_backward(nd, grad_output, input, kernel_size, size, samples, indices, out)

    order = "width, height" if nd == 2 else "depth, height, width"
    doc = f"""{nd}-d fractional max pooling (Graham, 2014): windows of one size at pseudo-random steps.

    With u the sample of an axis and ``a = (n - kernel_size) / (size - 1)``, window o begins at
    ``int((o + u) * a) - int(u * a)`` and the last one at ``n - kernel_size``, in the input's precision: PyTorch's rule.
{_INPUT.format(axes=_AXES[nd])}
    kernel_size: an int, or one per axis.
    output_size, output_ratio: the output's size, or its ratio to the input's in (0, 1); one of the two.
    return_indices: return ``(output, indices)``.
    seed: of numpy's default generator, or a generator; the same seed gives the same result. None draws afresh.
    samples: the u's in [0, 1), ``(N, C, {nd})``, those of {order}, with N = 1 for an unbatched input:
        PyTorch's ``_random_samples``.{_OUT}

    Returns the pooled array."""
    more = _INDICES + "\n    seed, samples: those of the forward call; not needed if indices are given."
    return _pair(fractional_max_pool, fractional_max_pool_backward, f"fractional_max_pool{nd}d", doc, more)


def _make_max_unpool(nd: int) -> tuple[Any, Any]:
    def max_unpool(
        input: Array,
        indices: Array,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Axes = 0,
        output_size: Sequence[int] | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        return _core.max_unpool(nd, input, indices, kernel_size, stride, padding, output_size, out)

    def max_unpool_backward(
        grad_output: Array,
        input: Array,
        indices: Array,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Axes = 0,
        output_size: Sequence[int] | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        return _core.max_unpool_backward(
            nd, grad_output, input, indices, kernel_size, stride, padding, output_size, out
        )

    doc = f"""{nd}-d partial inverse of :func:`max_pool{nd}d`: zeros, with each input element at its index.

    Where an index is repeated the last element, in the order of the input, stays.
{_INPUT.format(axes=_AXES[nd])}
    indices: int64, of input's shape: flat positions in the output's spatial axes, as max pooling returns them.
    kernel_size, stride, padding: those of the pooling; an int, or one per axis.
    output_size: the output's shape or its spatial part, less than a stride from the default
        ``(n - 1) * stride - 2 * padding + kernel_size``.{_OUT}

    Returns the unpooled array. Raises ValueError, with the index, for one outside the output."""
    more = "\n    Every element gets the gradient at its index, those that a later one overwrote too, as in PyTorch."
    return _pair(max_unpool, max_unpool_backward, f"max_unpool{nd}d", doc, more)


def _make_channel_max_pool() -> tuple[Any, Any]:
    def channel_max_pool(
        input: Array,
        pieces: int,
        return_indices: bool = False,
        *,
        dims: int | None = None,
        out: Array | None = None,
    ) -> Any:
        return _core.channel_max_pool(_spatial_axes(input, dims, 0), input, pieces, return_indices, out)

    def channel_max_pool_backward(
        grad_output: Array,
        input: Array,
        pieces: int,
        *,
        indices: Array | None = None,
        dims: int | None = None,
        out: Array | None = None,
    ) -> Array:
        nd = _spatial_axes(input, dims, 0)
        return _core.channel_max_pool_backward(nd, grad_output, input, pieces, indices, out)

    doc = f"""Maxout (Goodfellow et al., 2013): output channel c is the maximum of input channels ``c * pieces`` and on.
{_DIMS.format(least=0)}
    pieces: channels a maximum is taken over; divides C.
    return_indices: return ``(output, indices)``, where indices are the winning channels of the input.{_OUT}

    Returns ``(N, C / pieces, *spatial)`` or ``(C / pieces, *spatial)``."""
    return _pair(channel_max_pool, channel_max_pool_backward, "channel_max_pool", doc, _INDICES)


max_pool1d, max_pool1d_backward = _make_max_pool(1)
max_pool2d, max_pool2d_backward = _make_max_pool(2)
max_pool3d, max_pool3d_backward = _make_max_pool(3)
avg_pool1d, avg_pool1d_backward = _make_avg_pool(1)
avg_pool2d, avg_pool2d_backward = _make_avg_pool(2)
avg_pool3d, avg_pool3d_backward = _make_avg_pool(3)
lp_pool1d, lp_pool1d_backward = _make_lp_pool(1)
lp_pool2d, lp_pool2d_backward = _make_lp_pool(2)
lp_pool3d, lp_pool3d_backward = _make_lp_pool(3)
adaptive_avg_pool1d, adaptive_avg_pool1d_backward = _make_adaptive_avg_pool(1)
adaptive_avg_pool2d, adaptive_avg_pool2d_backward = _make_adaptive_avg_pool(2)
adaptive_avg_pool3d, adaptive_avg_pool3d_backward = _make_adaptive_avg_pool(3)
adaptive_max_pool1d, adaptive_max_pool1d_backward = _make_adaptive_max_pool(1)
adaptive_max_pool2d, adaptive_max_pool2d_backward = _make_adaptive_max_pool(2)
adaptive_max_pool3d, adaptive_max_pool3d_backward = _make_adaptive_max_pool(3)
global_avg_pool, global_avg_pool_backward = _make_global_avg_pool()
global_max_pool, global_max_pool_backward = _make_global_max_pool()
fractional_max_pool2d, fractional_max_pool2d_backward = _make_fractional_max_pool(2)
fractional_max_pool3d, fractional_max_pool3d_backward = _make_fractional_max_pool(3)
max_unpool1d, max_unpool1d_backward = _make_max_unpool(1)
max_unpool2d, max_unpool2d_backward = _make_max_unpool(2)
max_unpool3d, max_unpool3d_backward = _make_max_unpool(3)
channel_max_pool, channel_max_pool_backward = _make_channel_max_pool()
