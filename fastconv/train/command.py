"""``fastconv train``: a network on a data set, from the first epoch to the pictures."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastconv import data, nn, optim, runtime
from fastconv.arguments import folder, not_negative, positive
from fastconv.extras import require
from fastconv.nn.models import MODELS
from fastconv.train import checkpoint
from fastconv.train.callbacks import Callback, EarlyStopping, LambdaCallback, Run
from fastconv.train.history import History
from fastconv.train.loop import OPTIMIZERS, evaluate, fit, predict
from fastconv.train.metrics import confusion_matrix

_IMAGES = ("digits", "fashion-mnist", "mnist")
_BATCH = {"cnn": 128}  # others: 64
_EPOCHS = {("cnn", "fashion-mnist"): 40}  # others: 10
_AUGMENT = {("cnn", "fashion-mnist"): ("flip", "shift")}  # clothes have mirror images, digits do not


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``fastconv train``."""
    parser.add_argument("--data", choices=_IMAGES, default="digits")
    parser.add_argument("--model", choices=list(MODELS), default="cnn")
    parser.add_argument("--epochs", type=positive, help="default: 40 for cnn on fashion-mnist, else 10")
    parser.add_argument("--batch-size", type=positive, help="default: 128 for cnn, else 64")
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), default="sgd")
    parser.add_argument("--lr", type=float, help="learning rate at the start (each optimiser has a default)")
    parser.add_argument("--weight-decay", type=float, default=5e-4, help="default: 0.0005")
    parser.add_argument("--schedule", choices=("cosine", "step", "none"), default="cosine")
    augment = "change each training batch: shift by up to 2 pixels (1 for the digits), flip left to right, or both"
    augment += " (default: both for cnn on fashion-mnist, else none)"
    parser.add_argument("--augment", nargs="+", choices=("shift", "flip", "none"), help=augment)
    parser.add_argument("--patience", type=positive, help="stop after this many epochs without progress, keep the best")
    parser.add_argument("--seed", type=not_negative, default=0)
    parser.add_argument("--threads", type=positive, help="default: all this process may use")
    parser.add_argument("--profile", action="store_true", help="say where the time went, by layer")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run in the same folder")
    parser.add_argument("--out", type=folder, help="folder to write to (default: fastconv-train/<data>-<model>)")
    parser.set_defaults(run=run)


def _augmentation(options: argparse.Namespace, training: data.Dataset) -> Any:
    pixels = 1 if options.data == "digits" else 2
    steps = {"shift": data.shift(pixels, fill=float(training.x.min())), "flip": data.flip()}
    wanted = options.augment or _AUGMENT.get((options.model, options.data), ())
    if "none" in wanted and set(wanted) != {"none"}:
        raise ValueError(f"--augment none goes with nothing else, got {' '.join(wanted)}")
    chosen = [steps[name] for name in wanted if name != "none"]
    return data.compose(*chosen) if chosen else None


def _optimizer(options: argparse.Namespace, model: nn.Module) -> optim.Optimizer:
    rate = {} if options.lr is None else {"lr": options.lr}
    return OPTIMIZERS[options.optimizer](model.parameters(), weight_decay=options.weight_decay, **rate)


def _schedule(options: argparse.Namespace, optimizer: optim.Optimizer) -> optim.Schedule | None:
    if options.schedule == "cosine":
        return optim.CosineAnnealingLR(optimizer, options.epochs)
    if options.schedule == "step":
        return optim.StepLR(optimizer, max(options.epochs // 3, 1), 0.2)
    return None


def _report(run: Run) -> None:
    """A line an epoch, where there is no terminal for a bar."""
    shown = {name: value for name, value in run.history.epochs[-1].items() if name != "lr"}
    print(f"epoch {len(run.history)}: " + "  ".join(f"{name} {value:.4f}" for name, value in shown.items()), flush=True)


def _callbacks(options: argparse.Namespace) -> list[Callback]:
    stopping: list[Callback] = [EarlyStopping(patience=options.patience)] if options.patience else []
    return stopping if sys.stderr.isatty() else [*stopping, LambdaCallback(_report)]


def run(options: argparse.Namespace) -> int:
    """The command. Returns its exit status: 0, 1 if training diverged, 2 for bad usage, 130 for Ctrl-C."""
    try:
        return _run(options)
    except FloatingPointError as error:
        print(f"fastconv train: {error}", file=sys.stderr)
        return 1
    except (ValueError, FileNotFoundError) as error:
        print(f"fastconv train: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    require("train", "safetensors.numpy")
    place: Path = options.out or Path("fastconv-train") / f"{options.data}-{options.model}"
    if options.epochs is None:
        options.epochs = _EPOCHS.get((options.model, options.data), 10)
    training, test = data.load(options.data)
    training, valid = data.split(training, (0.9, 0.1), options.seed)
    training, valid, test = data.standardise(training, valid, test)
    model = nn.models.build(options.model, training.x.shape[1:], len(training.classes), options.seed)
    if options.threads is not None:
        runtime.set_num_threads(options.threads)
    place.mkdir(parents=True, exist_ok=True)
    counts = nn.summary(model, training.x.shape[1:])
    print(f"{training}, {len(valid)} to validate, {len(test)} to test\n\n{counts}\n", flush=True)

    optimizer = _optimizer(options, model)
    history = fit(
        model,
        training,
        valid,
        epochs=options.epochs,
        batch_size=_BATCH.get(options.model, 64) if options.batch_size is None else options.batch_size,
        optimizer=optimizer,
        schedule=_schedule(options, optimizer),
        augment=_augmentation(options, training),
        callbacks=_callbacks(options),
        seed=options.seed,
        profile=options.profile,
        checkpoint=place / "run.safetensors",
        resume=options.resume,
    )
    checkpoint.save(model, place / "model.safetensors")
    history.save(place / "history.json")
    _tell(place, model, history, test)
    print(f"written to {place}/")
    return 130 if history.stopped == "interrupted" else 0


def _tell(place: Path, model: nn.Module, history: History, test: data.Dataset) -> None:
    """What came of it, on the terminal and as pictures in ``place``."""
    if history.stopped:
        print(history.stopped)
    if history.profile is not None:
        print(f"\n{history.profile}\n")
    found = evaluate(model, test)
    seconds = sum(history["seconds"])
    print(f"test: accuracy {found['accuracy']:.2%}, loss {found['loss']:.4f}; {len(history)} epochs in {seconds:.1f} s")
    _draw(place, model, history, test)


def _draw(place: Path, model: nn.Module, history: History, test: data.Dataset) -> None:
    """The pictures, where matplotlib is there and there is something to show."""
    if find_spec("matplotlib") is None:
        print("no pictures: they need matplotlib (pip install 'fastconv[viz]')")
        return
    from fastconv import viz

    outputs = predict(model, test.x)
    figures = {"confusion": viz.confusion_matrix(confusion_matrix(outputs, test.y), test.classes)}
    if len(history):
        figures["curves"] = viz.learning_curves(history, best="valid_loss")
    if (outputs.argmax(axis=1) != test.y).any():
        figures["misclassified"] = viz.misclassified(test.x, test.y, outputs, test.classes)
    layer = viz.first_convolution(model)
    if layer is not None:
        figures["filters"] = viz.filters(layer)
        figures["feature-maps"] = viz.feature_maps(model, test.x[0])
    for name, figure in figures.items():
        figure.savefig(place / f"{name}.png")
