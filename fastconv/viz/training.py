"""Pictures of how training went and where the model is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastconv.nn.module import Array, Module
from fastconv.train.history import History
from fastconv.train.loop import predict
from fastconv.viz.figure import COLOURS, GREY, blank, grid, picture, plain


def learning_curves(
    histories: History | Mapping[str, History], names: Sequence[str] = ("loss", "accuracy"), best: str | None = None
) -> Any:
    """Each of ``names`` over the epochs: training dashed, validation solid, one colour a history.

    best: mark the epoch where this column was best. Returns a matplotlib figure.
    """
    runs = {"": histories} if isinstance(histories, History) else dict(histories)
    figure, axes = grid(1, len(names), 4.4, 3.2)
    for ax, name in zip(axes[0], names, strict=True):
        for (label, history), colour in zip(runs.items(), _cycle(), strict=False):
            for column, style, kind in ((name, "--", "training"), (f"valid_{name}", "-", "validation")):
                if column in history.names:
                    epochs = np.arange(1, len(history) + 1)
                    text = f"{label} {kind}".strip()
                    ax.plot(epochs, history[column], style, color=colour, linewidth=1.6, label=text)
            if best is not None and best in history.names:
                ax.axvline(history.best(best) + 1, color=GREY, linewidth=0.8, linestyle=":")
        ax.set_xlabel("epoch")
        ax.set_ylabel(name.replace("_", " "))
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(fontsize=7, frameon=False)
        plain(ax)
    return figure


def _cycle() -> Sequence[str]:
    return COLOURS * 4


def confusion_matrix(matrix: Array, classes: Sequence[str] = ()) -> Any:
    """Truth down, prediction across; colour is the share of the true class, the number is the count.

    matrix: ``(n, n)`` of counts, as ``train.metrics.confusion_matrix`` gives it. Returns a matplotlib figure.
    """
    n = len(matrix)
    names = classes or [str(i) for i in range(n)]
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure, axes = grid(1, 1, 0.52 * n + 1.8, 0.46 * n + 1.4)
    ax = axes[0, 0]
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(n):
        for j in range(n):
            if matrix[i, j]:
                colour = "white" if share[i, j] > 0.5 else "black"
                ax.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", fontsize=7, color=colour)
    ax.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    ax.set_yticks(range(n), names, fontsize=8)
    ax.set_xlabel("taken for")
    ax.set_ylabel("is")
    right = np.trace(matrix) / max(matrix.sum(), 1)
    ax.set_title(f"{right:.2%} of {int(matrix.sum()):,} right", fontsize=9)
    return figure


def misclassified(x: Array, truth: Array, outputs: Array, classes: Sequence[str] = (), count: int = 24) -> Any:
    """The images that the model is most sure of and wrong about.

    x: ``(N, C, H, W)``; truth: labels; outputs: logits ``(N, classes)``. Raises ValueError if all are right.
    """
    guess = outputs.argmax(axis=1)
    wrong = np.flatnonzero(guess != truth)
    if not len(wrong):
        raise ValueError("outputs are all right: there is no wrong image to show")
    margin = outputs[wrong, guess[wrong]] - outputs[wrong, truth[wrong]]
    chosen = wrong[np.argsort(-margin, kind="stable")[:count]]
    names = classes or [str(i) for i in range(outputs.shape[1])]
    columns = min(8, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, axes = grid(rows, columns, 1.15, 1.4)
    for ax in axes.flat:
        blank(ax)
    for ax, i in zip(axes.flat, chosen, strict=False):
        ax.set_axis_on()
        picture(ax, as_image(x[i]), f"{names[truth[i]]}\nas {names[guess[i]]}", 7)
    figure.suptitle(f"{len(chosen)} of {len(wrong):,} wrong answers, the surest first", fontsize=9)
    return figure


def as_image(x: Array) -> Array:
    """``(C, H, W)`` as matplotlib wants it: ``(H, W)`` of one channel, ``(H, W, 3)`` in [0, 1] of three."""
    if len(x) != 3:
        grey: Array = x[0]
        return grey
    low, high = x.min(), x.max()
    colours: Array = np.moveaxis((x - low) / (high - low or 1), 0, -1)
    return colours


def decision_boundary(models: Mapping[str, Module], x: Array, y: Array, resolution: int = 160) -> Any:
    """What models of two features answer over the plane, with the points they learnt from. One panel a model.

    x: ``(N, 2)``; y: labels 0 and 1; models give two logits, or one for class 1.
    """
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"x must be (N, 2), got shape {x.shape}")
    low, high = x.min(axis=0), x.max(axis=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    across, down = np.meshgrid(*(np.linspace(a, b, resolution, dtype=x.dtype) for a, b in zip(low, high, strict=True)))
    places = np.stack([across.ravel(), down.ravel()], axis=1)
    figure, axes = grid(1, len(models), 3.0, 3.0, sharey=True)
    for ax, (title, model) in zip(axes[0], models.items(), strict=True):
        logits = predict(model, places, 4096)
        margin = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        chance = 1 / (1 + np.exp(-np.clip(margin, -30, 30)))
        ax.contourf(across, down, chance.reshape(across.shape), levels=np.linspace(0, 1, 11), cmap="RdBu", alpha=0.6)
        ax.contour(across, down, chance.reshape(across.shape), levels=[0.5], colors="black", linewidths=1)
        for label, colour, marker in ((0, "#b2182b", "o"), (1, "#2166ac", "^")):
            ax.scatter(*x[y == label].T, s=14, c=colour, marker=marker, edgecolors="white", linewidths=0.4)
        ax.set_title(title, fontsize=9)
        ax.set_xticks([])
        ax.set_yticks([])
    return figure
