"""The functions: PyTorch's names, arguments and defaults, on CPU tensors, differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fastconv.functional import _named
from fastconv.torch import convolution, resampling
from fastconv.torch.steps import Axes, Modes, Padding, joined, pads, per_axis

_SHARED = """
    padding, padding_mode, flip, activation, algorithm: as in :func:`fastconv.{base}`: also pairs and names, any mode in
        any amount without a padded copy, and an activation applied as the result is stored."""

_NOTE = """
    On CPU tensors of float32 or float64 with any strides; the result is contiguous. Differentiable twice and more. Uses
    ``torch.get_num_threads()`` threads. Raises TypeError for other devices and dtypes, ValueError for shapes or values
    that do not fit.
    """


def _make_conv(nd: int) -> Any:
    def conv(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Axes = 1,
        padding: Padding = 0,
        dilation: Axes = 1,
        groups: int = 1,
        *,
        padding_mode: Modes = "zeros",
        flip: bool = False,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> Tensor:
        steps, spread = per_axis(stride, nd, "stride"), per_axis(dilation, nd, "dilation")
        sides = pads(padding, input.shape[-nd:], weight.shape[-nd:], steps, spread)
        options = (steps, sides, spread, groups, joined(padding_mode), flip, algorithm, activation)
        result: Tensor = convolution.conv(input, weight, bias, *options)
        return result

    doc = f"""As ``torch.nn.functional.conv{nd}d``.
{_SHARED.format(base=f"conv{nd}d")}
{_NOTE}"""
    return _named(conv, f"conv{nd}d", doc)


def _make_conv_transpose(nd: int) -> Any:
    def conv_transpose(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
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
    ) -> Tensor:
        steps, spread = per_axis(stride, nd, "stride"), per_axis(dilation, nd, "dilation")
        extra, kernel = per_axis(output_padding, nd, "output_padding"), weight.shape[-nd:]
        grown = [n * step for n, step in zip(input.shape[-nd:], steps, strict=True)]  # what "same" pads for
        sides = pads(padding, grown, kernel, steps, spread)
        if padding in ("same", "same_lower"):
            if any(extra):
                raise ValueError(f"output_padding must be 0 with padding={padding!r}, got {output_padding!r}")
            extra = tuple(max(s - d * (k - 1) - 1, 0) for s, d, k in zip(steps, spread, kernel, strict=True))
        options = (extra, steps, sides, spread, groups, joined(padding_mode), flip, algorithm, activation)
        result: Tensor = convolution.conv_transpose(input, weight, bias, *options)
        return result

    doc = f"""As ``torch.nn.functional.conv_transpose{nd}d``.
{_SHARED.format(base=f"conv_transpose{nd}d")}
{_NOTE}"""
    return _named(conv_transpose, f"conv_transpose{nd}d", doc)


def _windows(
    input: Tensor, nd: int, kernel_size: Axes, stride: Axes | None, padding: Padding, dilation: Axes = 1
) -> tuple[Any, ...]:
    """kernel, stride, padding and dilation of a pool, one per axis. PyTorch lets an empty stride stand for None."""
    kernel, spread = per_axis(kernel_size, nd, "kernel_size"), per_axis(dilation, nd, "dilation")
    if stride is None or (isinstance(stride, list | tuple) and not stride):
        steps = kernel
    else:
        steps = per_axis(stride, nd, "stride")
    return kernel, steps, pads(padding, input.shape[-nd:], kernel, steps, spread), spread


def _make_max_pool(nd: int) -> Any:
    def max_pool(
        input: Tensor,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Padding = 0,
        dilation: Axes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        operator = resampling.max_pool_with_indices if return_indices else resampling.max_pool
        return operator(input, *_windows(input, nd, kernel_size, stride, padding, dilation), ceil_mode)

    doc = f"""As ``torch.nn.functional.max_pool{nd}d``; the padding may be larger than half a window.
{_NOTE}"""
    return _named(max_pool, f"max_pool{nd}d", doc)


def _make_avg_pool(nd: int) -> Any:
    def avg_pool(
        input: Tensor,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        *windows, _ = _windows(input, nd, kernel_size, stride, padding)
        result: Tensor = resampling.avg_pool(input, *windows, ceil_mode, count_include_pad, divisor_override)
        return result

    doc = f"""As ``torch.nn.functional.avg_pool{nd}d``.
{_NOTE}"""
    return _named(avg_pool, f"avg_pool{nd}d", doc)


def _make_lp_pool(nd: int) -> Any:
    def lp_pool(
        input: Tensor,
        norm_type: float,
        kernel_size: Axes,
        stride: Axes | None = None,
        ceil_mode: bool = False,
        *,
        mean: bool = False,
        padding: Padding = 0,
    ) -> Tensor:
        *windows, _ = _windows(input, nd, kernel_size, stride, padding)
        result: Tensor = resampling.lp_pool(input, float(norm_type), *windows, ceil_mode, mean)
        return result

    doc = f"""As ``torch.nn.functional.lp_pool{nd}d`` for an even norm_type; for others it takes magnitudes first.

    mean, padding: as in :func:`fastconv.lp_pool{nd}d`.
{_NOTE.replace("Differentiable twice and more.", "Differentiable once.")}"""
    return _named(lp_pool, f"lp_pool{nd}d", doc)


def _output_size(input: Tensor, nd: int, output_size: Any) -> tuple[int, ...]:
    """One size per axis; None keeps the input's."""
    sizes = (output_size,) * nd if output_size is None else per_axis(output_size, nd, "output_size")
    return tuple(n if size is None else size for n, size in zip(input.shape[-nd:], sizes, strict=True))


def _make_adaptive_max_pool(nd: int) -> Any:
    def adaptive_max_pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        operator = resampling.adaptive_max_pool_with_indices if return_indices else resampling.adaptive_max_pool
        return operator(input, _output_size(input, nd, output_size))

    doc = f"""As ``torch.nn.functional.adaptive_max_pool{nd}d``.
{_NOTE}"""
    return _named(adaptive_max_pool, f"adaptive_max_pool{nd}d", doc)


def _make_adaptive_avg_pool(nd: int) -> Any:
    def adaptive_avg_pool(input: Tensor, output_size: Any) -> Tensor:
        result: Tensor = resampling.adaptive_avg_pool(input, _output_size(input, nd, output_size))
        return result

    doc = f"""As ``torch.nn.functional.adaptive_avg_pool{nd}d``.
{_NOTE}"""
    return _named(adaptive_avg_pool, f"adaptive_avg_pool{nd}d", doc)


def _make_fractional_max_pool(nd: int) -> Any:
    def fractional_max_pool(
        input: Tensor,
        kernel_size: Axes,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Any:
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"one of output_size and output_ratio is needed, got {output_size!r} and {output_ratio!r}")
        if output_ratio is not None:
            ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * nd
            output_size = [int(n * ratio) for n, ratio in zip(input.shape[-nd:], ratios, strict=True)]
        if _random_samples is None:
            lead = (1, *input.shape[:-nd])[-2:]
            _random_samples = torch.rand((*lead, nd), dtype=input.dtype, device=input.device)
        kernel, size = per_axis(kernel_size, nd, "kernel_size"), _output_size(input, nd, output_size)
        output, indices = resampling.fractional_max_pool(input, _random_samples, kernel, size)
        return (output, indices) if return_indices else output

    doc = f"""As ``torch.nn.functional.fractional_max_pool{nd}d``; the samples come from PyTorch's random generator.
{_NOTE}"""
    return _named(fractional_max_pool, f"fractional_max_pool{nd}d", doc)


def _make_max_unpool(nd: int) -> Any:
    def max_unpool(
        input: Tensor,
        indices: Tensor,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Axes = 0,
        output_size: Sequence[int] | None = None,
    ) -> Tensor:
        kernel, steps, _, _ = _windows(input, nd, kernel_size, stride, 0)
        edges = per_axis(padding, nd, "padding")
        usual = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(input.shape[-nd:], steps, kernel, edges, strict=True)]
        size = usual if output_size is None else tuple(output_size)[-nd:]
        result: Tensor = resampling.max_unpool(input, indices, kernel, steps, edges, size)
        return result

    doc = f"""As ``torch.nn.functional.max_unpool{nd}d``.
{_NOTE}"""
    return _named(max_unpool, f"max_unpool{nd}d", doc)


def channel_max_pool(input: Tensor, pieces: int, return_indices: bool = False, *, dims: int | None = None) -> Any:
    """Maxout: output channel c is the maximum of input channels ``c * pieces`` and on.

    See :func:`fastconv.channel_max_pool`.

    input: ``(N, C, *spatial)``, or ``(C, *spatial)`` with ``dims``, the number of spatial axes, given.
    """
    operator = resampling.channel_max_pool_with_indices if return_indices else resampling.channel_max_pool
    return operator(input, pieces, input.dim() - 2 if dims is None else dims)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """As ``torch.nn.functional.pad``, in any amount; also mode ``"symmetric"``. See :func:`fastconv.pad`."""
    if not hasattr(pad, "__iter__"):
        raise TypeError(f"pad must be a flat sequence of (before, after) amounts, last axis first, got {pad!r}")
    result: Tensor = resampling.pad(input, tuple(pad), mode, 0.0 if value is None else float(value))
    return result


def unfold(
    input: Tensor,
    kernel_size: Axes,
    dilation: Axes = 1,
    padding: Padding = 0,
    stride: Axes = 1,
    *,
    padding_mode: Modes = "zeros",
) -> Tensor:
    """As ``torch.nn.functional.unfold``; the kernel may have one to three sizes. See :func:`fastconv.unfold`."""
    nd = len(kernel_size) if isinstance(kernel_size, Sequence) else 2
    kernel, steps, sides, spread = _windows(input, nd, kernel_size, stride, padding, dilation)
    result: Tensor = resampling.unfold(input, kernel, spread, sides, steps, joined(padding_mode))
    return result


def fold(
    input: Tensor,
    output_size: Axes,
    kernel_size: Axes,
    dilation: Axes = 1,
    padding: Padding = 0,
    stride: Axes = 1,
    *,
    padding_mode: Modes = "zeros",
) -> Tensor:
    """As ``torch.nn.functional.fold``; the output may have one to three axes. See :func:`fastconv.fold`."""
    given = [len(size) for size in (output_size, kernel_size) if isinstance(size, Sequence)]
    nd = given[0] if given else 2
    sizes = per_axis(output_size, nd, "output_size")
    kernel, steps, spread = (
        per_axis(value, nd, name)
        for value, name in ((kernel_size, "kernel_size"), (stride, "stride"), (dilation, "dilation"))
    )
    sides = pads(padding, sizes, kernel, steps, spread)
    result: Tensor = resampling.fold(input, sizes, kernel, spread, sides, steps, joined(padding_mode))
    return result


conv1d, conv2d, conv3d = map(_make_conv, (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = map(_make_conv_transpose, (1, 2, 3))
max_pool1d, max_pool2d, max_pool3d = map(_make_max_pool, (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = map(_make_avg_pool, (1, 2, 3))
lp_pool1d, lp_pool2d, lp_pool3d = map(_make_lp_pool, (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = map(_make_adaptive_max_pool, (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = map(_make_adaptive_avg_pool, (1, 2, 3))
fractional_max_pool2d, fractional_max_pool3d = map(_make_fractional_max_pool, (2, 3))
max_unpool1d, max_unpool2d, max_unpool3d = map(_make_max_unpool, (1, 2, 3))
