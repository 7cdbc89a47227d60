"""Problems large enough to be cut into blocks, strips and parts, against the reference kernels: algorithms and cuts
that the small problems of the other files do not reach."""

from __future__ import annotations

from math import prod
from random import Random
from typing import Any

import numpy as np
import pytest
from arrays import Array, assert_exact, assert_same_bits, written
from cases import Case
from oracle import MODES

import fastconv as fc


def larger(seed: int) -> Case:
    """Of 10^5.5 to 10^7.3 multiply-accumulates, at most 2^21 values each of x and y."""
    random = Random(seed)
    while True:
        nd = random.choice((1, 2, 2, 2, 3))
        kernel = tuple(random.choice((1, 2, 3, 3, 3, 4, 5, 7, 9)) for _ in range(nd))
        if random.random() < 0.5:
            kernel = kernel[:1] * nd
        stride, dilation = random.choice((1, 1, 1, 2, 2, 3)), random.choice((1, 1, 1, 2, 3))
        groups, batch = random.choice((1, 1, 1, 1, 2, 4)), random.choice((1, 1, 2, 3, 17, 33))
        ic, oc = (random.choice((1, 2, 3, 6, 8, 16, 17, 40, 64, 128)) for _ in "xy")
        pixels = 10 ** random.uniform(5.5, 7.3) / (batch * groups * ic * oc * prod(kernel))
        side = pixels ** (1 / nd)
        sizes = tuple(int(side * random.uniform(0.4, 2.2)) * stride + (k - 1) * dilation + 1 for k in kernel)
        case = Case(
            sizes,
            kernel,
            stride,
            tuple(random.choice((0, k // 2, k // 2, 1)) for k in kernel),
            dilation,
            random.choice(("zeros", "zeros", "zeros", *MODES)),
            batch,
            groups,
            ic,
            oc,
        )
        x, y = (batch * groups * c * prod(sizes) for c in (ic, oc))
        if pixels >= 1 and case.valid and max(x, y) <= 1 << 21:
            return case


def assert_close(got: Array, expected: Array, magnitude: Array) -> None:
    bound = 60 * np.finfo(got.dtype).eps * magnitude.max(initial=0)
    assert np.abs(got - expected).max(initial=0) <= bound


@pytest.mark.parametrize("seed", range(60))
def test_every_direction(seed: int) -> None:
    case, dtype = larger(seed), (np.float32, np.float32, np.float64)[seed % 3]
    x, w, b, g = case.data(dtype)

    def results(x: Array, w: Array, b: Array, g: Array, **how: Any) -> tuple[Array, ...]:
        return case.forward(x, w, b, **how), case.grad_input(g, w, **how), case.grad_weight(g, x, **how)

    expected = results(x, w, b, g, algorithm="reference")
    magnitude = results(abs(x), abs(w), abs(b), abs(g), algorithm="reference")
    with fc.threads(1):
        one = results(x, w, b, g)
    with fc.threads(2):
        two = results(x, w, b, g)
    for got, again, value, bound in zip(one, two, expected, magnitude, strict=True):
        assert_close(got, value, bound)
        assert_same_bits(again, got)


# A few rows of weights pass by an image larger than the caches once: its blocks, its borders, what is fetched ahead.
@pytest.mark.parametrize("oc", [1, 2, 3, 4, 5, 8])
def test_few_outputs_of_a_large_image(oc: int, dtype: Any) -> None:
    case = Case((211, 193), (1, 1), ic=19, oc=oc, batch=2)
    x, w, b, g = case.data(dtype)
    got = written(case.forward, case.output_shape, None, x, w, b, algorithm="direct")
    assert_exact(got, case.expected_output(x, w, b), dtype)
    assert_same_bits(np.asarray(case.forward(x, w, b, algorithm="direct")[1:]), got[1:])
    assert_exact(case.grad_weight(g, x, algorithm="direct"), case.expected_grad_weight(g, x), dtype)


# Gradients of pointwise layers whose weights are read where they stand, or are packed for more pixels.
@pytest.mark.parametrize(("size", "batch"), [((7, 7), 1), ((7, 7), 17), ((14, 14), 3), ((14, 15), 5), ((33, 32), 1)])
@pytest.mark.parametrize("shift", [0, 1])
def test_pointwise_gradients_by_columns(size: tuple[int, ...], batch: int, shift: int, dtype: Any) -> None:
    case = Case(size, (1, 1), ic=96, oc=70, batch=batch)
    _, w, _, g = case.data(dtype)
    moved = np.empty(w.size + 1, dtype)[shift:][: w.size].reshape(w.shape)  # to other places in a cache line
    moved[...] = w
    dx = case.grad_input(g, moved, algorithm="direct")
    assert_exact(dx, case.expected_grad_input(g, w), dtype)
    with fc.threads(1):
        assert_same_bits(case.grad_input(g, w, algorithm="direct"), dx)
