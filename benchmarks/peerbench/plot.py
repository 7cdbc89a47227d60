"""Pictures of a run: the rate of every peer beside the roofline, row by row, for each direction and thread count; and
how many times as fast as the best of the others fastconv is, by family and over all rows."""

from __future__ import annotations

from math import nan
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from problems import DIRECTIONS, parse  # noqa: E402

from peerbench.catalogue import OURS, PEERS, RIVALS  # noqa: E402
from peerbench.measure import Row  # noqa: E402
from peerbench.report import Report, columns, means  # noqa: E402
from peerbench.targets import ratio  # noqa: E402

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


def plot_families(report: Report, file: Path) -> None:
    """Geometric means against the best of the others, on the fewest threads measured."""
    fewest = min(r.threads for r in report.rows)
    table = means([r for r in report.rows if r.threads == fewest])
    families = list(dict.fromkeys(family for family, *_ in table))
    directions = [d for d in DIRECTIONS if any(direction == d for _, direction, *_ in table)]
    height = 0.8 / len(directions)
    figure, ax = plt.subplots(figsize=(8, 1 + 0.42 * len(families)), layout="constrained")
    for i, name in enumerate(directions):
        ratios = {family: float(ratio) for family, direction, _, _, ratio, *_ in table if direction == name and ratio}
        places = [families.index(family) + (i - (len(directions) - 1) / 2) * height for family in ratios]
        bars = ax.barh(places, [r - 1 for r in ratios.values()], height, left=1, label=name)
        ax.bar_label(bars, [f"{r:.3g}" for r in ratios.values()], padding=2, fontsize=6)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xscale("log")
    ax.margins(x=0.1, y=0.01)
    ax.set_yticks(range(len(families)), families)
    ax.invert_yaxis()
    ax.set_xlabel("times as fast as the best of the others")
    ax.set_title(f"{report.machine.cpu}, {fewest} thread{'s' * (fewest > 1)}", fontsize=9)
    ax.legend(fontsize=8)
    _save(figure, file)


def plot_ratios(report: Report, file: Path) -> None:
    """What share of the rows is how many times as fast as the best of the others, on the fewest threads measured."""
    fewest = min(r.threads for r in report.rows)
    figure, ax = plt.subplots(figsize=(8, 3.5), layout="constrained")
    for name in DIRECTIONS:
        ratios = sorted(q for row in report.select(name, fewest) if (q := ratio(row, RIVALS)) is not None)
        if ratios:
            behind = sum(q < 1 for q in ratios)
            shares = [100 * (i + 0.5) / len(ratios) for i in range(len(ratios))]
            ax.plot(shares, ratios, label=f"{name}: {behind} of {len(ratios)} behind")
    ax.axhline(1, color="black", linewidth=0.8)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlim(0, 100)
    ax.set_xlabel("% of the rows")
    ax.set_ylabel("times as fast as the best of the others")
    ax.set_title(f"{report.machine.cpu}, {fewest} thread{'s' * (fewest > 1)}", fontsize=9)
    ax.grid(alpha=0.3, linewidth=0.5)
    ax.legend(fontsize=8)
    _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    """The same bytes for the same run."""
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fastconv"}):
        figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
