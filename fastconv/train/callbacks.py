"""Things to do after each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv.nn.module import Array, Module
from fastconv.optim.optimizer import Optimizer
from fastconv.train.history import History, lower_is_better


@dataclass
class Run:
    """What a callback sees, and may change. Set ``stop`` to a reason to end after this epoch."""

    model: Module
    optimizer: Optimizer
    history: History
    stop: str | None = None


class Callback:
    """Base: override what you need. The state is what a checkpoint must keep for a run to resume as if never cut."""

    def on_epoch_end(self, run: Run) -> None:
        """After an epoch is in ``run.history``."""

    def on_train_end(self, run: Run) -> None:
        """After the last epoch, also when stopped or interrupted."""

    def state_dict(self) -> dict[str, Array]:
        """What a checkpoint keeps of this callback."""
        return {}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take back what :meth:`state_dict` gave."""


class EarlyStopping(Callback):
    """Stop when ``monitor`` has not improved by ``min_delta`` for ``patience`` epochs, and go back to the best weights.

    monitor: a column of the history; less is better if it ends in "loss" or "error", more otherwise.
    """

    def __init__(self, monitor: str = "valid_loss", patience: int = 5, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1, got {patience}")
        if not min_delta >= 0:
            raise ValueError(f"min_delta must not be negative, got {min_delta}")
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        self.best_value = float("inf")
        self.waited = 0
        self.best_weights: dict[str, Array] = {}

    def on_epoch_end(self, run: Run) -> None:
        if self.monitor not in run.history.names:
            raise ValueError(f"monitor {self.monitor!r} is not in the history: {', '.join(run.history.names)}")
        value = run.history[self.monitor][-1]
        value = value if lower_is_better(self.monitor) else -value
        if value < self.best_value - self.min_delta or not self.best_weights:
            self.best_value, self.waited = value, 0
            self.best_weights = {name: array.copy() for name, array in run.model.state_dict().items()}
            return
        self.waited += 1
        if self.waited >= self.patience:
            run.stop = f"early stop: {self.monitor} has not improved for {self.patience} epochs"

    def on_train_end(self, run: Run) -> None:
        if self.best_weights:
            run.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Array]:
        weights = {f"best.{name}": array for name, array in self.best_weights.items()}
        return {"best_value": np.array(self.best_value), "waited": np.array(self.waited), **weights}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        self.best_value, self.waited = float(state["best_value"]), int(state["waited"])
        self.best_weights = {
            name.removeprefix("best."): array for name, array in state.items() if name.startswith("best.")
        }


class LambdaCallback(Callback):
    """Calls ``function(run)`` after each epoch."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def on_epoch_end(self, run: Run) -> None:
        self.function(run)
