"""A convolutional network against an MLP on the same real images: at equal parameters, and at equal time.

The counts say that a convolution is the dense layer with most of its weights taken away; this part shows what that buys
in accuracy, and what is left of it when the test images are moved by a few pixels.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from fastconv import data, nn, optim, runtime, train
from fastconv.bench import units
from fastconv.bench.tables import Table

SHIFTS = (0, 1, 2, 3, 4)  # pixels
_SEED = 1998


@dataclass(frozen=True)
class Side:
    """One network after training. accuracy: on the test images moved by each of ``SHIFTS`` pixels; the mean of the
    four directions. seconds: of training, validation left out."""

    name: str
    parameters: int
    macs: int
    epochs: int
    seconds: float
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """Three trained networks: the CNN, the MLP for as many epochs, the MLP for as many seconds."""

    dataset: str
    threads: int
    sides: tuple[Side, ...]


class _TimeLimit(train.Callback):
    """Stops after the epoch that uses up ``seconds`` of training."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_epoch_end(self, run: train.Run) -> None:
        if sum(run.history["seconds"]) >= self.seconds:
            run.stop = f"{self.seconds:.1f} s are over"


class _Lines(train.Callback):
    """A line an epoch, and no more than one a second, where there is no terminal for a bar."""

    def __init__(self, name: str, epochs: int) -> None:
        self.name, self.epochs, self.told = name, epochs, 0.0

    def on_epoch_end(self, run: train.Run) -> None:
        last = run.history.epochs[-1]
        if perf_counter() - self.told < 1 and len(run.history) < self.epochs:
            return
        self.told = perf_counter()
        print(
            f"{self.name:18} epoch {len(run.history):2}/{self.epochs}: loss {last['loss']:.3f},"
            f" accuracy {last['accuracy']:.1%}, {units.seconds(last['seconds'])}",
            flush=True,
        )


def equal_mlp(input_shape: tuple[int, ...], classes: int, parameters: int) -> nn.Sequential:
    """An MLP of one hidden layer with as many parameters as ``parameters``, to the nearest neuron."""
    inputs = int(np.prod(input_shape))
    hidden = max(round((parameters - classes) / (inputs + 1 + classes)), 1)
    return nn.models.mlp(input_shape, classes, (hidden,))


def images(quick: bool) -> tuple[data.Dataset, data.Dataset]:
    """Fashion-MNIST, else MNIST, else the 8x8 digits; ``quick`` takes the digits first."""
    order: list[Callable[[], tuple[data.Dataset, data.Dataset]]] = [data.fashion_mnist, data.mnist, data.digits]
    for load in reversed(order) if quick else order:
        try:
            return load()
        except FileNotFoundError as error:
            missing = error
    raise missing


def _accuracies(model: nn.Module, test: data.Dataset) -> tuple[float, ...]:
    background = float(test.x.min())
    found = []
    for distance in SHIFTS:
        directions = [(distance, 0), (-distance, 0), (0, distance), (0, -distance)] if distance else [(0, 0)]
        moved = [data.shift_images(test.x, np.full((len(test), 2), d), background) for d in directions]
        found.append(float(np.mean([train.evaluate(model, (x, test.y))["accuracy"] for x in moved])))
    return tuple(found)


def _trained(name: str, model: nn.Sequential, sets: list[data.Dataset], epochs: int, limit: float | None) -> Side:
    training, test = sets
    callbacks: list[train.Callback] = [_TimeLimit(limit)] if limit is not None else []
    if sys.stderr.isatty():  # the bar's
        print(f"{name}:", flush=True)
    else:
        callbacks.append(_Lines(name, epochs))
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    history = train.fit(
        model,
        training,
        epochs=epochs,
        optimizer=optimizer,
        schedule=optim.CosineAnnealingLR(optimizer, epochs),
        callbacks=callbacks,
        seed=_SEED,
    )
    counts = nn.summary(model, training.x.shape[1:])
    seconds = sum(history["seconds"])
    return Side(name, counts.parameters, counts.macs, len(history), seconds, _accuracies(model, test))


def measure(epochs: int, quick: bool = False) -> Result:
    """Train the three networks. The third's epochs are planned from the time of the second's, so that its learning rate
    comes to its end with the time."""
    training, test = images(quick)
    sets = data.standardise(training, test)
    shape, classes = training.x.shape[1:], len(training.classes)
    print(f"\nTraining on {training.name}: {len(training):,} images, {len(test):,} to test.", flush=True)
    nn.manual_seed(_SEED)
    cnn = nn.models.lenet5(shape, classes) if min(shape[1:]) >= 16 else nn.models.small_cnn(shape, classes)
    parameters = sum(p.data.size for p in cnn.parameters())
    first = _trained("CNN", cnn, sets, epochs, None)
    same_epochs = _trained("MLP, equal epochs", equal_mlp(shape, classes, parameters), sets, epochs, None)
    affordable = max(round(first.seconds / (same_epochs.seconds / epochs)), 1)
    mlp = equal_mlp(shape, classes, parameters)
    same_time = _trained("MLP, equal time", mlp, sets, affordable, first.seconds)
    return Result(training.name, runtime.get_num_threads(), (first, same_epochs, same_time))


def table(result: Result) -> Table:
    """One line a network."""
    moved = tuple(f"moved {d}" for d in SHIFTS[1:])
    columns = (
        "network", "parameters", "MACs an image", "epochs", "time", "an epoch", "test accuracy", *moved
    )  # fmt: skip
    rows = []
    for side in result.sides:
        times = (units.seconds(side.seconds), units.seconds(side.seconds / side.epochs))
        counts = (f"{side.parameters:,}", units.count(side.macs), str(side.epochs))
        rows.append((side.name, *counts, *times, *(f"{a:.1%}" for a in side.accuracy)))
    return Table(f"CNN against MLP on {result.dataset}", columns, rows)


def picture(result: Result) -> Any:
    """Accuracy over the shift of the test images, one line a network."""
    from fastconv.viz.figure import COLOURS, grid, plain

    figure, axes = grid(1, 1, 5.2, 3.4)
    ax = axes[0, 0]
    for side, colour, marker in zip(result.sides, COLOURS, "o^s", strict=False):
        ax.plot(SHIFTS, [100 * a for a in side.accuracy], color=colour, marker=marker, label=side.name)
    ax.set_xlabel("test images moved by (pixels)")
    ax.set_ylabel("test accuracy (%)")
    ax.set_xticks(SHIFTS)
    ax.set_title(f"{result.dataset}, {result.sides[0].parameters:,} parameters", fontsize=9)
    ax.legend(fontsize=8, frameon=False)
    plain(ax)
    return figure


def run(out: Path, quick: bool, threads: int | None) -> int:
    """Train, print the table, and write training.md, training.json and training.png to ``out``."""
    from fastconv.bench.machine import at_most

    start = perf_counter()
    with at_most(threads):
        result = measure(epochs=8 if quick else 10, quick=quick)
    out.mkdir(parents=True, exist_ok=True)
    found = table(result)
    text = f"## {found.title}\n\n{found.markdown()}\n"
    (out / "training.md").write_text(f"{text}\n![accuracy of moved images](training.png)\n", encoding="utf-8")
    (out / "training.json").write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    picture(result).savefig(out / "training.png")
    print(f"\n{text}\n{perf_counter() - start:.0f} s. Written to {out}: training.md, training.json, training.png")
    return 0
