"""One row of the table: prepare every peer, compare their results once, then time them in interleaved rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from problems import Array, parse

from peerbench.catalogue import OURS, Peer
from peerbench.machine import Machine
from peerbench.processes import WorkerError, Workers

QUIET = 0.03  # share of a block's time
ENOUGH = 3  # quiet blocks, or else there are more rounds
MOST_ROUNDS = 3  # times the planned ones
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # largest error over largest value; half precision inside shows


@dataclass
class Outcome:
    """What one peer did in one row, or the reason why there is nothing.

    A block is several calls: seconds per call, and the share of that time its threads waited for a processor that
    other programs had. Blocks that waited long say nothing about the peer; they count only where there are no others.
    """

    blocks: list[tuple[float, float]] = field(default_factory=list)
    error: float | None = None  # against the reference, over its largest value
    failure: str | None = None
    unsupported: str | None = None
    mismatch: bool = False

    @property
    def quiet(self) -> list[float]:
        return [seconds for seconds, wait in self.blocks if wait <= QUIET]

    @property
    def seconds(self) -> float:
        return median(self.quiet or [seconds for seconds, _ in self.blocks])


@dataclass
class Row:
    line: str
    direction: str
    threads: int
    roofline: float  # seconds
    outcomes: dict[str, Outcome]
    reference: str | None = None

    def valid(self, names: Sequence[str]) -> dict[str, Outcome]:
        """Those among ``names`` that ran and were right."""
        present = {n: self.outcomes[n] for n in names if n in self.outcomes}
        return {n: o for n, o in present.items() if o.blocks and not o.mismatch}

    def seconds(self, names: Sequence[str]) -> dict[str, float]:
        return {n: o.seconds for n, o in self.valid(names).items()}

    def quiet(self, names: Sequence[str]) -> bool:
        """Whether the times of all of them were taken undisturbed."""
        return all(o.quiet for o in self.valid(names).values())


def as_json(row: Row) -> dict[str, Any]:
    p = parse(row.line)
    gflops = {n: round(p.flops / s / 1e9, 3) for n, s in row.seconds(list(row.outcomes)).items()}
    return asdict(row) | {"name": p.name, "family": p.family, "flops": p.flops, "bytes": p.bytes, "gflops": gflops}


def from_json(data: dict[str, Any]) -> Row:
    outcomes = {name: Outcome(**o) for name, o in data["outcomes"].items()}
    return Row(data["line"], data["direction"], data["threads"], data["roofline"], outcomes, data["reference"])


@dataclass(frozen=True)
class Plan:
    peers: Sequence[Peer]
    rounds: int
    seconds: float  # of one measurement
    scratch: Path


def measure_row(line: str, direction: str, threads: int, workers: Workers, plan: Plan, machine: Machine) -> Row:
    problem = parse(line)
    row = Row(line, direction, threads, machine.roofline(problem, threads), {})
    results: dict[str, Array] = {}
    for peer in plan.peers:
        outcome = row.outcomes[peer.name] = Outcome()
        file = plan.scratch / f"{peer.name}.npy"
        try:
            worker = workers.get(peer.library, threads)
            answer = worker.ask("prepare", peer=peer.name, line=line, direction=direction, check=str(file))
        except WorkerError as error:
            outcome.failure = str(error)
            continue
        outcome.unsupported = answer.get("unsupported")
        if not outcome.unsupported and peer.like_for_like:
            results[peer.name] = np.load(file)
        file.unlink(missing_ok=True)
    _compare(row, results, TOLERANCE[problem.dtype])
    _time(row, workers, plan)
    workers.forget()
    return row


def _compare(row: Row, results: dict[str, Array], tolerance: float) -> None:
    """Errors against the first result that is not ours, or against the first at all."""
    row.reference = next((n for n in results if n not in OURS), next(iter(results), None))
    if row.reference is None:
        return
    reference = results[row.reference]
    scale = float(np.abs(reference).max(initial=1e-30))
    for name, result in results.items():
        same_shape = result.shape == reference.shape
        error = float(np.abs(result - reference).max(initial=0.0)) / scale if same_shape else float("inf")
        outcome = row.outcomes[name]
        outcome.mismatch = not error <= tolerance  # a NaN is a mismatch
        outcome.error = error if np.isfinite(error) else None


def _time(row: Row, workers: Workers, plan: Plan) -> None:
    ready = [p for p in plan.peers if not (row.outcomes[p.name].failure or row.outcomes[p.name].unsupported)]
    for r in range(MOST_ROUNDS * plan.rounds):
        shift = r % max(1, len(ready))  # so that no peer always follows the same other
        for peer in ready[shift:] + ready[:shift]:
            outcome = row.outcomes[peer.name]
            if outcome.failure:
                continue
            done = r >= plan.rounds and len(outcome.quiet) >= ENOUGH
            slow = r > 1 and outcome.seconds > 1.0  # two rounds are enough of what takes seconds
            if done or slow:
                continue
            try:
                worker = workers.get(peer.library, row.threads)
                outcome.blocks += worker.ask("run", peer=peer.name, seconds=plan.seconds)["blocks"]
            except WorkerError as error:
                outcome.failure = str(error)
