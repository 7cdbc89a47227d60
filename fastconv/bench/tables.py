"""The tables of the report as rows of text, for the terminal and for Markdown alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastconv.bench import units
from fastconv.bench.measure import Outcome


@dataclass(frozen=True)
class Table:
    """A heading, the names of the columns and the cells; the first column is text, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table as Markdown, without its heading."""
        rule = ("---", *("---:" for _ in self.columns[1:]))
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.columns, rule, *self.rows))


SAME = "same: the largest difference of the two results over the largest sum |x| |w|, or none"


def _agreement(outcome: Outcome) -> str:
    difference = outcome.relative_difference
    return "exactly" if not difference else f"to {difference:.1g}"


def edge_detector(outcome: Outcome) -> Table:
    """The lecture's comparison, to the last operation."""
    costs, dense = outcome.problem.costs, outcome.dense
    conv, full = costs.convolution, costs.dense
    exact = [
        ("operations: k multiplications, k - 1 additions", conv.multiply_add_ops, full.multiply_add_ops),
        ("multiply-accumulates (MACs)", conv.macs, full.macs),
        ("floating point operations, 2 x MACs", conv.flops, full.flops),
        ("parameters", conv.parameters, full.parameters),
        ("connections", conv.connections, full.connections),
        ("bytes of input, parameters and output", conv.bytes(), full.bytes()),
    ]
    rows = [(name, f"{a:,}", f"{b:,}", units.ratio(b / a)) for name, a, b in exact]
    times = (units.seconds(outcome.conv_seconds), units.seconds(dense.multiply_seconds))
    rows.append(("time", *times, units.ratio(outcome.speed_ratio)))
    rows.append(("time to build the matrix", "-", units.seconds(dense.build_seconds), "-"))
    return Table(f"Edge detector: {outcome.problem.name}", ("", "convolution", "dense layer", "ratio"), rows)


def comparison(outcomes: list[Outcome]) -> Table:
    """One line a layer: work, parameters and time of both sides."""
    columns = ("layer", "MACs", "dense", "params", "dense", "time", "dense", "faster", "same")
    rows = []
    for outcome in outcomes:
        conv, full = outcome.problem.costs.convolution, outcome.problem.costs.dense
        pairs = [(conv.macs, full.macs), (conv.parameters, full.parameters)]
        counts = [units.count(number) for pair in pairs for number in pair]
        times = [units.seconds(outcome.conv_seconds), units.seconds(outcome.dense.multiply_seconds)]
        rows.append((outcome.problem.name, *counts, *times, units.ratio(outcome.speed_ratio), _agreement(outcome)))
    return Table("Convolution against the dense layer of the same inputs and outputs", columns, rows)


def connectivity(outcomes: list[Outcome]) -> Table:
    """Sparse connections and shared parameters, each step counted apart."""
    columns = ("layer", "connections: dense", "local", "convolution", "parameters: dense", "local", "convolution")
    rows = []
    for outcome in outcomes:
        costs = outcome.problem.costs
        layers = (costs.dense, costs.locally_connected, costs.convolution)
        numbers = [layer.connections for layer in layers] + [layer.parameters for layer in layers]
        rows.append((outcome.problem.name, *map(units.count, numbers)))
    return Table("Sparse connectivity and parameter sharing", columns, rows)


def dense_side(outcomes: list[Outcome]) -> Table:
    """How each dense product was done, and how fast its weights were read."""
    columns = ("layer", "done by", "matrix", "blocks", "build", "multiply", "weights read", "every way, one block")
    rows = []
    for outcome in outcomes:
        dense, full = outcome.dense, outcome.problem.costs.dense
        trials = "; ".join(f"{way} {units.seconds(time)}" for way, time in dense.trials.items())
        size = f"{full.weights // outcome.image[0].size:,} x {outcome.image[0].size:,}"
        times = (units.seconds(dense.build_seconds), units.seconds(dense.multiply_seconds))
        speed = f"{units.size(4 * full.weights / dense.multiply_seconds)}/s"
        rows.append((outcome.problem.name, dense.way, size, str(dense.blocks), *times, speed, trials))
    return Table("The dense side", columns, rows)


def curve(title: str, outcomes: list[Outcome]) -> Table:
    """Points of a curve: the layer, both counts and both times."""
    columns = ("size", "MACs", "dense MACs", "time", "dense time", "faster")
    rows = []
    for outcome in outcomes:
        costs = outcome.problem.costs
        times = map(units.seconds, (outcome.conv_seconds, outcome.dense.multiply_seconds))
        counts = map(units.count, (costs.convolution.macs, costs.dense.macs))
        rows.append((outcome.problem.name, *counts, *times, units.ratio(outcome.speed_ratio)))
    return Table(title, columns, rows)
