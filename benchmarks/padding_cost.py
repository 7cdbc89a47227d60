"""What a padding mode costs over zeros, in time and in memory, as a Markdown table.

Time: a 3x3 layer of 64 channels on 56x56, forward and both gradients, the modes called in turn round after round,
median over median of zeros. Memory: the largest resident size during one call on 1x64x512x512 beyond what was resident
before it, arrays and result allocated and touched beforehand, each call in a process of its own (Linux only).

    python benchmarks/padding_cost.py --threads 1
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from problems import MODES, Array, Problem, parse

import fastconv

DIRECTIONS = ("forward", "grad_input", "grad_weight")
TIMED = "timed dense 1 64 56 56 -> 64 k3 p1"
WEIGHED = "weighed dense 1 64 512 512 -> 64 k3 p1"
WARM_UP = "warm-up dense 1 2 4 4 -> 2 k3 p1"


def call_of(problem: Problem, direction: str) -> Callable[[], Array]:
    """One direction of a 2-d problem as a call that writes into a result made, and touched, beforehand."""
    x, w, dy = (np.full(shape, 0.5, np.float32) for shape in (problem.input, problem.weight, problem.output))
    calls = {
        "forward": partial(fastconv.conv2d, x, w, out=np.full_like(dy, 0.0), **problem.steps),
        "grad_input": partial(
            fastconv.conv2d_grad_input, dy, w, problem.input, out=np.full_like(x, 0.0), **problem.steps
        ),
        "grad_weight": partial(
            fastconv.conv2d_grad_weight, dy, x, problem.kernel, out=np.full_like(w, 0.0), **problem.steps
        ),
    }
    return calls[direction]


def median_times(calls: dict[str, Callable[[], Array]], rounds: int) -> dict[str, float]:
    """Median seconds of each call, all of them once a round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = perf_counter()
            call()
            times[name].append(perf_counter() - start)
    return {name: median(seconds[rounds // 10 :]) for name, seconds in times.items()}


def time_ratios(direction: str, rounds: int) -> dict[str, float]:
    """Time of each mode over that of zeros."""
    times = median_times({mode: call_of(parse(f"{TIMED} {mode}"), direction) for mode in MODES}, rounds)
    return {mode: seconds / times["zeros"] for mode, seconds in times.items()}


def _resident(field: str) -> int:
    """A size of this process in bytes: ``VmRSS`` now, or ``VmHWM`` the largest since it was last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak_extra(mode: str, direction: str, threads: int) -> int:
    """Bytes that one large call holds at its peak beyond its arrays; run it in a fresh process."""
    fastconv.set_num_threads(threads)
    call_of(parse(f"{WARM_UP} {mode}"), direction)()
    call = call_of(parse(f"{WEIGHED} {mode}"), direction)
    Path("/proc/self/clear_refs").write_text("5")  # forget the largest size so far
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def memory(threads: int) -> dict[tuple[str, str], int]:
    """:func:`peak_extra` of every mode and direction."""
    cases = [(mode, direction) for mode in MODES for direction in DIRECTIONS]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        sizes = pool.map(peak_extra, *zip(*cases, strict=True), [threads] * len(cases))
        return dict(zip(cases, sizes, strict=True))


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(columns)
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=200, help="rounds of the timing (default: %(default)s)")
    options = parser.parse_args()
    with fastconv.threads(options.threads):
        ratios = {direction: time_ratios(direction, options.rounds) for direction in DIRECTIONS}
    sizes = memory(options.threads)
    print(f"{options.threads} thread(s), {fastconv.show_config()['isa']}; time over zeros on 1x64x56x56 -> 64, 3x3;")
    print("peak extra memory on 1x64x512x512 -> 64, 3x3, whose padded copy would be 64.5 MiB\n")
    columns = ["mode", *(f"time, {d}" for d in DIRECTIONS), *(f"MiB, {d}" for d in DIRECTIONS)]
    print(
        table(
            columns,
            (
                [mode]
                + [f"{ratios[direction][mode]:.3f}" for direction in DIRECTIONS]
                + [f"{sizes[mode, direction] / 2**20:.2f}" for direction in DIRECTIONS]
                for mode in MODES
            ),
        )
    )


if __name__ == "__main__":
    main()
