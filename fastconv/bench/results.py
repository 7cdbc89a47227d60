"""The results of a run as plain data: what results.json holds and the report is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastconv import analysis
from fastconv.bench import photo
from fastconv.bench.measure import Outcome
from fastconv.bench.parts import CURVES

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Run:
    """One run of the job: everything measured, and under which conditions. ``seconds`` is its whole wall-clock time."""

    machine: dict[str, str]
    threads: int
    quick: bool
    finished: bool
    seconds: float
    outcomes: list[Outcome]

    def of(self, *parts: str) -> list[Outcome]:
        """The outcomes of these parts."""
        return [outcome for outcome in self.outcomes if outcome.part in parts]

    @property
    def rows(self) -> list[Outcome]:
        """The outcomes that are no points of a curve."""
        return [outcome for outcome in self.outcomes if outcome.part not in CURVES]

    @property
    def layers(self) -> list[Outcome]:
        """The rows, each layer once whatever its batches."""
        return [outcome for outcome in self.rows if outcome.problem.batch == 1]

    @property
    def edge(self) -> Outcome | None:
        """The edge detector, if it was run."""
        return next(iter(self.of("edge")), None)


def _counts(cost: analysis.Cost) -> dict[str, int]:
    return {
        "parameters": cost.parameters,
        "connections": cost.connections,
        "macs": cost.macs,
        "flops": cost.flops,
        "multiply_add_ops": cost.multiply_add_ops,
        "bytes": cost.bytes(),
    }


def outcome_as_data(outcome: Outcome) -> dict[str, Any]:
    """One row: counts of the three layers, seconds of the two sides, and how they were computed."""
    problem, costs, dense = outcome.problem, outcome.problem.costs, outcome.dense
    convolution = {
        "seconds": outcome.conv_seconds,
        "threads": outcome.conv_threads,
        "algorithm": outcome.algorithm,
    }
    return {
        "part": outcome.part,
        "name": problem.name,
        "input_shape": [problem.batch, *problem.input_shape],
        "weight_shape": list(problem.weight_shape),
        "output_shape": [problem.batch, *problem.output_shape],
        "padding": problem.padding,
        "bias": problem.bias,
        "convolution": _counts(costs.convolution) | convolution,
        "locally_connected": _counts(costs.locally_connected),
        "dense": _counts(costs.dense)
        | {
            "seconds": dense.multiply_seconds,
            "build_seconds": dense.build_seconds,
            "way": dense.way,
            "trial_seconds": dense.trials,
            "blocks": dense.blocks,
            "block_shape": list(dense.block_shape),
        },
        "speed_ratio": outcome.speed_ratio,
        "mac_ratio": costs.dense.macs / costs.convolution.macs,
        "largest_difference": outcome.largest_difference,
        "relative_difference": outcome.relative_difference,
        "same_bits": outcome.largest_difference == 0,
    }


def run_as_data(run: Run) -> dict[str, Any]:
    """The whole run, ready for :func:`json.dumps`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "machine": run.machine,
        "threads": run.threads,
        "quick": run.quick,
        "finished": run.finished,
        "seconds": run.seconds,
        "photograph": photo.NAME,
        "rows": [outcome_as_data(outcome) for outcome in run.rows],
        "curves": {part: [outcome_as_data(outcome) for outcome in run.of(part)] for part in CURVES},
    }
