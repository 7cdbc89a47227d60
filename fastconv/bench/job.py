"""The job from the first problem to the report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from fastconv.bench.parts import PARTS, problems
from fastconv.extras import require

if TYPE_CHECKING:
    from rich.console import Console

    from fastconv.bench.measure import Outcome

_PLAIN_WIDTH = 100  # of the tables in a file or a pipe
_INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C


@dataclass(frozen=True)
class Options:
    """What to run: which of ``PARTS``, small or full, with how many threads (None: all), into which folder."""

    out: Path
    quick: bool = False
    threads: int | None = None
    parts: tuple[str, ...] = PARTS


def run(options: Options) -> int:
    """Run the job, show and write its results; Ctrl-C keeps what has been measured. Returns the exit code.

    Raises :class:`fastconv.extras.MissingExtra` without the ``bench`` extra.
    """
    require("bench", "matplotlib", "PIL", "rich", "threadpoolctl")
    from rich.console import Console

    from fastconv.bench import machine, report
    from fastconv.bench.results import Run

    options.out.mkdir(parents=True, exist_ok=True)  # now, and not after minutes of measuring
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    start = perf_counter()
    outcomes: list[Outcome] = []
    with machine.at_most(options.threads) as threads:
        finished = _measure_all(options, outcomes, console)
        result = Run(machine.describe(), threads, options.quick, finished, perf_counter() - start, outcomes)
    report.print_tables(result, console)
    written = report.write(result, options.out)
    console.print(f"{result.seconds:.0f} s. Written to {options.out}: {', '.join(written)}")
    return 0 if finished else _INTERRUPTED


def _measure_all(options: Options, outcomes: list[Outcome], console: Console) -> bool:
    """Append an outcome for every problem; returns False if the user interrupted it."""
    from fastconv.bench.measure import measure
    from fastconv.bench.progress import JobProgress

    work = [(part, problem) for part in options.parts for problem in problems(part, options.quick)]
    try:
        with JobProgress(console, [problem for _, problem in work]).shown() as progress:
            for part, problem in work:
                outcomes.append(progress.measured(problem, partial(measure, part, problem)))
    except KeyboardInterrupt:
        console.print("Interrupted: keeping what is finished.")
        return False
    return True
