"""Rounding errors of every algorithm, as multiples of epsilon times the sum of |x| |w|: the table of docs/accuracy.md.

    python benchmarks/accuracy.py
    python benchmarks/accuracy.py --values sparse --algorithm winograd

Results of float32 are compared with sums in float64, those of float64 with sums in long double, over several seeds. Of
normally distributed values the exit code is 1 if an error is larger than what the tests assert.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from problems import DIRECTIONS, Array, Problem, parse

import fastconv

LINES = {
    "direct": (
        "a dense 1 16 28 28 -> 16 k3 p1",
        "b dense 1 64 28 28 -> 64 k3 p1",
        "c dense 2 3 40 40 -> 8 k7 p3",
        "d dense 1 256 14 14 -> 32 k1",
    ),
    "depthwise": (
        "k depthwise 1 1 64 64 -> 4 k3 p1",
        "l depthwise 2 2 40 40 -> 2 k7 p3",
    ),
    "winograd": (
        "e dense 1 16 56 56 -> 16 k3 p1",
        "f dense 1 64 28 28 -> 64 k3 p1",
        "g dense 2 128 14 14 -> 64 k3 p1",
        "m dense 1 64 27 27 -> 64 k5 p2",
        "n dense 1 16 6 14 14 -> 16 k3 p1",
        "o dense 1 32 31 31 -> 32 k2",
        "q dense 1 32 28 28 -> 32 k1x3 p0x1",
        "r dense 1 64 17 17 -> 64 k7x1 p3x0",
        "s dense 1 64 4000 -> 64 k9 p4",
        "t dense 1 64 56 56 -> 64 k3 s2 p1",
        "u dense 1 32 29 31 -> 32 k5 s2 p2",
        "v dense 1 64 32 32 -> 64 k4 p1",
        "w dense 1 64 4000 -> 64 k2",
        "x dense 1 64 1000 -> 64 k17 p8",
    ),
    "fft": (
        "h dense 1 1 96 96 -> 1 k31 p15",
        "i dense 1 8 64 64 -> 4 k15 p7",
        "j dense 1 2 5000 -> 3 k257",
    ),
}
VALUES = ("normal", "sparse", "heavy")  # normally distributed, 5 % of them and zeros else, or their fifth powers
WIDER = {"float32": np.float64, "float64": np.longdouble}


@dataclass(frozen=True)
class Errors:
    """Largest over the seeds, in units of epsilon times a sum of |x| |w|.

    norm: length of the error over length of the sums; worst: largest error over the largest sum; element: largest
    ratio of an error and its own sum.
    """

    norm: float
    worst: float
    element: float

    def larger(self, other: Errors) -> Errors:
        return Errors(max(self.norm, other.norm), max(self.worst, other.worst), max(self.element, other.element))


def _taps(p: Problem) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each tap, and the part of the padded input that it meets."""
    for tap in itertools.product(*map(range, p.kernel)):
        yield tap, tuple(slice(t, t + (n - 1) * s + 1, s) for t, n, s in zip(tap, p.output[2:], p.stride, strict=True))


def _part(array: Array, spatial: tuple[Any, ...]) -> Array:
    """A view of all images and channels."""
    view: Array = array[(slice(None), slice(None), *spatial)]
    return view


def _sums(p: Problem, direction: str, x: Array, w: Array, dy: Array) -> Array:
    """The direction by its formula, in the precision of its operands. Dilation and groups are 1."""
    if direction == "forward":
        x = _padded(p, x)
        terms = (np.einsum("oc,nc...->no...", _part(w, tap), _part(x, window)) for tap, window in _taps(p))
        return np.asarray(sum(terms))
    if direction == "grad_input":
        dx = _padded(p, np.zeros(p.input, dy.dtype))
        for tap, window in _taps(p):
            _part(dx, window)[...] += np.einsum("oc,no...->nc...", _part(w, tap), dy)
        return _part(dx, tuple(slice(q, q + n) for n, q in zip(p.input[2:], p.padding, strict=True)))
    x, dw, flat = _padded(p, x), np.empty(p.weight, dy.dtype), dy.reshape(*dy.shape[:2], -1)
    for tap, window in _taps(p):
        _part(dw, tap)[...] = np.einsum("noi,nci->oc", flat, _part(x, window).reshape(*x.shape[:2], -1))
    return dw


def _padded(p: Problem, x: Array) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *((n, n) for n in p.padding)])


def _call(p: Problem, direction: str, algorithm: str, x: Array, w: Array, dy: Array) -> Array:
    name, options = f"conv{p.nd}d", {"stride": p.stride, "padding": p.padding, "algorithm": algorithm}
    result: Array
    if direction == "forward":
        result = getattr(fastconv, name)(x, w, **options)
    elif direction == "grad_input":
        result = getattr(fastconv, f"{name}_grad_input")(dy, w, p.input, **options)
    else:
        result = getattr(fastconv, f"{name}_grad_weight")(dy, x, p.kernel, **options)
    return result


def draw(rng: np.random.Generator, shape: tuple[int, ...], values: str) -> Array:
    normal = rng.standard_normal(shape)
    if values == "sparse":
        return np.where(rng.random(shape) < 0.05, normal, 0)
    return normal**5 if values == "heavy" else normal


def measure(p: Problem, direction: str, algorithm: str, dtype: str, values: str, seed: int) -> Errors:
    rng = np.random.default_rng(seed)
    arrays = [draw(rng, shape, values).astype(dtype) for shape in (p.input, p.weight, p.output)]
    wide = [a.astype(WIDER[dtype]) for a in arrays]
    error = np.abs(_call(p, direction, algorithm, *arrays) - _sums(p, direction, *wide))
    unit = np.finfo(dtype).eps * _sums(p, direction, *map(np.abs, wide))
    norm = np.sqrt(np.sum(error**2) / np.sum(unit**2))
    some = unit > 0
    return Errors(float(norm), float(error.max() / unit.max()), float(np.max(error[some] / unit[some])))


def products(p: Problem, direction: str) -> int:
    """Terms of one sum."""
    if direction == "grad_weight":
        return p.output[0] * prod(p.output[2:])
    return prod(p.kernel) * (p.oc if direction == "grad_input" else p.input[1])


def asserted(p: Problem, direction: str, algorithm: str) -> tuple[str, int]:
    """Which of the errors the tests bound, and by how much."""
    if algorithm in ("direct", "depthwise"):
        return "element", 2 * (products(p, direction) + 2)
    if algorithm == "fft":
        return "worst", 8
    if direction == "grad_weight":
        return "worst", 48 if p.kernel[-1] == 5 else 24
    return "worst", 60


def row(p: Problem, direction: str, algorithm: str, values: str, seeds: int) -> tuple[str, bool]:
    """A line of the table, and whether its errors are within what the tests assert of normally distributed values."""
    options = {"stride": p.stride, "padding": p.padding, "direction": direction, "algorithm": algorithm}
    used = fastconv.explain(p.input, p.weight, **options)["algorithm"]
    which, bound = asserted(p, direction, used)
    cells: list[Any] = [used, direction, p, products(p, direction)]
    kept = True
    for dtype in WIDER:
        errors = measure(p, direction, algorithm, dtype, values, 0)
        for seed in range(1, seeds):
            errors = errors.larger(measure(p, direction, algorithm, dtype, values, seed))
        figures = (errors.norm, errors.worst, errors.element)
        cells += [f"{figure:.0f}" if figure >= 10 else f"{figure:.2g}" for figure in figures]
        kept &= values != "normal" or getattr(errors, which) <= bound
    return f"| {' | '.join(map(str, cells))} | {which} <= {bound} |", kept


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--values", choices=VALUES, default="normal", help="(default: %(default)s)")
    parser.add_argument("--algorithm", choices=LINES, action="append", help="only this one")
    options = parser.parse_args(arguments)
    kinds = [f"{dtype}: norm | worst | element" for dtype in WIDER]
    print(f"| algorithm | direction | problem | terms | {' | '.join(kinds)} | asserted |")
    print("| --- | --- | --- |" + " ---: |" * 7 + " --- |")
    kept = True
    for algorithm in options.algorithm or LINES:
        for p, direction in itertools.product(map(parse, LINES[algorithm]), DIRECTIONS):
            line, within = row(p, direction, algorithm, options.values, options.seeds)
            print(line, flush=True)
            kept &= within
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
