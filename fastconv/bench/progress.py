"""Live progress of the job: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fastconv.bench import units
from fastconv.bench.measure import Outcome
from fastconv.bench.parts import Problem

# What a problem costs beyond the entries of its matrix, in entries: about the second that the timed calls take.
_FIXED_WORK = 2e9
_QUIET_SECONDS = 10.0  # without a terminal, no longer than this without a line


def _work(problem: Problem) -> float:
    return problem.costs.dense.weights + _FIXED_WORK


class JobProgress:
    """A bar over all problems that moves with every block of a dense product, and a line for each finished problem.

    Where there is no terminal for the bar, a line tells every few seconds how far the job is.
    """

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
        self._all = sum(map(_work, problems))
        self._task = self._bar.add_task("", total=self._all)
        self._done = 0.0
        self._told = perf_counter()

    @contextmanager
    def shown(self) -> Iterator[JobProgress]:
        """Show the bar while the job runs."""
        with self._bar:
            yield self

    def measured(self, problem: Problem, measure: Callable[[Callable[[float], None]], Outcome]) -> Outcome:
        """Run ``measure`` with a callback for its progress, and print a line when it is done."""
        self._bar.update(self._task, description=problem.name)
        outcome = measure(lambda share: self._advance(problem, share))
        self._done += _work(problem)
        self._bar.update(self._task, completed=self._done)
        times = units.seconds(outcome.conv_seconds), units.seconds(outcome.dense.multiply_seconds)
        self._print(f"{times[0]:>9} against {times[1]:>9}, {units.ratio(outcome.speed_ratio)}", problem)
        return outcome

    def _advance(self, problem: Problem, share: float) -> None:
        self._bar.advance(self._task, share * problem.costs.dense.weights)
        if not self._bar.console.is_terminal and perf_counter() - self._told > _QUIET_SECONDS:
            self._print(f"{self._bar.tasks[0].completed / self._all:9.0%} of the job", problem)

    def _print(self, text: str, problem: Problem) -> None:
        self._bar.console.print(f"{problem.name:32} {text}")
        self._told = perf_counter()
