"""Gradient descent, with momentum or with adaptive steps. Updates are PyTorch's, term by term."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np

from fastconv import _core
from fastconv.checks import check_kind
from fastconv.nn.module import Array, Parameter, checked
from fastconv.optim.flat import Flat


def _at_least_zero(**values: float) -> None:
    for name, value in values.items():
        if not isinstance(value, (int, float, np.number)) or not value >= 0:
            raise ValueError(f"{name} must not be negative, got {value!r}")


def _below_one(**values: float) -> None:
    for name, value in values.items():
        if not isinstance(value, (int, float, np.number)) or not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value!r}")


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

    def step(self) -> None:
        """Change the parameters by their gradients. Raises RuntimeError if one was given another array since."""
        self.flat.check()
        self.steps += 1
        self._update(self.flat.data, self.flat.grad)
        if self.l1:
            amount = self.lr * self.l1
            self.flat.data -= np.clip(self.flat.data, -amount, amount)

    def _update(self, data: Array, grad: Array) -> None:
        """One step of all parameters."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Set all gradients to 0. Only for those who add to ``parameter.grad`` themselves."""
        self.flat.grad[...] = 0

    def state_dict(self) -> dict[str, Array]:
        """What a later run needs to go on as this one would."""
        return {**self.state, "steps": np.array(self.steps), "lr": np.array(self.lr, np.float64)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Raises ValueError if ``state`` is another optimiser's or for other parameters, TypeError if it is none."""
        check_kind("state", state, Mapping)
        expected = {name: array.shape for name, array in self.state_dict().items()}
        given = {name: np.shape(array) for name, array in state.items()}
        if expected != given:
            raise ValueError(f"state does not fit {type(self).__name__}: expected {expected}, got {given}")
        for name, array in self.state.items():
            array[...] = state[name]
        self.steps, self.lr = int(state["steps"]), float(state["lr"])


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

    def _update(self, data: Array, grad: Array) -> None:
        velocity = self.state.get("momentum")
        _core.sgd_step(data, grad, velocity, self.lr, self.momentum, self.weight_decay, self.nesterov)


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
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(f"betas must be two numbers, got {betas!r}")
        _below_one(**{"betas[0]": betas[0], "betas[1]": betas[1]})
        _at_least_zero(eps=eps)
        self.betas, self.eps = betas, eps
        super().__init__(parameters, ("mean", "square"), lr, weight_decay, l1)

    def _update(self, data: Array, grad: Array) -> None:
        beta1, beta2 = self.betas
        added, keep = (0.0, 1 - self.lr * self.weight_decay) if self.decoupled else (self.weight_decay, 1.0)
        rate = self.lr / (1 - beta1**self.steps)
        root = 1 / math.sqrt(1 - beta2**self.steps)
        mean, square = self.state["mean"], self.state["square"]
        _core.adam_step(data, grad, mean, square, beta1, beta2, self.eps, added, keep, rate, root)


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


def clip_grad_norm_(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients together so that their common L2 norm is at most ``max_norm``. Returns the norm before.

    Raises ValueError for a negative ``max_norm``.
    """
    _at_least_zero(max_norm=max_norm)
    grads = [parameter.grad for parameter in checked(parameters)]
    norm = math.sqrt(sum(float(np.vdot(grad, grad)) for grad in grads))
    if norm > max_norm:
        for grad in grads:
            grad *= max_norm / norm
    return norm


def clip_grad_value_(parameters: Iterable[Parameter], clip_value: float) -> None:
    """Clip every element of every gradient to ``[-clip_value, clip_value]``. Raises ValueError for a negative one."""
    _at_least_zero(clip_value=clip_value)
    for parameter in checked(parameters):
        np.clip(parameter.grad, -clip_value, clip_value, out=parameter.grad)
