"""Tables of a run: a list of rows for the terminal and Markdown, geometric means by family, and the JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from problems import DIRECTIONS, parse

from peerbench.catalogue import PEERS, RIVALS
from peerbench.machine import Machine
from peerbench.measure import Row, as_json, from_json
from peerbench.targets import FAMILIES, beyond_roofline, margin, ratio

Cells = list[list[str]]


@dataclass
class Report:
    command: str
    machine: Machine
    isa: str
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def select(self, direction: str, threads: int) -> list[Row]:
        return [r for r in self.rows if (r.direction, r.threads) == (direction, threads)]

    def save(self, folder: Path) -> None:
        """Write ``peers.json`` and ``peers.md``."""
        data = asdict(self) | {"rows": [as_json(row) for row in self.rows]}
        (folder / "peers.json").write_text(json.dumps(data))
        (folder / "peers.md").write_text(markdown(self))


def load(path: Path) -> Report:
    """A report from its JSON file."""
    data: dict[str, Any] = json.loads(path.read_text())
    m = data["machine"]
    peak = {int(t): v for t, v in m["peak"].items()}
    bandwidth = {int(t): {int(f): v for f, v in curve.items()} for t, curve in m["bandwidth"].items()}
    machine = Machine(m["cpu"], m["method"], peak, bandwidth)
    rows = [from_json({k: row[k] for k in Row.__dataclass_fields__}) for row in data["rows"]]
    return Report(data["command"], machine, data["isa"], data["versions"], data["missing"], rows)


def columns(rows: Iterable[Row]) -> list[str]:
    """Peers that have a time in one row at least, in the catalogue's order."""
    present = {n for row in rows for n, o in row.outcomes.items() if o.blocks}
    return [p.name for p in PEERS if p.name in present]


def format_number(value: float | None) -> str:
    """Three digits, or all before the point."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def cells(row: Row, names: list[str]) -> list[str]:
    """One line of the table, as :func:`header` names it."""
    problem = parse(row.line)
    rates = [rate(row, n) for n in names]
    tail = (ratio(row, RIVALS), ratio(row, RIVALS, "fastconv-packed"), _roof(row), margin(row))
    return [problem.name, str(problem), row.direction, str(row.threads), *rates, *map(format_number, tail)]


def _roof(row: Row) -> float | None:
    mine = row.seconds(["fastconv"]).get("fastconv")
    return row.roofline / mine if mine and row.quiet(["fastconv"]) else None


def rate(row: Row, name: str) -> str:
    """GFLOP/s of a peer, with a mark if they are wrong or were disturbed."""
    outcome = row.outcomes.get(name)
    if outcome is None or outcome.unsupported:
        return ""
    if outcome.failure:
        return "failed"
    gflops = parse(row.line).flops / outcome.seconds / 1e9
    return format_number(gflops) + "!" * outcome.mismatch + "~" * (not outcome.quiet)


def header(names: list[str]) -> list[str]:
    return ["name", "problem", "direction", "thr", *names, "ratio", "packed", "roof", "target"]


def means(rows: list[Row]) -> Cells:
    """Geometric means by family, direction and threads, and over all rows held against another library."""
    table: Cells = []
    families = [*FAMILIES, *sorted({parse(r.line).family for r in rows} - set(FAMILIES)), ""]
    for family in families:
        for direction in DIRECTIONS:
            for threads in sorted({r.threads for r in rows}):
                group = [
                    r for r in rows
                    if r.direction == direction and r.threads == threads and family in ("", parse(r.line).family)
                ]  # fmt: skip
                if group:
                    table.append([family or "all", direction, str(threads), str(len(group)), *_group(group)])
    return table


def _group(rows: list[Row]) -> list[str]:
    def mean(value: Callable[[Row], float | None]) -> str:
        values = [v for v in map(value, rows) if v is not None]
        return format_number(geometric_mean(values)) if values else ""

    margins = [m for m in map(margin, rows) if m is not None]
    best = [r for r in (ratio(row, RIVALS) for row in rows) if r is not None]
    return [
        mean(lambda row: ratio(row, RIVALS)),
        mean(lambda row: ratio(row, RIVALS, "fastconv-packed")),
        format_number(min(best, default=None)),
        mean(_roof),
        f"{sum(m >= 1 for m in margins)}/{len(margins)}" if margins else "",
    ]


MEANS_HEADER = ["family", "direction", "thr", "rows", "ratio", "packed", "worst", "roof", "targets"]


SHORT_LEGEND = """reached: rows at their family's target; beyond the roofline: those that would need more than 95 % of
the direct method's roofline to reach it; short: the others, with the share of the target that they reach.
"""
SHORT_HEADER = ["family", "direction", "thr", "rows", "reached", "beyond the roofline", "short"]


def short(rows: list[Row]) -> Cells:
    """How rows stand to their targets: reached, beyond what the direct method could do, or short of it by how much."""
    table: Cells = []
    for family in FAMILIES:
        for direction in DIRECTIONS:
            for threads in sorted({r.threads for r in rows}):
                group = [
                    r for r in rows if (parse(r.line).family, r.direction, r.threads) == (family, direction, threads)
                ]
                margins = [(m, r) for r in group if (m := margin(r)) is not None]
                below = sorted(((m, r) for m, r in margins if m < 1), key=itemgetter(0))
                near = [f"{parse(r.line).name} {m:.2f}" for m, r in below if not beyond_roofline(r)]
                counts = (len(margins), len(margins) - len(below), len(below) - len(near))
                if margins:
                    table.append([family, direction, str(threads), *map(str, counts), ", ".join(near)])
    return table


def speedups(report: Report) -> Cells:
    """Time on one thread over time on the most threads, for rows of a millisecond and more."""
    by_row: dict[tuple[str, str], dict[int, float]] = {}
    for row in report.rows:
        if row.quiet(["fastconv"]) and (mine := row.seconds(["fastconv"])):
            by_row.setdefault((row.line, row.direction), {})[row.threads] = mine["fastconv"]
    table: Cells = []
    for (line, direction), times in by_row.items():
        low, high = min(times), max(times)
        if high > low and times[low] >= 1e-3:
            quicker = format_number(times[low] / times[high])
            table.append([parse(line).name, direction, f"{times[low] * 1e3:.3g}", quicker])
    return table


def markdown_table(head: list[str], body: Cells, left: int | None = None) -> str:
    """A table; columns after the first ``left`` are numbers, and end at one place."""
    rule = ["---" if left is None or i < left else "---:" for i in range(len(head))]
    lines = [head, rule, *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _notes(report: Report) -> list[str]:
    """Everything odd, one line each: missing peers, failures, wrong results."""
    notes = [f"{name}: {reason}" for name, reason in report.missing.items()]
    for row in report.rows:
        for name, o in row.outcomes.items():
            where = f"{name}, {parse(row.line).name} {row.direction} on {row.threads}"
            if o.failure and not any(o.failure == reason for reason in report.missing.values()):
                notes.append(f"{where}: {o.failure}")
            if o.mismatch:
                notes.append(f"{where}: result differs from {row.reference}'s (error {o.error})")
    return notes


LEGEND = """Rates are effective GFLOP/s: twice the direct method's multiply-accumulates over the median time (pools:
taps). ratio: fastconv's plain call against the best peer; packed: PackedConv against the best peer; roof: share of the
roofline of the direct method (a faster algorithm may pass 1); target: ratio over what the family aims at.
`!` marks a result that differs from the reference, `~` a time taken while other programs had the processors:
its row has no ratio that it could change, and is missing from the means.
"""


def behind(rows: list[Row]) -> Cells:
    """Rows that are slower than the best peer."""
    return [
        [parse(r.line).name, r.direction, str(r.threads), format_number(q)]
        for r in rows
        if (q := ratio(r, RIVALS)) is not None and q < 1
    ]


def _bandwidth(machine: Machine) -> str:
    footprints = [f"{f >> 10} KiB" for f in next(iter(machine.bandwidth.values()))]
    copies = [[str(t), *(f"{rate / 1e9:.0f}" for rate in curve.values())] for t, curve in machine.bandwidth.items()]
    return markdown_table(["threads", *footprints], copies)


def markdown(report: Report) -> str:
    names = columns(report.rows)
    peak = ", ".join(f"{p / 1e9:.0f} GFLOP/s on {t}" for t, p in report.machine.peak.items())
    parts = [
        "# fastconv and its peers\n",
        f"`{report.command}`\n",
        f"{report.machine.cpu}; rung: {report.isa}. Peak ({report.machine.method}): {peak}.\n",
        "Copy bandwidth in GB/s by a thread's footprint (read and write counted):\n",
        _bandwidth(report.machine),
        LEGEND,
        "## Geometric means\n",
        markdown_table(MEANS_HEADER, means(report.rows)),
        "## Targets\n",
        SHORT_LEGEND,
        markdown_table(SHORT_HEADER, short(report.rows)),
        "## Rows\n",
        markdown_table(header(names), [cells(row, names) for row in report.rows]),
    ]
    if slower := behind(report.rows):
        parts += ["## Behind the best peer\n", markdown_table(["name", "direction", "thr", "ratio"], slower)]
    if scaling := speedups(report):
        parts += ["## Threads\n", markdown_table(["name", "direction", "ms on one", "speed-up"], scaling)]
    parts += ["## What a call includes\n", *(f"- **{p.name}**: {p.includes}\n" for p in PEERS if p.name in names)]
    parts += ["\nVersions: " + ", ".join(f"{k} {v}" for k, v in report.versions.items()) + "\n"]
    if notes := _notes(report):
        parts += ["## Notes\n", *(f"- {note}\n" for note in notes)]
    return "\n".join(parts)
