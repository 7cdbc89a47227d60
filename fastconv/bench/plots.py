"""The pictures of the report. Figures are made without pyplot: no window, no state left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastconv import analysis
from fastconv.bench import units
from fastconv.bench.measure import Outcome
from fastconv.bench.results import Run

_CONV, _DENSE, _LOCAL = "#1f6f8b", "#d1495b", "#edae49"
_DPI = 130


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _clean(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def edges(run: Run) -> Any:
    """The photograph, the same edges found twice, and their difference."""
    outcome = run.edge
    if outcome is None:
        return None
    figure = _figure(11, 2.9)
    conv, dense = np.abs(outcome.conv_output[0, 0]), np.abs(outcome.dense_output[0, 0])
    bright = float(np.percentile(conv, 99)) or 1.0
    costs = outcome.problem.costs
    panels: list[tuple[str, Any, float]] = [
        (f"photograph\n{outcome.image.shape[3]} x {outcome.image.shape[2]}", outcome.image[0, 0], 255),
        (f"convolution: {units.seconds(outcome.conv_seconds)}\n{costs.convolution.multiply_add_ops:,} operations",
         conv, bright),
        (f"dense layer: {units.seconds(outcome.dense.multiply_seconds)}\n{costs.dense.flops:,} operations",
         dense, bright),
        (f"difference\nlargest: {outcome.largest_difference:g}", np.abs(conv - dense), 1),
    ]  # fmt: skip
    for axes, (title, pixels, white) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    return figure


def _bars(axes: Any, sides: Sequence[tuple[str, str, list[float]]], text: Callable[[float], str]) -> None:
    """Horizontal bars in groups, one bar a side, each with its number at its end, on a logarithmic axis."""
    height = 0.8 / len(sides)
    for place, (label, colour, values) in enumerate(sides):
        at = np.arange(len(values)) + (place - (len(sides) - 1) / 2) * height
        bars = axes.barh(at, values, height * 0.92, color=colour, label=label)
        axes.bar_label(bars, [text(value) for value in values], fontsize=7.5, padding=3)
    axes.set_xscale("log")
    values = [value for _, _, side in sides for value in side]
    axes.set_xlim(min(values) / 3, max(values) * 30)
    axes.tick_params(axis="x", labelsize=8)
    _clean(axes)


def _name_groups(axes: Any, outcomes: list[Outcome]) -> None:
    axes.set_yticks(range(len(outcomes)), [outcome.problem.name for outcome in outcomes], fontsize=9)
    axes.invert_yaxis()


def costs(run: Run) -> Any:
    """Bars of parameters, work and time, convolution and dense layer side by side."""
    outcomes = run.rows
    if not outcomes:
        return None
    figure = _figure(12, 1.4 + 0.55 * len(outcomes))
    panels: list[tuple[str, Callable[[float], str], Callable[[Outcome], tuple[float, float]]]] = [
        ("parameters", units.count,
         lambda o: (o.problem.costs.convolution.parameters, o.problem.costs.dense.parameters)),
        ("multiply-accumulates", units.count, lambda o: (o.problem.costs.convolution.macs, o.problem.costs.dense.macs)),
        ("time", units.seconds, lambda o: (o.conv_seconds, o.dense.multiply_seconds)),
    ]  # fmt: skip
    for axes, (title, text, numbers) in zip(figure.subplots(1, 3, sharey=True), panels, strict=True):
        conv, dense = zip(*map(numbers, outcomes), strict=True)
        _bars(axes, [("convolution", _CONV, list(conv)), ("dense layer", _DENSE, list(dense))], text)
        axes.set_title(title, fontsize=11)
    _name_groups(figure.axes[0], outcomes)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def connectivity(run: Run) -> Any:
    """Bars of connections and parameters of the three layers: what sparsity saves and what sharing saves."""
    outcomes = run.layers
    if not outcomes:
        return None
    figure = _figure(10.5, 1.4 + 0.7 * len(outcomes))
    layers: list[tuple[str, str, Callable[[analysis.Comparison], analysis.Cost]]] = [
        ("dense", _DENSE, lambda c: c.dense),
        ("locally connected", _LOCAL, lambda c: c.locally_connected),
        ("convolution", _CONV, lambda c: c.convolution),
    ]
    panels = [("connections (sparse connectivity)", "connections"), ("parameters (sharing)", "parameters")]
    for axes, (title, count) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        sides = [
            (label, colour, [float(getattr(pick(outcome.problem.costs), count)) for outcome in outcomes])
            for label, colour, pick in layers
        ]
        _bars(axes, sides, units.count)
        axes.set_title(title, fontsize=11)
    _name_groups(figure.axes[0], outcomes)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_curve(axes: Any, outcomes: list[Outcome], size: Callable[[Outcome], int], kind: str) -> None:
    x = [size(outcome) for outcome in outcomes]
    if kind == "operations":
        conv = [outcome.problem.costs.convolution.macs for outcome in outcomes]
        dense = [outcome.problem.costs.dense.macs for outcome in outcomes]
        axes.set_ylabel("multiply-accumulates")
    else:
        conv = [outcome.conv_seconds for outcome in outcomes]  # type: ignore[misc]
        dense = [outcome.dense.multiply_seconds for outcome in outcomes]  # type: ignore[misc]
        axes.set_ylabel("seconds")
    axes.loglog(x, dense, "s-", color=_DENSE, label="dense layer, O(m n)", markersize=5)
    axes.loglog(x, conv, "o-", color=_CONV, label="convolution, O(k n)", markersize=5)
    axes.grid(True, which="major", alpha=0.3)
    _clean(axes)


def curves(run: Run) -> Any:
    """Work and time against the number of taps k and against the number of pixels n, on logarithmic axes."""
    wanted: list[tuple[str, str, Callable[[Outcome], int]]] = [
        ("kernel-curve", "taps of the kernel, k", lambda o: o.problem.costs.convolution.terms),
        ("image-curve", "pixels of the image, n = m", lambda o: o.image.size),
    ]
    present = [(run.of(part), label, size) for part, label, size in wanted if run.of(part)]
    if not present:
        return None
    figure = _figure(5 * len(present), 7)
    grid = figure.subplots(2, len(present), squeeze=False)
    for column, (outcomes, label, size) in enumerate(present):
        for row, kind in enumerate(("operations", "time")):
            _draw_curve(grid[row, column], outcomes, size, kind)
        first = outcomes[0].problem
        fixed = f"image {first.input_shape[2]}x{first.input_shape[1]}" if "taps" in label else "kernel 3x3"
        grid[0, column].set_title(fixed, fontsize=11)
        grid[1, column].set_xlabel(label)
    grid[0, 0].legend(frameon=False)
    return figure


_FIGURES: dict[str, Callable[[Run], Any]] = {
    "edges.png": edges,
    "costs.png": costs,
    "connectivity.png": connectivity,
    "curves.png": curves,
}


def save_all(run: Run, folder: Path) -> list[str]:
    """Write the pictures that the run has results for; returns their file names."""
    written = []
    for name, draw in _FIGURES.items():
        figure = draw(run)
        if figure is not None:
            figure.savefig(folder / name, dpi=_DPI)
            written.append(name)
    return written
