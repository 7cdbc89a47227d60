"""Layers made of layers: one after another, side by side, or around a short cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.checks import as_floats, check_kind
from fastconv.nn.activation import Dropout, ReLU
from fastconv.nn.conv import _Conv
from fastconv.nn.module import Array, Gradient, Module, as_grad
from fastconv.nn.norm import _BatchNorm


class _Step:
    """One layer, or a few that run as one.

    A ReLU is applied by the layer before it as it stores its result. Max pooling commutes with ReLU: where it follows,
    the ReLU's mask is taken from the pooled array, which is several times smaller than the convolution's output. The
    bias's gradient is summed as the mask is applied: max pooling moves gradients within a channel. Dropout works in the
    array that the step has made: what it silences has no gradient anyway.
    In inference a batch normalisation that follows a convolution is folded into its weights.
    """

    def __init__(
        self,
        head: Module,
        norm: _BatchNorm | None = None,
        relu: ReLU | None = None,
        pool: Module | None = None,
        dropout: Dropout | None = None,
    ) -> None:
        self.head, self.norm, self.relu, self.pool, self.dropout = head, norm, relu, pool, dropout
        sums = relu is not None and norm is None and (pool is None or pool.keeps_sums)
        self.bias = head.bias if isinstance(head, _Conv) and sums else None  # whose gradient ReLU's has summed
        self.has_parameters = bool(head.parameters()) or norm is not None

    def forward(self, x: Array) -> Array:
        activation = "relu" if self.relu is not None else None
        if self.norm is not None:
            x = self._forward_normed(x, activation)
        elif activation:
            x = self.head.forward(x, activation=activation)  # type: ignore[call-arg]
        else:
            x = self.head.forward(x)
        if self.pool is not None:
            x = self.pool.forward(x)
        if self.relu is not None:
            self.relu.accept(x)
        if self.dropout is not None:
            x = self.dropout.forward(x, in_place=True)
        return x

    def _forward_normed(self, x: Array, activation: str | None) -> Array:
        head, norm = self.head, self.norm
        assert norm is not None and isinstance(head, _Conv)
        if head.training or norm.training:
            return norm.forward(head.forward(x), activation)
        scale, shift = norm.scale_and_shift(norm.running_mean, norm.running_var)
        weight = head.weight.data * scale.reshape(-1, *(1,) * (head.nd + 1))
        bias = shift if head.bias is None else shift + head.bias.data * scale
        return head.apply(x, weight, bias, activation)

    def backward(self, grad: Gradient, need_input_grad: bool) -> Gradient:
        if self.dropout is not None:
            grad = self.dropout.backward(grad)
        known = self.bias is not None and grad.flags.c_contiguous
        if self.relu is not None:
            grad = self.relu.backward(grad, sums=self.bias.grad if known and self.bias else None)
        if self.pool is not None:
            grad = self.pool.backward(grad)
        if self.norm is not None:
            grad = self.norm.backward(grad)
        if known:
            return self.head.backward(grad, need_input_grad, need_bias_grad=False)  # type: ignore[call-arg]
        return self.head.backward(grad, need_input_grad)


def _plan(layers: tuple[Module, ...]) -> list[_Step]:
    """Group the layers into steps."""
    steps, rest = [], list(layers)
    while rest:
        head = rest.pop(0)
        norm = rest.pop(0) if isinstance(head, _Conv) and rest and isinstance(rest[0], _BatchNorm) else None
        fuses = head.fuses_relu and rest and type(rest[0]) is ReLU
        relu = rest.pop(0) if fuses else None
        pool = rest.pop(0) if relu is not None and rest and rest[0].keeps_order else None
        owned = head.fuses_relu  # such layers make their output, and do not look at it again
        dropout = rest.pop(0) if owned and rest and type(rest[0]) is Dropout else None
        steps.append(_Step(head, norm, relu, pool, dropout))  # type: ignore[arg-type]
    return steps


class Sequential(Module):
    """Layers one after another. Convolution, batch normalisation, ReLU, max pooling and dropout that follow each other
    run as one step where that saves a pass over memory; the results are those of the layers one by one.

    ``model[i]`` is a layer, ``model[i:j]`` a Sequential that shares the layers.
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            check_kind(f"layers[{i}]", layer, Module)
        self.layers = layers
        self.fused = True
        self._steps = _plan(layers)
        self._unfused = [_Step(layer) for layer in layers]

    def steps(self) -> list[_Step]:
        """What :meth:`forward` runs: the layers, some of them fused into one call."""
        return self._steps if self.fused else self._unfused

    def forward(self, x: Array) -> Array:
        for step in self.steps():
            x = step.forward(x)
        return x

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        """Without ``need_input_grad`` nothing is computed before the first layer that has weights."""
        grad, steps = as_floats("grad", grad), self.steps()
        first = 0
        if not need_input_grad:
            first = next((i for i, step in enumerate(steps) if step.has_parameters), len(steps))
        for i in range(len(steps) - 1, first - 1, -1):
            grad = steps[i].backward(grad, need_input_grad or i > first)
        return grad

    def children(self) -> Iterator[tuple[str, Module]]:
        return ((str(i), layer) for i, layer in enumerate(self.layers))

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __repr__(self) -> str:
        lines = [f"  ({name}): " + repr(layer).replace("\n", "\n  ") for name, layer in self.children()]
        return "Sequential(\n" + "\n".join(lines) + "\n)"


class Residual(Module):
    """``body(x) + shortcut(x)``; the short cut is the identity unless given (He et al., 2016).

    Raises ValueError if the two shapes differ.
    """

    def __init__(self, body: Module, shortcut: Module | None = None) -> None:
        check_kind("body", body, Module)
        if shortcut is not None:
            check_kind("shortcut", shortcut, Module)
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Array) -> Array:
        direct = x if self.shortcut is None else self.shortcut.forward(x)
        y = self.body.forward(x)
        if y.shape != direct.shape:
            raise ValueError(f"body gives shape {y.shape}, the short cut {direct.shape}: they must be equal")
        self._save(y.shape)
        return y + direct

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        grad = as_grad(grad, self._take_saved())
        direct = grad.copy()  # backward may overwrite what it is given
        if self.shortcut is not None:
            direct = self.shortcut.backward(direct, need_input_grad)
        through = self.body.backward(grad, need_input_grad)
        return direct + through if need_input_grad else None


class Concat(Module):
    """The outputs of several branches of one input, side by side along the channels (axis 1).

    The other sizes must agree. Raises ValueError if there is no branch.
    """

    def __init__(self, *branches: Module) -> None:
        if not branches:
            raise ValueError("branches must hold at least one module")
        for i, branch in enumerate(branches):
            check_kind(f"branches[{i}]", branch, Module)
        self.branches = branches

    def forward(self, x: Array) -> Array:
        outputs = [branch.forward(x) for branch in self.branches]
        if any(y.ndim < 2 for y in outputs):
            raise ValueError(f"branches must give (N, C, ...), got shapes {[y.shape for y in outputs]}")
        whole = np.concatenate(outputs, axis=1)
        self._save((np.cumsum([y.shape[1] for y in outputs])[:-1], whole.shape))
        return whole

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        ends, shape = self._take_saved()
        pieces = np.split(as_grad(grad, shape), ends, axis=1)
        grads = [
            branch.backward(np.ascontiguousarray(piece), need_input_grad)
            for branch, piece in zip(self.branches, pieces, strict=True)
        ]
        return sum(grads[1:], grads[0]) if need_input_grad else None

    def children(self) -> Iterator[tuple[str, Module]]:
        return ((str(i), branch) for i, branch in enumerate(self.branches))
