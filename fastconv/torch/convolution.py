"""The operators of convolution. Each is linear in each of its tensors, so that each one's gradient is the others.

Steps, which follow the tensors and sizes: stride, padding as ``(before, after)`` of each axis, dilation, groups,
padding modes as one text, flip, algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fastconv import _core
from fastconv.functional import Array
from fastconv.torch.operator import Operator
from fastconv.torch.steps import pairs, positions, split
from fastconv.torch.tensors import as_array, as_tensor

_STEPS = (
    "SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups, str padding_mode, bool flip, str algorithm"
)
_STEP_COUNT = 7


def _core_steps(steps: tuple[Any, ...]) -> tuple[Any, ...]:
    """The steps but for the algorithm, which the core takes last."""
    stride, padding, dilation, groups, padding_mode, flip, _ = steps
    return stride, pairs(padding), dilation, groups, split(padding_mode), flip


def _operands(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Array, Array, Array | None]:
    return as_array(x, "input"), as_array(weight, "weight"), None if bias is None else as_array(bias, "bias")


def _spatial(x: Tensor, steps: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(x.shape[x.dim() - len(steps[0]) :])


def _bias_gradient(grad: Tensor, nd: int) -> Tensor:
    channels = grad.dim() - nd - 1
    return grad.sum([axis for axis in range(grad.dim()) if axis != channels])


def _activation_gradient(name: str, grad: Tensor, output: Tensor) -> Tensor:
    """The gradient before the activation, from what came behind it."""
    if name == "relu":
        return grad * (output > 0)
    if name == "leaky_relu":
        return torch.where(output > 0, grad, 0.01 * grad)
    if name == "relu6":
        return grad * ((output > 0) & (output < 6))
    if name == "elu":
        return torch.where(output > 0, grad, grad * (output + 1))
    if name == "sigmoid":
        return grad * output * (1 - output)
    return grad * (1 - output * output)  # tanh


def _keep(
    ctx: Any,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    output: Tensor,
    steps: tuple[Any, ...],
    activation: str | None,
) -> None:
    """What the gradients that are wanted will need, and no more."""
    needs_input, needs_weight, *_ = ctx.needs_input_grad
    kept = (x if needs_weight else None, weight if needs_input else None, output if activation else None)
    ctx.save_for_backward(*kept)
    ctx.spatial, ctx.kernel = _spatial(x, steps), tuple(weight.shape[2:])
    ctx.steps, ctx.activation = steps, activation


def _before_activation(ctx: Any, grad: Tensor, output: Tensor | None) -> Tensor:
    return grad if output is None else _activation_gradient(ctx.activation, grad, output)


# Convolution: (input, weight, bias, *steps, activation)


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    *steps, activation = rest
    options = *_core_steps(tuple(steps)), activation, steps[-1]
    return as_tensor(_core.conv_forward(len(steps[0]), *_operands(x, weight, bias), *options, None))


def _conv_fake(x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    steps = rest[:_STEP_COUNT]
    stride, padding, dilation = steps[:3]
    lead = x.shape[: x.dim() - len(stride) - 1]
    sizes = positions(_spatial(x, steps), weight.shape[2:], stride, padding, dilation)
    return x.new_empty((*lead, weight.shape[0], *sizes))


def _conv_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, *steps, activation = inputs
    _keep(ctx, x, weight, bias, output, tuple(steps), activation)


def _conv_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, weight, output = ctx.saved_tensors
    grad = _before_activation(ctx, grad, output)
    needs_input, needs_weight, needs_bias, *others = ctx.needs_input_grad
    return (
        conv_grad_input(grad, weight, ctx.spatial, *ctx.steps) if needs_input else None,
        conv_grad_weight(grad, x, ctx.kernel, *ctx.steps) if needs_weight else None,
        _bias_gradient(grad, len(ctx.spatial)) if needs_bias else None,
        *[None] * len(others),
    )


conv = Operator(
    f"conv(Tensor input, Tensor weight, Tensor? bias, {_STEPS}, str? activation) -> Tensor",
    _conv,
    _conv_fake,
    _conv_setup,
    _conv_backward,
)


# Its gradients, which are bilinear: (grad_output, weight, input's spatial sizes, *steps) and
# (grad_output, input, kernel sizes, *steps)


def _keep_factors(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, factor, _, *steps = inputs
    ctx.save_for_backward(grad, factor)
    ctx.steps = tuple(steps)


def _conv_grad_input(grad: Tensor, weight: Tensor, spatial: Sequence[int], *steps: Any) -> Tensor:
    arrays = as_array(grad, "grad_output"), as_array(weight, "weight")
    return as_tensor(_core.conv_grad_input(len(spatial), *arrays, spatial, *_core_steps(steps), steps[-1], None))


def _conv_grad_input_fake(grad: Tensor, weight: Tensor, spatial: Sequence[int], *steps: Any) -> Tensor:
    lead = grad.shape[: grad.dim() - len(spatial) - 1]
    return grad.new_empty((*lead, weight.shape[1] * steps[3], *spatial))


def _conv_grad_input_backward(ctx: Any, upper: Tensor) -> tuple[Any, ...]:
    grad, weight = ctx.saved_tensors
    needs_grad, needs_weight, *others = ctx.needs_input_grad
    return (
        conv(upper, weight, None, *ctx.steps, None) if needs_grad else None,
        conv_grad_weight(grad, upper, tuple(weight.shape[2:]), *ctx.steps) if needs_weight else None,
        *[None] * len(others),
    )


conv_grad_input = Operator(
    f"conv_grad_input(Tensor grad_output, Tensor weight, SymInt[] input_size, {_STEPS}) -> Tensor",
    _conv_grad_input,
    _conv_grad_input_fake,
    _keep_factors,
    _conv_grad_input_backward,
)


def _conv_grad_weight(grad: Tensor, x: Tensor, kernel: Sequence[int], *steps: Any) -> Tensor:
    arrays = as_array(grad, "grad_output"), as_array(x, "input")
    return as_tensor(_core.conv_grad_weight(len(kernel), *arrays, kernel, *_core_steps(steps), steps[-1], None))


def _conv_grad_weight_fake(grad: Tensor, x: Tensor, kernel: Sequence[int], *steps: Any) -> Tensor:
    channels = -len(kernel) - 1
    return grad.new_empty((grad.shape[channels], x.shape[channels] // steps[3], *kernel))


def _conv_grad_weight_backward(ctx: Any, upper: Tensor) -> tuple[Any, ...]:
    grad, x = ctx.saved_tensors
    needs_grad, needs_input, *others = ctx.needs_input_grad
    return (
        conv(x, upper, None, *ctx.steps, None) if needs_grad else None,
        conv_grad_input(grad, upper, _spatial(x, ctx.steps), *ctx.steps) if needs_input else None,
        *[None] * len(others),
    )


conv_grad_weight = Operator(
    f"conv_grad_weight(Tensor grad_output, Tensor input, SymInt[] kernel_size, {_STEPS}) -> Tensor",
    _conv_grad_weight,
    _conv_grad_weight_fake,
    _keep_factors,
    _conv_grad_weight_backward,
)


# Transposed convolution, the input gradient with a bias: (input, weight, bias, output_padding, *steps, activation)


def _conv_transpose(
    x: Tensor, weight: Tensor, bias: Tensor | None, output_padding: Sequence[int], *rest: Any
) -> Tensor:
    *steps, activation = rest
    stride, padding, dilation, groups, padding_mode, flip = _core_steps(tuple(steps))
    options = stride, padding, output_padding, groups, dilation, padding_mode, flip, activation, steps[-1]
    return as_tensor(_core.conv_transpose(len(stride), *_operands(x, weight, bias), *options, None))


def _conv_transpose_fake(
    x: Tensor, weight: Tensor, bias: Tensor | None, output_padding: Sequence[int], *rest: Any
) -> Tensor:
    stride, padding, dilation, groups = rest[:4]
    lead = x.shape[: x.dim() - len(stride) - 1]
    sizes = [
        (n - 1) * s - padding[2 * i] - padding[2 * i + 1] + d * (k - 1) + extra + 1
        for i, (n, s, d, k, extra) in enumerate(
            zip(_spatial(x, rest), stride, dilation, weight.shape[2:], output_padding, strict=True)
        )
    ]
    return x.new_empty((*lead, weight.shape[1] * groups, *sizes))


def _conv_transpose_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, output_padding, *steps, activation = inputs
    _keep(ctx, x, weight, bias, output, tuple(steps), activation)
    ctx.output_padding = output_padding


def _lengthened(x: Tensor, by: Sequence[int]) -> Tensor:
    """The spatial axes with zeros behind them, or shortened where the amount is negative."""
    return torch.nn.functional.pad(x, [end for n in reversed(by) for end in (0, n)]) if any(by) else x


def _conv_transpose_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, weight, output = ctx.saved_tensors
    grad = _before_activation(ctx, grad, output)
    # With an output_padding of a stride or more the output has room for more inputs than there are.
    more = [extra // step for extra, step in zip(ctx.output_padding, ctx.steps[0], strict=True)]
    needs_input, needs_weight, needs_bias, *others = ctx.needs_input_grad
    return (
        _lengthened(conv(grad, weight, None, *ctx.steps, None), [-n for n in more]) if needs_input else None,
        conv_grad_weight(_lengthened(x, more), grad, ctx.kernel, *ctx.steps) if needs_weight else None,
        _bias_gradient(grad, len(ctx.spatial)) if needs_bias else None,
        *[None] * len(others),
    )


conv_transpose = Operator(
    "conv_transpose(Tensor input, Tensor weight, Tensor? bias, SymInt[] output_padding, "
    f"{_STEPS}, str? activation) -> Tensor",
    _conv_transpose,
    _conv_transpose_fake,
    _conv_transpose_setup,
    _conv_transpose_backward,
)
