"""What a worker is asked for: a problem, a direction, and the data of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from problems import Array, Problem


@dataclass(frozen=True)
class Task:
    """A problem, a direction and its data: the same numbers in every process."""

    problem: Problem
    direction: str

    @cached_property
    def x(self) -> Array:
        return self.problem.data("x", self.problem.input)

    @cached_property
    def w(self) -> Array:
        return self.problem.data("w", self.problem.weight)

    @cached_property
    def dy(self) -> Array:
        return self.problem.data("dy", self.problem.output)

    def changed(self, **changes: Any) -> Task:
        """The same task of a problem that differs in some fields."""
        return Task(replace(self.problem, **changes), self.direction)
