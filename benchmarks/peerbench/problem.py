"""A problem of the benchmark as a value, read from one line of text.

A line is ``name family N C spatial... -> target options``. The target is the number of output channels, or the name of
a pool. Options: ``k3x5`` kernel, ``s2`` stride, ``p1`` padding, ``d2`` dilation (one number, or one per axis), ``g8``
groups, ``float64``, and a padding mode by its name. ``#`` starts a comment.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]

DIRECTIONS = ("forward", "grad_input", "grad_weight")
POOLS = ("max_pool", "avg_pool", "adaptive_avg_pool", "global_avg_pool")
MODES = ("reflect", "replicate", "circular")


@dataclass(frozen=True)
class Problem:
    """A convolution or pool: ``x (n, ic, *spatial)``, ``w (oc, ic / groups, *kernel)``, padding equal on both sides."""

    name: str
    family: str
    input: Shape
    op: str
    oc: int
    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int = 1
    dtype: str = "float32"
    mode: str = "zeros"

    @property
    def nd(self) -> int:
        return len(self.input) - 2

    @property
    def weight(self) -> Shape:
        return (self.oc, self.input[1] // self.groups, *self.kernel)

    @property
    def output(self) -> Shape:
        axes = zip(self.input[2:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return (self.input[0], self.oc, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes))

    @property
    def flops(self) -> int:
        """Two operations for each multiply-accumulate of the direct method; for a pool one for each tap."""
        taps = prod(self.output) * prod(self.kernel)
        return 2 * taps * self.weight[1] if self.op == "conv" else taps

    @property
    def bytes(self) -> int:
        """Memory that any method has to touch, whatever the direction: two arrays read, one written."""
        weight = prod(self.weight) if self.op == "conv" else 0
        return (prod(self.input) + weight + prod(self.output)) * np.dtype(self.dtype).itemsize

    @property
    def directions(self) -> tuple[str, ...]:
        return DIRECTIONS if self.op == "conv" else DIRECTIONS[:2]

    def __str__(self) -> str:
        size = ",".join(map(str, self.input))
        words = [f"{size} -> {self.oc}" if self.op == "conv" else f"{size} {self.op}", "x".join(map(str, self.kernel))]
        for word, values, default in (("/", self.stride, 1), ("p", self.padding, 0), ("d", self.dilation, 1)):
            if any(v != default for v in values):
                words.append(word + "x".join(map(str, values if len(set(values)) > 1 else values[:1])))
        if self.groups > 1:
            words.append("depthwise" if self.groups == self.input[1] else f"g{self.groups}")
        words += [self.dtype] * (self.dtype != "float32") + [self.mode] * (self.mode != "zeros")
        return " ".join(words)


def parse(line: str) -> Problem:
    """Read one line; ValueError shows the line at fault."""
    try:
        left, right = line.split("->")
        name, family, *size = left.split()
        target, *options = right.split()
        shape = tuple(map(int, size))
        nd = len(shape) - 2
        values: dict[str, Any] = {"k": (1,) * nd, "s": None, "p": (0,) * nd, "d": (1,) * nd, "g": (1,)}
        dtype, mode = "float32", "zeros"
        for option in options:
            if option in MODES:
                mode = option
            elif option == "float64":
                dtype = option
            else:
                numbers = tuple(map(int, option[1:].split("x")))
                values[option[0]] = numbers * (nd if len(numbers) == 1 and option[0] != "g" else 1)
        pool = target in POOLS
        if target == "global_avg_pool":
            values["k"] = shape[2:]
        stride = values["s"] or (values["k"] if pool else (1,) * nd)
        problem = Problem(
            name, family, shape, target if pool else "conv", shape[1] if pool else int(target),
            values["k"], stride, values["p"], values["d"], values["g"][0], dtype, mode,
        )  # fmt: skip
        if nd not in (1, 2, 3) or min(problem.output) < 1 or set(values) - set("kspdg"):
            raise ValueError("sizes or options do not fit")
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f"not a problem: {line.strip()!r}: {error}") from error
    return problem


def read_lines(path: Path) -> list[str]:
    """Lines of a shapes file that hold a problem, without comments."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


@dataclass(frozen=True)
class Task:
    """A problem, a direction and its data: the same numbers in every process."""

    problem: Problem
    direction: str

    def _random(self, what: str, shape: Shape) -> Array:
        rng = np.random.default_rng(zlib.crc32(f"{self.problem.name} {what}".encode()))
        return rng.uniform(-1, 1, shape).astype(self.problem.dtype)

    @cached_property
    def x(self) -> Array:
        return self._random("x", self.problem.input)

    @cached_property
    def w(self) -> Array:
        return self._random("w", self.problem.weight)

    @cached_property
    def dy(self) -> Array:
        return self._random("dy", self.problem.output)

    def changed(self, **changes: Any) -> Task:
        """The same task of a problem that differs in some fields."""
        return Task(replace(self.problem, **changes), self.direction)
