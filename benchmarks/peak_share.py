"""Share of the processor's peak that the packed direct engine reaches, as a Markdown table.

A 3x3 layer of 256 channels on 56x56 by ``algorithm="direct"`` on one thread, forward and both gradients, median of the
calls, over the best of the loops of fused multiply-adds on registers (``peerbench/probe.c``) that run between them.

    python benchmarks/peak_share.py
    FASTCONV_ISA=v3 python benchmarks/peak_share.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from peerbench.machine import multiply_adds
from problems import Problem, parse

import fastconv

LAYER = "layer dense 1 256 56 56 -> 256 k3 p1"


def calls_of(problem: Problem) -> dict[str, Callable[[], Any]]:
    """The three directions of a 2-d problem by the direct algorithm."""
    shapes = {"x": problem.input, "w": problem.weight, "dy": problem.output}
    x, w, dy = (problem.data(name, shape) for name, shape in shapes.items())
    options = dict(problem.steps, algorithm="direct")
    return {
        "forward": partial(fastconv.conv2d, x, w, **options),
        "grad_input": partial(fastconv.conv2d_grad_input, dy, w, problem.input, **options),
        "grad_weight": partial(fastconv.conv2d_grad_weight, dy, x, problem.kernel, **options),
    }


def seconds(call: Callable[[], Any]) -> float:
    """Time of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    isa, problem = str(fastconv.show_config()["isa"]), parse(LAYER)
    calls = calls_of(problem)
    times: dict[str, list[float]] = {name: [] for name in calls}
    with TemporaryDirectory() as scratch, fastconv.threads(1):
        probe = multiply_adds(isa, Path(scratch))
        if probe is None:
            raise SystemExit(f"the peak of {isa} cannot be measured here: no C compiler, or not an x86-64 processor")
        work, operations, peaks = probe[0], probe[0](0), []
        for _ in range(rounds):
            for name, call in calls.items():
                peaks.append(operations / seconds(partial(work, 0)))
                times[name].append(seconds(call))
    print(f"{isa}, one thread, peak {max(peaks) / 1e9:.0f} GFLOP/s\n")
    print("| direction | GFLOP/s | of peak |\n| --- | ---: | ---: |")
    for name, values in times.items():
        reached = problem.flops / median(values)
        print(f"| {name} | {reached / 1e9:.0f} | {reached / max(peaks):.1%} |")


if __name__ == "__main__":
    main()
