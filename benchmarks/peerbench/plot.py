"""One picture of a run: for each direction and thread count the rate of every peer, row by row, and the roofline."""

from __future__ import annotations

from math import nan
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from problems import DIRECTIONS, parse  # noqa: E402

from peerbench.catalogue import OURS, PEERS  # noqa: E402
from peerbench.measure import Row  # noqa: E402
from peerbench.report import Report, columns  # noqa: E402

MARKERS = "osvd^<>PXphH8*"
ROW_HEIGHT = 0.18  # inches


def plot(report: Report, file: Path) -> None:
    threads = sorted({r.threads for r in report.rows})
    directions = [d for d in DIRECTIONS if any(r.direction == d for r in report.rows)]
    panels = [(d, t, report.select(d, t)) for t in threads for d in directions]
    longest = max(len(rows) for _, _, rows in panels)
    size = (6.5 * len(directions), len(threads) * (1.5 + ROW_HEIGHT * longest))
    figure, axes = plt.subplots(len(threads), len(directions), figsize=size, squeeze=False, layout="constrained")
    unlike = {p.name for p in PEERS if not p.like_for_like}
    names = [n for n in columns(report.rows) if n not in unlike]
    for ax, (direction, count, rows) in zip(axes.flat, panels, strict=True):
        _panel(ax, rows, names)
        ax.set_title(f"{direction}, {count} thread{'s' * (count > 1)}", fontsize=9)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), fontsize=7, loc="outside right upper")
    figure.suptitle(f"{report.machine.cpu}, rung: {report.isa}", fontsize=8)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _panel(ax: Axes, rows: list[Row], names: list[str]) -> None:
    problems = [parse(r.line) for r in rows]
    places = range(len(rows))
    rooflines = [p.flops / r.roofline / 1e9 for p, r in zip(problems, rows, strict=True)]
    ax.scatter(rooflines, places, marker="|", s=60, color="black", label="roofline")
    for i, name in enumerate(names):
        times = [r.seconds([name]).get(name) for r in rows]
        rates = [p.flops / t / 1e9 if t else nan for p, t in zip(problems, times, strict=True)]
        ours = name in OURS
        ax.plot(
            rates, places, MARKERS[i % len(MARKERS)], color=f"C{i}", label=name, markersize=5 if ours else 4,
            fillstyle="full" if ours else "none", markeredgewidth=0.8,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yticks(list(places), [p.name for p in problems], fontsize=6)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("effective GFLOP/s", fontsize=8)
    ax.tick_params(axis="x", labelsize=7)
    ax.grid(alpha=0.3, linewidth=0.5)
