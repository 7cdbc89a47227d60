"""The operators that move or choose elements: pools, padding, windows.

Linear ones come in pairs, an operator and its adjoint, each the other's gradient. Maxima come in threes: the largest
elements, the same with their indices, and the gradient, which finds the winners again (less memory than indices).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fastconv import _core
from fastconv.functional import Array
from fastconv.torch.operator import Operator
from fastconv.torch.steps import pairs, positions, split
from fastconv.torch.tensors import as_array, as_tensor, shaped_like

Options = tuple[Any, ...]


def _resized(x: Tensor, sizes: Sequence[int]) -> Tensor:
    return x.new_empty((*x.shape[: x.dim() - len(sizes)], *sizes))


def _last(x: Tensor, nd: int) -> tuple[int, ...]:
    return tuple(x.shape[x.dim() - nd :])


def _keep_input(ctx: Any, inputs: Options, output: Any) -> None:
    x, *options = inputs
    ctx.save_for_backward(x)
    ctx.options = tuple(options)


def _adjoint_pair(
    name: str,
    options: str,
    nd: Callable[..., int],
    forward: Callable[..., Array],
    adjoint: Callable[..., Array],
    shape: Callable[..., Tensor],
    adjoint_shape: Callable[..., Tensor] = lambda grad, sizes, *options: _resized(grad, sizes),
    of_derivative: Callable[[Options], Options] = lambda options: options,
) -> tuple[Operator, Operator]:
    """An affine operator of one tensor and the adjoint of its linear part.

    options: the arguments behind the tensor, in the schema's language; nd(*options): how many last axes change.
    forward(input, *options); adjoint(grad_output, input's last sizes, *options): on arrays.
    shape, adjoint_shape: empty tensors like the results. of_derivative: the options of the linear part.
    """

    def compute(x: Tensor, *options: Any) -> Tensor:
        return as_tensor(forward(as_array(x, "input"), *options))

    def setup(ctx: Any, inputs: Options, output: Tensor) -> None:
        x, *options = inputs
        ctx.options, ctx.sizes = tuple(options), _last(x, nd(*options))

    def backward(ctx: Any, grad: Tensor) -> Options:
        return (transposed(grad, ctx.sizes, *ctx.options), *[None] * len(ctx.options))

    def compute_adjoint(grad: Tensor, sizes: Sequence[int], *options: Any) -> Tensor:
        return as_tensor(adjoint(as_array(grad, "grad_output"), tuple(sizes), *options))

    def setup_adjoint(ctx: Any, inputs: Options, output: Tensor) -> None:
        ctx.options = tuple(inputs[2:])

    def backward_adjoint(ctx: Any, upper: Tensor) -> Options:
        return (straight(upper, *of_derivative(ctx.options)), None, *[None] * len(ctx.options))

    straight = Operator(f"{name}(Tensor input, {options}) -> Tensor", compute, shape, setup, backward)
    transposed = Operator(
        f"{name}_backward(Tensor grad_output, SymInt[] sizes, {options}) -> Tensor",
        compute_adjoint,
        adjoint_shape,
        setup_adjoint,
        backward_adjoint,
    )
    return straight, transposed


def _largest(
    name: str,
    options: str,
    nd: Callable[..., int],
    forward: Callable[..., Any],
    gradient: Callable[..., Array],
    shape: Callable[..., Tensor],
    gather: Callable[[Tensor, Tensor, int], Tensor],
) -> tuple[Operator, Operator]:
    """The operator of largest elements and the one that returns ``(output, indices)``.

    options, nd, shape: as above. forward(input, return_indices, *options), gradient(grad_output, input, *options): on
    arrays. gather(x, indices, nd): the elements of x at the indices, for the gradient's gradient.
    """

    def compute(x: Tensor, *options: Any) -> Tensor:
        return as_tensor(forward(as_array(x, "input"), False, *options))

    def compute_with_indices(x: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
        output, indices = forward(as_array(x, "input"), True, *options)
        return as_tensor(output), as_tensor(indices)

    def shape_with_indices(x: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
        output = shape(x, *options)
        return output, torch.empty_like(output, dtype=torch.int64)

    def setup_with_indices(ctx: Any, inputs: Options, output: tuple[Tensor, Tensor]) -> None:
        _keep_input(ctx, inputs, output)
        ctx.mark_non_differentiable(output[1])

    def backward(ctx: Any, grad: Tensor, _: Any = None) -> Options:
        (x,) = ctx.saved_tensors
        return (spread(grad, x, *ctx.options), *[None] * len(ctx.options))

    def compute_gradient(grad: Tensor, x: Tensor, *options: Any) -> Tensor:
        return as_tensor(gradient(as_array(grad, "grad_output"), as_array(x, "input"), *options))

    def setup_gradient(ctx: Any, inputs: Options, output: Tensor) -> None:
        _keep_input(ctx, inputs[1:], output)

    def backward_gradient(ctx: Any, upper: Tensor) -> Options:
        (x,) = ctx.saved_tensors
        _, indices = indexed(x.detach(), *ctx.options)
        return (gather(upper, indices, nd(*ctx.options)), None, *[None] * len(ctx.options))

    plain = Operator(f"{name}(Tensor input, {options}) -> Tensor", compute, shape, _keep_input, backward)
    indexed = Operator(
        f"{name}_with_indices(Tensor input, {options}) -> (Tensor, Tensor)",
        compute_with_indices,
        shape_with_indices,
        setup_with_indices,
        backward,
    )
    spread = Operator(
        f"{name}_backward(Tensor grad_output, Tensor input, {options}) -> Tensor",
        compute_gradient,
        lambda grad, x, *options: x.new_empty(x.shape),
        setup_gradient,
        backward_gradient,
    )
    return plain, indexed


def _gather_flat(x: Tensor, indices: Tensor, nd: int) -> Tensor:
    """Elements at flat positions in the last ``nd`` axes."""
    return x.flatten(-nd).gather(-1, indices.flatten(-nd)).reshape(indices.shape)


def _gather_channels(x: Tensor, indices: Tensor, nd: int) -> Tensor:
    return x.gather(x.dim() - nd, indices)


def _axes_of_first(first: Sequence[int], *_: Any) -> int:
    return len(first)


_WINDOWS = "SymInt[] kernel_size, SymInt[] stride, SymInt[] padding"


# Options of the core's calls, from ours


def _max_options(kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Options:
    return kernel, stride, pairs(padding), dilation, ceil_mode


def _avg_options(kernel: Any, stride: Any, padding: Any, ceil_mode: bool, count: bool, divisor: Any) -> Options:
    return kernel, stride, pairs(padding), ceil_mode, count, divisor


def _unfold_options(kernel: Any, dilation: Any, padding: Any, stride: Any, padding_mode: str) -> Options:
    return kernel, dilation, pairs(padding), stride, split(padding_mode)


# Maxima

max_pool, max_pool_with_indices = _largest(
    "max_pool",
    f"{_WINDOWS}, SymInt[] dilation, bool ceil_mode",
    _axes_of_first,
    lambda x, indices, *o: _core.max_pool(len(o[0]), x, *_max_options(*o), indices, None),
    lambda g, x, *o: _core.max_pool_backward(len(o[0]), g, x, *_max_options(*o), None, None),
    lambda x, kernel, *o: _resized(x, positions(_last(x, len(kernel)), kernel, *o)),
    _gather_flat,
)

adaptive_max_pool, adaptive_max_pool_with_indices = _largest(
    "adaptive_max_pool",
    "SymInt[] output_size",
    _axes_of_first,
    lambda x, indices, size: _core.adaptive_max_pool(len(size), x, size, indices, None),
    lambda g, x, size: _core.adaptive_max_pool_backward(len(size), g, x, size, None, None),
    _resized,
    _gather_flat,
)

channel_max_pool, channel_max_pool_with_indices = _largest(
    "channel_max_pool",
    "SymInt pieces, SymInt axes",
    lambda pieces, nd: nd + 1,
    lambda x, indices, pieces, nd: _core.channel_max_pool(nd, x, pieces, indices, None),
    lambda g, x, pieces, nd: _core.channel_max_pool_backward(nd, g, x, pieces, None, None),
    lambda x, pieces, nd: _resized(x, (x.shape[x.dim() - nd - 1] // pieces, *_last(x, nd))),
    _gather_channels,
)


# Linear


def _windowed(x: Tensor, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> Tensor:
    return _resized(x, positions(_last(x, len(kernel)), kernel, stride, padding, (1,) * len(kernel), ceil_mode))


avg_pool, _ = _adjoint_pair(
    "avg_pool",
    f"{_WINDOWS}, bool ceil_mode, bool count_include_pad, SymInt? divisor_override",
    _axes_of_first,
    lambda x, *o: _core.avg_pool(len(o[0]), x, *_avg_options(*o), None),
    lambda g, sizes, *o: _core.avg_pool_backward(len(sizes), g, shaped_like(g, sizes), *_avg_options(*o), None),
    lambda x, *o: _windowed(x, *o[:4]),
)

adaptive_avg_pool, _ = _adjoint_pair(
    "adaptive_avg_pool",
    "SymInt[] output_size",
    _axes_of_first,
    lambda x, size: _core.adaptive_avg_pool(len(size), x, size, None),
    lambda g, sizes, size: _core.adaptive_avg_pool_backward(len(size), g, shaped_like(g, sizes), size, None),
    _resized,
)


def _padded(x: Tensor, amounts: Sequence[int], *_: Any) -> Tensor:
    before, after = amounts[-2::-2], amounts[::-2]  # the last axis comes first
    sizes = _last(x, len(before))
    return _resized(x, [n + b + a for n, b, a in zip(sizes, before, after, strict=True)])


def _pad_backward(grad: Array, sizes: Sequence[int], amounts: Sequence[int], mode: str, _: float) -> Array:
    shape = (*grad.shape[: grad.ndim - len(sizes)], *sizes)
    return _core.pad_backward(grad, shape, amounts, mode, None)


pad, _ = _adjoint_pair(
    "pad",
    "SymInt[] pad, str mode, float value",
    lambda amounts, *_: len(amounts) // 2,
    lambda x, amounts, mode, value: _core.pad(x, amounts, mode, value, None),
    _pad_backward,
    _padded,
    of_derivative=lambda options: (*options[:2], 0.0),
)


def _unfolded(x: Tensor, kernel: Any, dilation: Any, padding: Any, stride: Any, _: str) -> Tensor:
    nd = len(kernel)
    columns = math.prod(positions(_last(x, nd), kernel, stride, padding, dilation))
    channels = x.dim() - nd - 1
    return x.new_empty((*x.shape[:channels], x.shape[channels] * math.prod(kernel), columns))


def _folded(columns: Tensor, sizes: Sequence[int], kernel: Any, *_: Any) -> Tensor:
    return columns.new_empty((*columns.shape[:-2], columns.shape[-2] // math.prod(kernel), *sizes))


def _fold(columns: Array, sizes: Sequence[int], *o: Any) -> Array:
    return _core.fold(len(sizes), columns, sizes, *_unfold_options(*o), None)


unfold, fold = _adjoint_pair(
    "unfold",
    "SymInt[] kernel_size, SymInt[] dilation, SymInt[] padding, SymInt[] stride, str padding_mode",
    _axes_of_first,
    lambda x, *o: _core.unfold(len(o[0]), x, *_unfold_options(*o), None),
    _fold,
    _unfolded,
    _folded,
)


# Neither linear nor a maximum of regular windows


def _lp_shape(x: Tensor, norm: float, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, mean: bool) -> Tensor:
    return _windowed(x, kernel, stride, padding, ceil_mode)


def _lp_options(norm: float, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, mean: bool) -> Options:
    return norm, kernel, stride, ceil_mode, mean, pairs(padding), None


def _lp_pool(x: Tensor, *o: Any) -> Tensor:
    return as_tensor(_core.lp_pool(len(o[1]), as_array(x, "input"), *_lp_options(*o)))


def _lp_pool_backward(grad: Tensor, x: Tensor, *o: Any) -> Tensor:
    arrays = as_array(grad, "grad_output"), as_array(x, "input")
    return as_tensor(_core.lp_pool_backward(len(o[1]), *arrays, *_lp_options(*o)))


def _lp_gradient(ctx: Any, grad: Tensor) -> Options:
    (x,) = ctx.saved_tensors
    return (_lp_spread(grad, x, *ctx.options), *[None] * len(ctx.options))


def _no_second_derivative(ctx: Any, upper: Tensor) -> Options:
    raise NotImplementedError("fastconv.torch: lp_pool has no second derivative")


_LP = f"float norm_type, {_WINDOWS}, bool ceil_mode, bool mean"
lp_pool = Operator(f"lp_pool(Tensor input, {_LP}) -> Tensor", _lp_pool, _lp_shape, _keep_input, _lp_gradient)
_lp_spread = Operator(
    f"lp_pool_backward(Tensor grad_output, Tensor input, {_LP}) -> Tensor",
    _lp_pool_backward,
    lambda grad, x, *o: x.new_empty(x.shape),
    lambda ctx, inputs, output: None,
    _no_second_derivative,
)


def _fractional(x: Tensor, samples: Tensor, kernel: Any, size: Any) -> tuple[Tensor, Tensor]:
    arrays = as_array(x, "input"), kernel, size, as_array(samples, "_random_samples")
    output, indices = _core.fractional_max_pool(len(size), *arrays, True, None)
    return as_tensor(output), as_tensor(indices)


def _fractional_shape(x: Tensor, samples: Tensor, kernel: Any, size: Any) -> tuple[Tensor, Tensor]:
    output = _resized(x, size)
    return output, torch.empty_like(output, dtype=torch.int64)


def _keep_indices(ctx: Any, inputs: Options, output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.sizes = _last(inputs[0], len(inputs[3]))


def _fractional_gradient(ctx: Any, grad: Tensor, _: Any) -> Options:
    (indices,) = ctx.saved_tensors
    return _scatter_flat(grad, indices, ctx.sizes), None, None, None


def _scatter_flat(grad: Tensor, indices: Tensor, sizes: Sequence[int]) -> Tensor:
    nd = len(sizes)
    lead = grad.shape[: grad.dim() - nd]
    flat = grad.new_zeros((*lead, math.prod(sizes)))
    return flat.scatter_add(-1, indices.flatten(-nd), grad.flatten(-nd)).reshape((*lead, *sizes))


fractional_max_pool = Operator(
    "fractional_max_pool(Tensor input, Tensor samples, SymInt[] kernel_size, SymInt[] output_size) -> (Tensor, Tensor)",
    _fractional,
    _fractional_shape,
    _keep_indices,
    _fractional_gradient,
)


def _unpool(x: Tensor, indices: Tensor, kernel: Any, stride: Any, padding: Any, size: Any) -> Tensor:
    arrays = as_array(x, "input"), as_array(indices, "indices")
    return as_tensor(_core.max_unpool(len(size), *arrays, kernel, stride, padding, size, None))


def _unpool_setup(ctx: Any, inputs: Options, output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.nd = len(inputs[2])


def _unpool_gradient(ctx: Any, grad: Tensor) -> Options:
    (indices,) = ctx.saved_tensors
    return _gather_flat(grad, indices, ctx.nd), *[None] * 5


max_unpool = Operator(
    f"max_unpool(Tensor input, Tensor indices, {_WINDOWS}, SymInt[] output_size) -> Tensor",
    _unpool,
    lambda x, indices, kernel, stride, padding, size: _resized(x, size),
    _unpool_setup,
    _unpool_gradient,
)
