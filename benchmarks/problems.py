"""Problems of all benchmarks, read from shapes.txt and peers_shapes.txt.

A line is ``name family N C spatial... -> target options``. The target is the number of output channels, or the name of
a pool. Options: ``k3x5`` kernel, ``s2`` stride, ``p1`` padding, ``d2`` dilation (one number, or one per axis), ``g8``
groups, ``float64``, and a padding mode by its name. ``#`` starts a comment.
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
DIRECTIONS = ("forward", "grad_input", "grad_weight")
POOLS = ("max_pool", "avg_pool", "adaptive_avg_pool", "global_avg_pool")
MODES = ("zeros", "reflect", "replicate", "circular", "symmetric")


@dataclass(frozen=True)
class Problem:
    """A convolution or a pool.

    input: ``(N, C, *spatial)``; op: ``"conv"`` or one of ``POOLS``; oc: channels of the output; kernel, stride, padding
    (the same on both sides) and dilation: one number a spatial axis.
    """

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
        """Spatial axes."""
        return len(self.kernel)

    @property
    def weight(self) -> Shape:
        """Shape of the weight of a convolution."""
        return (self.oc, self.input[1] // self.groups, *self.kernel)

    @property
    def output(self) -> Shape:
        """Shape of the result."""
        axes = zip(self.input[2:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        sizes = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
        return (self.input[0], self.oc, *sizes)

    @property
    def flops(self) -> int:
        """Two operations a multiply-accumulate of the direct method; for a pool, one an element of a window."""
        windows = prod(self.output) * prod(self.kernel)
        return 2 * windows * self.weight[1] if self.op == "conv" else windows

    @property
    def bytes(self) -> int:
        """What any method must touch, in either direction: input, weight and output once each."""
        weight = prod(self.weight) if self.op == "conv" else 0
        return (prod(self.input) + weight + prod(self.output)) * np.dtype(self.dtype).itemsize

    @property
    def directions(self) -> tuple[str, ...]:
        """Those that the operation has: a pool has no weight."""
        return DIRECTIONS if self.op == "conv" else DIRECTIONS[:2]

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
        return generator.uniform(-1, 1, shape).astype(self.dtype)

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


def _options(words: list[str], nd: int) -> tuple[dict[str, Shape], dict[str, str]]:
    """The numbers of each letter, and what is told by a name."""
    values, named = dict[str, Shape](), dict[str, str]()
    for word in words:
        if word in MODES or word == "float64":
            named["mode" if word in MODES else "dtype"] = word
            continue
        letter, numbers = word[0], tuple(map(int, word[1:].split("x")))
        axes = 1 if letter == "g" else nd
        if letter not in "kspdg" or letter in values or len(numbers) not in (1, axes):
            raise ValueError(f"option {word!r} does not fit {nd} axes")
        values[letter] = numbers if len(numbers) == axes else numbers * axes
    return values, named


def parse(line: str) -> Problem:
    """Read one line. Raises ValueError that shows the line."""
    try:
        left, right = line.split("->")
        name, family, *sizes = left.split()
        target, *words = right.split()
        shape = tuple(map(int, sizes))
        nd = len(shape) - 2
        values, named = _options(words, nd)
        is_pool = target in POOLS
        kernel = shape[2:] if target == "global_avg_pool" else values.get("k", (1,) * nd)
        problem = Problem(
            name=name,
            family=family,
            input=shape,
            op=target if is_pool else "conv",
            oc=shape[1] if is_pool else int(target),
            kernel=kernel,
            stride=values.get("s", kernel if is_pool else (1,) * nd),
            padding=values.get("p", (0,) * nd),
            dilation=values.get("d", (1,) * nd),
            groups=values.get("g", (1,))[0],
            **named,
        )
        if nd not in (1, 2, 3) or min(problem.output) < 1:
            raise ValueError(f"the output would be {problem.output}")
        if shape[1] % problem.groups or problem.oc % problem.groups:
            raise ValueError(f"{problem.groups} groups do not divide the channels")
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"not a problem: {line.strip()!r}: {error}") from error
    return problem


def read_lines(path: Path) -> list[str]:
    """Lines of a shapes file that hold a problem, without comments."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def load(path: Path = SHAPES) -> list[Problem]:
    """Every problem of a file, in its order. Raises ValueError for a line that is none and for a name used twice."""
    problems = [parse(line) for line in read_lines(path)]
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
