"""Learning rates that change from epoch to epoch: call ``schedule.step()`` after each."""

from __future__ import annotations

import math

from fastconv.checks import check_kind, check_numbers, check_whole
from fastconv.optim.optimizer import Optimizer


class Schedule:
    """Sets ``optimizer.lr`` to ``rate(epoch)``; the rate it finds there at first is the base."""

    def __init__(self, optimizer: Optimizer) -> None:
        check_kind("optimizer", optimizer, Optimizer)
        self.optimizer = optimizer
        self.base_lr = optimizer.lr
        self.epoch = 0

    def rate(self, epoch: int) -> float:
        """The learning rate after ``epoch`` epochs."""
        raise NotImplementedError

    def step(self) -> None:
        """One epoch on."""
        self.go_to(self.epoch + 1)

    def go_to(self, epoch: int) -> None:
        """As after ``epoch`` steps."""
        check_whole(0, epoch=epoch)
        self.epoch = epoch
        self.optimizer.lr = self.rate(epoch)


class StepLR(Schedule):
    """Times ``gamma`` every ``step_size`` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        check_whole(1, step_size=step_size)
        check_numbers(gamma=gamma)
        super().__init__(optimizer)
        self.step_size, self.gamma = step_size, gamma

    def rate(self, epoch: int) -> float:
        return self.base_lr * self.gamma ** (epoch // self.step_size)


class CosineAnnealingLR(Schedule):
    """Half a cosine from the base rate down to ``eta_min`` in ``T_max`` epochs (Loshchilov and Hutter, 2017), and no
    way up again, as PyTorch's has."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        check_whole(1, T_max=T_max)
        check_numbers(eta_min=eta_min)
        super().__init__(optimizer)
        self.T_max, self.eta_min = T_max, eta_min

    def rate(self, epoch: int) -> float:
        phase = math.pi * min(epoch, self.T_max) / self.T_max
        return self.eta_min + (self.base_lr - self.eta_min) * (1 + math.cos(phase)) / 2
