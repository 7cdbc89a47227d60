"""Problems of the benchmark suites, read from shapes.txt.

A line is ``name family N C spatial... -> target options``. The target is the number of output channels, or the name of
a pool. Options: ``k3x5`` kernel, ``s2`` stride, ``p1`` padding, ``d2`` dilation (one number, or one per axis), ``g8``
groups, and a padding mode by its name. ``#`` starts a comment.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]

SHAPES = Path(__file__).with_name("shapes.txt")
POOLS = ("max_pool", "avg_pool", "global_avg_pool")
MODES = ("zeros", "reflect", "replicate", "circular", "symmetric")


@dataclass(frozen=True)
class Problem:
    """A convolution or a pool of float32 arrays.

    input: ``(N, C, *spatial)``; op: ``"conv"`` or one of ``POOLS``; channels: of the output; kernel, stride, padding
    (the same on both sides) and dilation: one number a spatial axis.
    """

    name: str
    family: str
    input: Shape
    op: str
    channels: int
    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int = 1
    mode: str = "zeros"

    @property
    def nd(self) -> int:
        """Spatial axes."""
        return len(self.kernel)

    @property
    def weight(self) -> Shape:
        """Shape of the weight of a convolution."""
        return (self.channels, self.input[1] // self.groups, *self.kernel)

    @property
    def output(self) -> Shape:
        """Shape of the result."""
        axes = zip(self.input[2:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        sizes = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
        return (self.input[0], self.channels, *sizes)

    @property
    def flops(self) -> int:
        """Two operations a multiply-accumulate of the direct method; for a pool, one an element of a window."""
        windows = prod(self.output) * prod(self.kernel)
        return 2 * windows * self.weight[1] if self.op == "conv" else windows

    @property
    def bytes(self) -> int:
        """What any method must touch, in either direction: input, weight and output once each."""
        weight = prod(self.weight) if self.op == "conv" else 0
        return 4 * (prod(self.input) + weight + prod(self.output))

    @property
    def steps(self) -> dict[str, Any]:
        """The keyword arguments of the convolution functions."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "padding_mode": self.mode,
        }

    def data(self, what: str, shape: Shape) -> Array:
        """Numbers in [-1, 1), the same in every run."""
        generator = np.random.default_rng(zlib.crc32(f"{self.name} {what}".encode()))
        return generator.uniform(-1, 1, shape).astype(np.float32)


def _options(words: list[str], nd: int) -> tuple[dict[str, Shape], str]:
    values, mode = dict[str, Shape](), "zeros"
    for word in words:
        if word in MODES:
            mode = word
            continue
        letter, numbers = word[0], tuple(map(int, word[1:].split("x")))
        axes = 1 if letter == "g" else nd
        if letter not in "kspdg" or letter in values or len(numbers) not in (1, axes):
            raise ValueError(f"option {word!r} does not fit {nd} axes")
        values[letter] = numbers if len(numbers) == axes else numbers * axes
    return values, mode


def parse(line: str) -> Problem:
    """Read one line. Raises ValueError that shows the line."""
    try:
        left, right = line.split("->")
        name, family, *sizes = left.split()
        target, *words = right.split()
        shape = tuple(map(int, sizes))
        nd = len(shape) - 2
        values, mode = _options(words, nd)
        is_pool = target in POOLS
        kernel = shape[2:] if target == "global_avg_pool" else values.get("k", (1,) * nd)
        problem = Problem(
            name=name,
            family=family,
            input=shape,
            op=target if is_pool else "conv",
            channels=shape[1] if is_pool else int(target),
            kernel=kernel,
            stride=values.get("s", kernel if is_pool else (1,) * nd),
            padding=values.get("p", (0,) * nd),
            dilation=values.get("d", (1,) * nd),
            groups=values.get("g", (1,))[0],
            mode=mode,
        )
        if nd not in (1, 2, 3) or min(problem.output) < 1:
            raise ValueError(f"the output would be {problem.output}")
        if shape[1] % problem.groups or problem.channels % problem.groups:
            raise ValueError(f"{problem.groups} groups do not divide the channels")
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"not a problem: {line.strip()!r}: {error}") from error
    return problem


def load(path: Path = SHAPES) -> list[Problem]:
    """Every problem of a file, in its order. Raises ValueError for a line that is none and for a name used twice."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    problems = [parse(line) for line in lines if line]
    names = [problem.name for problem in problems]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"names used twice in {path}: {sorted(twice)}")
    return problems


def convolutions() -> list[Problem]:
    """The convolutions of shapes.txt."""
    return [problem for problem in load() if problem.op == "conv"]


def pools() -> list[Problem]:
    """The pools of shapes.txt."""
    return [problem for problem in load() if problem.op != "conv"]
