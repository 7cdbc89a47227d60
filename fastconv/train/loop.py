"""The training loop: forward, loss, backward, update, again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from fastconv.checks import as_array, check_kind, check_numbers, check_whole, is_whole, members
from fastconv.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, Loss, MSELoss, Penalty
from fastconv.nn.module import Array, Module, Reused
from fastconv.optim import SGD, Adam, AdamW, Optimizer, Schedule, clip_grad_norm_
from fastconv.train import checkpoint as checkpoints
from fastconv.train.callbacks import Callback, Run
from fastconv.train.history import History
from fastconv.train.metrics import Metric, resolve
from fastconv.train.profile import Profile
from fastconv.train.progress import Progress

LOSSES: dict[str, Callable[[], Loss]] = {
    "cross_entropy": CrossEntropyLoss,
    "bce": BCEWithLogitsLoss,
    "mse": MSELoss,
}
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": lambda parameters, **more: SGD(parameters, **{"lr": 0.05, "momentum": 0.9, "nesterov": True, **more}),
    "adam": Adam,
    "adamw": AdamW,
}
Augment = Callable[[Array, np.random.Generator], Array]


def _chosen(name: str, value: Any, table: dict[str, Any], kind: type, *arguments: Any) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, str) or value not in table:
        raise ValueError(f"{name} must be a {kind.__name__} or one of {', '.join(table)}, got {value!r}")
    return table[value](*arguments)


def _checked(name: str, data: Any, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """``data`` as samples and targets. Raises ValueError or TypeError for what a model of ``dtype`` cannot take."""
    if isinstance(data, np.ndarray) or not hasattr(data, "__iter__") or len(parts := tuple(data)) != 2:
        raise TypeError(f"{name} must be a Dataset or a pair (samples, targets), got {type(data).__name__}")
    x, y = (as_array(name, part) for part in parts)
    if len(x) != len(y) or not len(x):
        raise ValueError(f"{name} must hold as many samples as targets, at least one; got {len(x)} and {len(y)}")
    if x.dtype != dtype:
        raise TypeError(
            f"{name}: samples are {x.dtype}, the model is {dtype}; convert one (data.standardise, model.to)"
        )
    return x, y


def _dtype(model: Module) -> np.dtype[Any]:
    check_kind("model", model, Module)
    return next((p.data.dtype for p in model.parameters()), np.dtype(np.float32))


def _positive(**values: int) -> None:
    for name, value in values.items():
        if not is_whole(value) or value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")


class _Trainer:
    """One model being trained, batch by batch."""

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        penalties: Sequence[Penalty],
        clip_norm: float | None,
        augment: Augment | None,
        metrics: dict[str, Metric],
        profile: Profile | None,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.penalties, self.clip_norm, self.augment = penalties, clip_norm, augment
        self.metrics, self.profile = metrics, profile
        self._batch = Reused()

    def timed(self, row: str) -> AbstractContextManager[None]:
        return self.profile.timed(row) if self.profile else nullcontext()

    def gather(self, x: Array, index: Array, rng: np.random.Generator) -> Array:
        """The samples at ``index``, augmented."""
        if x.flags.c_contiguous:
            place = self._batch.empty((len(index), *x.shape[1:]), x.dtype)
            batch = np.take(x, index, axis=0, out=place, mode="clip")  # other modes go through a second buffer
        else:
            batch = x[index]  # numpy's take would copy all samples first
        return batch if self.augment is None else self.augment(batch, rng).astype(x.dtype, copy=False)

    def step(self, x: Array, y: Array) -> tuple[float, Array]:
        """One update. Returns the loss before it, penalties included, and the outputs."""
        outputs = self.model.forward(x)
        with self.timed("loss"):
            value = self.loss(outputs, y)
            grad = self.loss.backward()
        self.model.backward(grad, need_input_grad=False)
        with self.timed("update"):
            for penalty in self.penalties:
                value += penalty(self.optimizer.flat.parameters)
            if not math.isfinite(value):
                raise FloatingPointError(f"the loss is {value}")
            if self.clip_norm is not None:
                clip_grad_norm_(self.optimizer.flat.parameters, self.clip_norm)
            self.optimizer.step()
        return value, outputs

    def epoch(
        self, x: Array, y: Array, batch_size: int, rng: np.random.Generator, progress: Progress
    ) -> tuple[float, Array, Array]:
        """All samples once, in random order. Returns the mean loss, and outputs and targets in that order.

        The outputs are those of training mode, each from before its batch's update.
        """
        self.model.train()
        self.model.seed(rng)
        order = rng.permutation(len(x))
        total, collected = 0.0, []
        for number, start in enumerate(range(0, len(x), batch_size)):
            index = order[start : start + batch_size]
            with self.timed("data"):
                batch, targets = self.gather(x, index, rng), y[index]
            try:
                with np.errstate(over="ignore", invalid="ignore"):  # the loss will tell
                    value, outputs = self.step(batch, targets)
            except FloatingPointError as error:
                raise FloatingPointError(
                    f"{error} at batch {number + 1}: lower the learning rate ({self.optimizer.lr:g}), standardise the"
                    " inputs, or clip the gradient (clip_norm=)"
                ) from error
            del batch
            total += value * len(index)
            collected.append(outputs)
            progress.advance(len(index), total / (start + len(index)))
            if self.profile:
                self.profile.batches += 1
        return total / len(x), np.concatenate(collected), y[order]

    def row(
        self,
        train: tuple[Array, Array],
        valid: tuple[Array, Array] | None,
        batch_size: int,
        rng: np.random.Generator,
        progress: Progress,
    ) -> dict[str, float]:
        """One epoch as the history tells it."""
        start = perf_counter()
        with self.profile.watching(self.model) if self.profile else nullcontext():
            value, outputs, targets = self.epoch(*train, batch_size, rng, progress)
        record = {"loss": value, **{name: f(outputs, targets) for name, f in self.metrics.items()}}
        if valid is not None:
            with self.timed("validation"):
                found = evaluate(self.model, valid, self.loss, self.metrics.values(), max(batch_size, 256))
            record |= {f"valid_{name}": number for name, number in found.items()}
        return {**record, "lr": self.optimizer.lr, "seconds": perf_counter() - start}


def predict(model: Module, x: Array, batch_size: int = 256) -> Array:
    """Outputs for all samples, in inference mode, batch by batch; the model's mode is left as it was.

    x: ``(N, ...)``, of the model's dtype; the result has N rows. Raises ValueError for a batch size below 1.
    """
    _positive(batch_size=batch_size)
    check_kind("model", model, Module)
    if not isinstance(x, np.ndarray) or not x.ndim:
        raise TypeError(f"x must be an array (N, ...), got {x!r:.120}")
    training = model.training
    model.eval()
    try:
        starts = range(0, max(len(x), 1), batch_size)
        return np.concatenate([model.forward(x[start : start + batch_size]) for start in starts])
    finally:
        model.train(training)


def evaluate(
    model: Module,
    data: Any,
    loss: Loss | str = "cross_entropy",
    metrics: Iterable[str | Metric] = ("accuracy",),
    batch_size: int = 256,
) -> dict[str, float]:
    """Loss and metrics on samples and targets, in inference mode: ``{"loss": ..., "accuracy": ...}``."""
    x, y = _checked("data", data, _dtype(model))
    criterion: Loss = _chosen("loss", loss, LOSSES, Loss)
    outputs = predict(model, x, batch_size)
    return {"loss": criterion(outputs, y), **{name: f(outputs, y) for name, f in resolve(metrics).items()}}


def fit(
    model: Module,
    train: Any,
    valid: Any = None,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    loss: Loss | str = "cross_entropy",
    optimizer: Optimizer | str = "adam",
    schedule: Schedule | None = None,
    metrics: Iterable[str | Metric] = ("accuracy",),
    penalties: Sequence[Penalty] = (),
    clip_norm: float | None = None,
    augment: Augment | None = None,
    callbacks: Sequence[Callback] = (),
    seed: int = 0,
    progress: bool | None = None,
    profile: bool = False,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> History:
    """Train ``model`` and return what happened, epoch by epoch.

    train, valid: a Dataset or ``(samples, targets)``. loss: a Loss, or "cross_entropy", "bce", "mse". optimizer: made
    from ``model.parameters()``, or "sgd" (lr 0.05, Nesterov's momentum 0.9), "adam", "adamw". schedule: stepped after
    each epoch. metrics: names (accuracy, top_k_accuracy, precision, recall, f1, mean_absolute_error) or functions of
    outputs and targets. penalties: ``nn.L1``, ``nn.L2``, added to the training loss. clip_norm: greatest norm of the
    gradient. augment: changes each training batch. seed: of shuffling, dropout and augmentation (the weights are there
    already); the same seed gives the same bits on one machine, with any number of threads. progress: a bar (needs
    tqdm); None shows one on a terminal that has tqdm. profile: measure each layer (``history.profile``).
    checkpoint: a file rewritten after every epoch; with ``resume`` a run continues from it if it exists, and ends with
    the same bits as one that was never cut.

    The history's columns: loss, the metrics, the same with ``valid_`` in front, lr, seconds. The training columns are
    measured while weights change and dropout drops; the validation ones after the epoch.

    Ctrl-C ends training after the current batch and returns the history so far, ``history.stopped == "interrupted"``.
    Raises ValueError or TypeError for data that do not fit, FloatingPointError if the loss is not finite.
    """
    _positive(epochs=epochs, batch_size=batch_size)
    check_whole(0, seed=seed)
    _check_options(schedule, callbacks, penalties, augment, clip_norm)
    train = _checked("train", train, _dtype(model))
    valid = None if valid is None else _checked("valid", valid, _dtype(model))
    criterion: Loss = _chosen("loss", loss, LOSSES, Loss)
    rule: Optimizer = _chosen("optimizer", optimizer, OPTIMIZERS, Optimizer, model.parameters())
    run = Run(model, rule, History())
    run.history.profile = Profile() if profile else None
    trainer = _Trainer(model, criterion, rule, penalties, clip_norm, augment, resolve(metrics), run.history.profile)
    samples = len(train[0])
    saved = _Saved(checkpoint, run, callbacks, {"seed": seed, "batch_size": batch_size, "samples": samples})
    if resume:
        saved.restore(schedule)

    with Progress(progress, epochs, samples) as bar:
        try:
            for number in _remaining(run, epochs):
                bar.start(number)
                rng = np.random.default_rng([seed, number])  # of this epoch alone: resuming needs no other state
                run.history.epochs.append(trainer.row(train, valid, batch_size, rng, bar))
                if schedule is not None:
                    schedule.step()
                for callback in callbacks:
                    callback.on_epoch_end(run)
                run.history.stopped = run.stop
                saved.write()
                bar.finish(run.history.epochs[-1])
        except KeyboardInterrupt:
            run.history.stopped = "interrupted"
    for callback in callbacks:
        callback.on_train_end(run)
    model.eval()
    return run.history


def _check_options(schedule: Any, callbacks: Any, penalties: Any, augment: Any, clip_norm: Any) -> None:
    if schedule is not None:
        check_kind("schedule", schedule, Schedule)
    for i, callback in enumerate(members("callbacks", callbacks, "Callback")):
        check_kind(f"callbacks[{i}]", callback, Callback)
    for i, penalty in enumerate(members("penalties", penalties, "Penalty")):
        check_kind(f"penalties[{i}]", penalty, Penalty)
    if not (augment is None or callable(augment)):
        raise TypeError(f"augment must be a function of samples and a generator, got {augment!r}")
    if clip_norm is not None:
        check_numbers(clip_norm=clip_norm)


def _remaining(run: Run, epochs: int) -> Iterator[int]:
    while len(run.history) < epochs and run.history.stopped is None:
        yield len(run.history)


class _Saved:
    """The run's file: written after each epoch, read to resume."""

    def __init__(
        self, path: str | Path | None, run: Run, callbacks: Sequence[Callback], identity: dict[str, Any]
    ) -> None:
        self.path, self.run, self.identity = path, run, identity
        self.parts = {"model": run.model, "optimizer": run.optimizer}
        self.parts |= {f"callback{i}": callback for i, callback in enumerate(callbacks)}

    def write(self) -> None:
        if self.path is None:
            return
        history = self.run.history
        record = {**self.identity, "epochs": history.epochs, "stopped": history.stopped}
        checkpoints.save_run(self.path, self.parts, record)

    def restore(self, schedule: Schedule | None) -> None:
        if self.path is None:
            raise ValueError("resume=True needs checkpoint=, the file to resume from")
        if not Path(self.path).exists():
            return
        record = checkpoints.load_run(self.path, self.parts)
        for name, value in self.identity.items():
            if record[name] != value:
                raise ValueError(f"{self.path} was made with {name} {record[name]}, this run has {value}")
        self.run.history.epochs, self.run.history.stopped = record["epochs"], record["stopped"]
        if schedule is not None:
            schedule.go_to(len(self.run.history))
