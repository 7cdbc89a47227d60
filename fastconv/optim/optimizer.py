"""Gradient descent, with momentum or with adaptive steps. Updates are PyTorch's, term by term."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

import numpy as np

from fastconv.nn.module import Array, Parameter
from fastconv.optim.flat import Flat

_CHUNK = 32768  # elements: what an update reads and writes stays in the second-level cache between its passes


def _at_least_zero(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, got {value}")


def _below_one(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}")


class Optimizer:
    """Base: the parameters as one vector, the learning rate ``lr`` (change it at will), and vectors of state.

    ``step()`` reads every ``parameter.grad`` and changes every ``parameter.data``. Backward replaces gradients, so
    there is nothing to set to zero between steps. l1: after each step every weight moves ``lr * l1`` towards 0 and
    stops there (the proximal step of ISTA), so that weights become exactly 0.
    """

    def __init__(
        self, parameters: Iterable[Parameter], slots: tuple[str, ...], lr: float, weight_decay: float, l1: float
    ) -> None:
        _at_least_zero(lr=lr, weight_decay=weight_decay, l1=l1)
        self.lr, self.weight_decay, self.l1 = lr, weight_decay, l1
        self.flat = Flat(parameters)
        self.steps = 0
        self.state = {name: np.zeros_like(self.flat.data) for name in slots}
        length = min(_CHUNK, self.flat.data.size)
        self._scratch = [np.empty(length, self.flat.data.dtype) for _ in range(2)]
        vectors = [self.flat.data, self.flat.grad, *self.state.values()]
        starts = range(0, self.flat.data.size, _CHUNK)
        self._chunks = [[vector[start : start + _CHUNK] for vector in vectors] for start in starts]

    def step(self) -> None:
        self.flat.check()
        self.steps += 1
        for data, grad, *state in self._chunks:
            tmp, other = (scratch[: data.size] for scratch in self._scratch)
            self._update(data, grad, state, tmp, other)
            if self.l1:
                _shrink(data, self.lr * self.l1, tmp)

    def _update(self, data: Array, grad: Array, state: list[Array], tmp: Array, other: Array) -> None:
        """One step of a stretch of the vectors, with two stretches of scratch."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Set all gradients to 0. Only for those who add to ``parameter.grad`` themselves."""
        self.flat.grad[...] = 0

    def state_dict(self) -> dict[str, Array]:
        return {**self.state, "steps": np.array(self.steps), "lr": np.array(self.lr, np.float64)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Raises ValueError if ``state`` is another optimiser's or for other parameters."""
        expected = {name: array.shape for name, array in self.state_dict().items()}
        given = {name: np.shape(array) for name, array in state.items()}
        if expected != given:
            raise ValueError(f"state does not fit {type(self).__name__}: expected {expected}, got {given}")
        for name, array in self.state.items():
            array[...] = state[name]
        self.steps, self.lr = int(state["steps"]), float(state["lr"])


def _shrink(data: Array, amount: float, tmp: Array) -> None:
    """``sign(w) max(|w| - amount, 0)`` = ``w - clip(w, -amount, amount)``."""
    np.clip(data, -amount, amount, out=tmp)
    data -= tmp


class SGD(Optimizer):
    """``v = momentum v + g; w = w - lr v`` with ``g`` the gradient plus ``weight_decay w``.

    nesterov: the step is ``g + momentum v`` (Nesterov, 1983, in the form of Sutskever et al., 2013).
    weight_decay: the L2 penalty ``weight_decay / 2 * |w|^2``.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        l1: float = 0.0,
    ) -> None:
        _below_one(momentum=momentum)
        if nesterov and not momentum:
            raise ValueError("nesterov needs a momentum above 0, got 0")
        self.momentum, self.nesterov = momentum, nesterov
        super().__init__(parameters, ("momentum",) if momentum else (), lr, weight_decay, l1)

    def _update(self, data: Array, grad: Array, state: list[Array], tmp: Array, other: Array) -> None:
        if self.weight_decay:
            np.multiply(data, self.weight_decay, out=other)
            other += grad
            grad = other
        if not state:
            np.multiply(grad, self.lr, out=tmp)
        else:
            (velocity,) = state
            velocity *= self.momentum
            velocity += grad
            np.multiply(velocity, self.lr * (self.momentum if self.nesterov else 1), out=tmp)
            if self.nesterov:
                data -= tmp
                np.multiply(grad, self.lr, out=tmp)
        data -= tmp


class Adam(Optimizer):
    """Steps of ``m / (sqrt(v) + eps)``, the mean gradient over its root mean square (Kingma and Ba, 2015).

    ``m`` and ``v`` are running means of the gradient and its square with factors ``betas``, corrected for their start
    at 0. weight_decay is added to the gradient as in :class:`SGD`; see :class:`AdamW`.
    """

    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
    ) -> None:
        _below_one(**{"betas[0]": betas[0], "betas[1]": betas[1]})
        _at_least_zero(eps=eps)
        self.betas, self.eps = betas, eps
        super().__init__(parameters, ("mean", "square"), lr, weight_decay, l1)

    def _update(self, data: Array, grad: Array, state: list[Array], tmp: Array, other: Array) -> None:
        mean, square = state
        beta1, beta2 = self.betas
        if self.weight_decay and self.decoupled:
            data *= 1 - self.lr * self.weight_decay
        elif self.weight_decay:
            np.multiply(data, self.weight_decay, out=other)
            other += grad
            grad = other
        np.multiply(grad, grad, out=tmp)
        tmp *= 1 - beta2
        square *= beta2
        square += tmp
        np.multiply(grad, 1 - beta1, out=tmp)
        mean *= beta1
        mean += tmp
        np.sqrt(square, out=tmp)
        tmp *= 1 / math.sqrt(1 - beta2**self.steps)
        tmp += self.eps
        np.divide(mean, tmp, out=tmp)
        tmp *= self.lr / (1 - beta1**self.steps)
        data -= tmp


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights themselves and not the gradient (Loshchilov and Hutter, 2019)."""

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        l1: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay, l1=l1)


def _gradients(parameters: Iterable[Parameter]) -> Iterator[Array]:
    return (parameter.grad for parameter in parameters)


def clip_grad_norm_(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients together so that their common L2 norm is at most ``max_norm``. Returns the norm before."""
    _at_least_zero(max_norm=max_norm)
    grads = list(_gradients(parameters))
    norm = math.sqrt(sum(float(np.vdot(grad, grad)) for grad in grads))
    if norm > max_norm:
        for grad in grads:
            grad *= max_norm / norm
    return norm


def clip_grad_value_(parameters: Iterable[Parameter], clip_value: float) -> None:
    """Clip every element of every gradient to ``[-clip_value, clip_value]``."""
    _at_least_zero(clip_value=clip_value)
    for grad in _gradients(parameters):
        np.clip(grad, -clip_value, clip_value, out=grad)
