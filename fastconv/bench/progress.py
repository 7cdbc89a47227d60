"""Live progress of the job on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fastconv.bench import units
from fastconv.bench.measure import Outcome
from fastconv.bench.parts import Problem

# What a problem costs beyond the entries of its matrix, in entries: about the second that the timed calls take.
_FIXED_WORK = 2e9


def _work(problem: Problem) -> float:
    return problem.costs.dense.weights + _FIXED_WORK


class JobProgress:
    """A bar over all problems that moves with every block of a dense product, and a line for each finished problem."""

    def __init__(self, console: Console, problems: Sequence[Problem]) -> None:
        self._bar = Progress(
            TextColumn("{task.description:32.32}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=sum(map(_work, problems)))
        self._done = 0.0

    @contextmanager
    def shown(self) -> Iterator[JobProgress]:
        """Show the bar while the job runs."""
        with self._bar:
            yield self

    def measured(self, problem: Problem, measure: Callable[[Callable[[float], None]], Outcome]) -> Outcome:
        """Run ``measure`` with a callback for its progress, and print a line when it is done."""
        self._bar.update(self._task, description=problem.name)
        outcome = measure(lambda share: self._bar.advance(self._task, share * problem.costs.dense.weights))
        self._done += _work(problem)
        self._bar.update(self._task, completed=self._done)
        times = units.seconds(outcome.conv_seconds), units.seconds(outcome.dense.multiply_seconds)
        self._bar.console.print(
            f"{problem.name:32} {times[0]:>9} against {times[1]:>9}, {units.ratio(outcome.speed_ratio)}"
        )
        return outcome
