"""The report: tables on the terminal, and report.md and results.json beside the pictures."""

from __future__ import annotations

import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from fastconv.bench import plots, tables, units
from fastconv.bench.results import Run, run_as_data

_CURVE_TITLES = {
    "kernel-curve": "Cost against the taps of the kernel, O(k n) and O(m n)",
    "image-curve": "Cost against the pixels of the image, O(k n) and O(m n)",
}

_CAPTIONS = {
    "edges.png": "The photograph, its vertical edges by convolution and by the dense layer, and the difference.",
    "costs.png": "Parameters, multiply-accumulates and time.",
    "connectivity.png": "Connections fall because they are sparse, parameters because they are shared.",
    "curves.png": "Work and time against the taps of the kernel and against the pixels of the image.",
}

_METHOD = """\
## How it was measured

- **Input.** `grace_hopper.jpg` from matplotlib's sample data, cut to the aspect ratio of the problem from the top down
  and resized by area average; grey levels 0 to 255. More samples or channels are tiles of a larger copy of it.
- **Data are whole numbers** and every sum stays below 2^24, so float32 is exact and the two sides can agree in every
  bit; an algorithm that transforms its data (Winograd) may round, and is held to 1e-5 of the largest sum |x| |w|.
- **Dense side.** Its weights are the doubly blocked Toeplitz matrix of the convolution, never stored whole: blocks of
  rows of at most 128 MiB are built in one buffer and multiplied. The time given is that of the multiplications; the
  time to build the blocks, which a dense layer with its weights in memory would not need, is given apart. The ways to
  multiply were timed on the first block and the fastest was used. Each block was multiplied three times (a matrix of
  one block many times) and the fastest counts; the times of all blocks are added. The buffer is smaller than the
  matrix, so a large last-level cache favours the dense side. Its bias is added outside the clock.
- **Convolution.** `fastconv.conv2d`, the fastest of the calls of a fifth of a second after one to warm up.
- **Threads.** Both sides are tried with all threads and with one, which is faster for small work, and keep the better.
- **Operations.** "k multiplications and k - 1 additions" is the lecture's count; hardware is rated at two operations a
  multiply-accumulate. Taps that fall on the padding count as operations and not as connections. Bytes: input,
  parameters and output once each, float32.
- **Locally connected** is the layer with the convolution's windows and no sharing; it is counted and not run.
- C5 of LeNet-5 covers its input: there the two layers are one and the same, ratio 1. F6 and the output layer of LeNet-5
  are dense in the original.
"""


def _terminal_table(table: tables.Table) -> RichTable:
    rich = RichTable(
        title=f"\n{table.title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for place, column in enumerate(table.columns):
        rich.add_column(column, justify="right" if place else "left", no_wrap=True)
    for row in table.rows:
        rich.add_row(*row)
    return rich


def print_tables(run: Run, console: Console) -> None:
    """The edge detector and the comparison on the terminal, within 100 columns."""
    if run.edge:
        console.print(_terminal_table(tables.edge_detector(run.edge)))
    if run.rows:
        console.print(_terminal_table(tables.comparison(run.rows)))
        console.print(tables.SAME, highlight=False)
    for part, title in _CURVE_TITLES.items():
        if run.of(part):
            console.print(_terminal_table(tables.curve(title, run.of(part))))


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _edge_words(run: Run) -> list[str]:
    if not run.edge:
        return []
    edge, dense = run.edge, run.edge.dense
    matrix = f"{edge.conv_output.size:,} x {edge.image.size:,}"
    return [
        "Each output is a pixel less its left neighbour: `conv2d` with the kernel [-1, 1], or a dense layer whose "
        f"matrix has {matrix} entries ({units.size(4 * edge.problem.costs.dense.weights)} in float32), computed in "
        f"{_many(dense.blocks, 'block')} of {dense.block_shape[0]} rows by {dense.way}. "
        + (
            "**The two pictures are equal in every bit.**"
            if not edge.largest_difference
            else f"The two pictures differ by at most {edge.largest_difference:g}."
        )
    ]


def _picture(name: str, written: list[str]) -> list[str]:
    return [f"![{_CAPTIONS[name]}]({name})"] if name in written else []


def markdown(run: Run, pictures: list[str]) -> str:
    """The report as Markdown; ``pictures`` are the files that lie beside it."""
    parts = ["# Convolution against the dense layer"]
    parts.append(
        f"Run in {run.seconds:.0f} s with at most {_many(run.threads, 'thread')} on both sides."
        + ("" if run.finished else " **Interrupted: only what had been finished is here.**")
        + (" Quick run: small sizes." if run.quick else "")
    )
    parts.append("\n".join(f"- {key}: {value}" for key, value in run.machine.items()))

    def section(table: tables.Table, *more: str) -> None:
        parts.extend([f"## {table.title}", *more, table.markdown()])

    if run.edge:
        section(tables.edge_detector(run.edge), *_edge_words(run), *_picture("edges.png", pictures))
    if run.rows:
        section(tables.comparison(run.rows))
        parts.append(f"{tables.SAME}.".capitalize())
        parts.extend(_picture("costs.png", pictures))
        section(tables.connectivity(run.layers), *_picture("connectivity.png", pictures))
        section(tables.dense_side(run.rows))
    curves = [tables.curve(title, run.of(part)) for part, title in _CURVE_TITLES.items() if run.of(part)]
    for table in curves:
        section(table)
    parts.extend(_picture("curves.png", pictures))
    return "\n\n".join([*parts, _METHOD])


def write(run: Run, folder: Path) -> list[str]:
    """Write pictures, report.md and results.json; returns the file names."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = plots.save_all(run, folder)
    (folder / "report.md").write_text(markdown(run, pictures), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(run_as_data(run), indent=2) + "\n", encoding="utf-8")
    return ["report.md", "results.json", *pictures]
