"""Few channels: lines packed, zipped and spread by strides of two to five, whose vectors end at any column; rows that
follow one another in one tile; the weight gradient's blocks, which go from image to image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import assert_exact, assert_same_bits, integers
from cases import Case

import fastconv as fc

WIDTHS = [5, 12, 17, 31, 33, 48, 65, 98, 131, 197]
STRIDES = [
    *[Case((7, w), (3, 3), s, 1, ic=5, oc=2, batch=2) for s in (2, 3, 4, 5) for w in WIDTHS],
    *[Case((9, w), (2, 3), (1, s), ic=2, oc=17, batch=2) for s in (3, 4) for w in WIDTHS],
    *[Case((w,), (1,), s, ic=4, oc=3, batch=3) for s in (2, 3, 4) for w in WIDTHS],
    *[Case((w,), (4,), s, ic=3, oc=20) for s in (3, 4) for w in WIDTHS],
]
ROWS = [
    *[
        Case((h, w), (1, 1), ic=8, oc=5, batch=n)
        for h, w in ((13, 8), (5, 3), (1, 7), (7, 7), (11, 16))
        for n in (1, 5)
    ],
    *[Case((40, 8), (5, 5), 4, ic=2, oc=4, batch=n) for n in (1, 16)],
    *[Case((h, 6), (3, 1), padding=(1, 0), ic=9, oc=24, batch=3) for h in (3, 9, 20)],
]
IMAGES = [
    *[Case((10, 9), (3, 3), padding=p, ic=1, oc=32, batch=n) for p in (0, 1) for n in (1, 2, 13, 37)],
    *[Case((26, 27), (5, 3), (s, 1), 2, ic=2, oc=6, batch=5) for s in (1, 2)],
    *[Case((20, 33), (3, 5), padding=2, ic=2, oc=7, batch=7, mode=m) for m in ("reflect", "circular")],
    Case((4, 6, 5), (2, 3, 3), padding=1, ic=2, oc=5, batch=6),
    Case((18, 18), (3, 3), padding=1, ic=4, oc=6, groups=2, batch=9),
]
# Tiles of three rows or taps; rows that are whole vectors; lines of weights shorter than a square.
TILES = [
    *[Case((11, 20), (3, 3), padding=1, ic=ic, oc=oc, batch=2) for ic in (1, 3) for oc in (3, 8, 12, 18)],
    *[Case((15, 21), (5, 5), ic=1, oc=oc, batch=3) for oc in (4, 16)],
    *[Case((6, w), (3, 3), padding=1, ic=3, oc=oc, batch=2) for w in (16, 32, 48, 64) for oc in (16, 32, 35)],
    *[Case((9, 10), (1, k), padding=(0, k // 2), ic=ic, oc=9) for k in (3, 4, 5, 7) for ic in (8, 16, 23)],
]


@pytest.mark.parametrize("case", [*STRIDES, *ROWS, *IMAGES, *TILES], ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    assert_exact(case.forward(x, w, b, algorithm="direct"), case.expected_output(x, w, b), dtype)
    assert_exact(case.grad_input(g, w, algorithm="direct"), case.expected_grad_input(g, w), dtype)
    assert_exact(case.grad_weight(g, x, algorithm="direct"), case.expected_grad_weight(g, x), dtype)


@pytest.mark.parametrize("shape", [(64, 1, 28, 28), (5, 3, 31, 30)])
def test_weight_gradient_of_any_thread_count(shape: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape).astype(dtype)
    g = rng.standard_normal((shape[0], 6, shape[2] - 2, shape[3] - 2)).astype(dtype)
    sums = []
    for threads in (1, 2, 3):
        with fc.threads(threads):
            sums.append(fc.conv2d_grad_weight(g, x, (3, 3)))
    assert_same_bits(sums[1], sums[0])
    assert_same_bits(sums[2], sums[0])


@pytest.mark.parametrize("begin", [0, 1, 5, 8, 15])
def test_arrays_begin_anywhere_in_a_line_of_the_cache(begin: int, dtype: Any) -> None:
    """Channels that lie whole lines apart are transposed line by line from the first on that is whole."""
    case = Case((10, 34), (3, 3), ic=3, oc=40, batch=2)
    x, w, _, g = case.data(dtype)
    memory = np.full(g.size + 64, np.nan, dtype)
    start = -memory.ctypes.data // memory.itemsize % (64 // memory.itemsize) + begin
    there = memory[start : start + g.size].reshape(g.shape)
    there[...] = g
    assert_exact(case.grad_weight(there, x), case.expected_grad_weight(g, x), dtype)
    assert_exact(case.grad_input(there, w), case.expected_grad_input(g, w), dtype)


def test_results_larger_than_caches() -> None:
    """They are written past the caches, wherever they begin, and nothing beside them."""
    rng = np.random.default_rng(5)
    x, w = integers(rng, (4, 1, 612, 603), np.float32), integers(rng, (6, 1, 3, 3), np.float32)
    y = fc.conv2d(x, w)
    assert y.nbytes > 32 << 20
    assert_exact(np.concatenate([fc.conv2d(x, some) for some in np.split(w, 3)], axis=1), y, np.float32)
    memory = np.full(y.size + 40, 7, np.float32)
    for begin in (1, 19):
        with fc.threads(begin % 3 + 1):
            fc.conv2d(x, w, out=memory[begin : begin + y.size].reshape(y.shape))
        assert_same_bits(memory[begin : begin + y.size].reshape(y.shape), y)
        assert (memory[:begin] == 7).all() and (memory[begin + y.size :] == 7).all()
        memory[:] = 7


def test_one_channel_that_makes_many_large_ones() -> None:
    """Where they leave the cache tiles write some of them at once, whatever the batch."""
    for batch in (1, 8):
        for x, w, direction in (
            ((batch, 1, 572, 572), (64, 1, 3, 3), "forward"),
            ((batch, 64, 256, 256), (1, 64, 3, 3), "grad_input"),
        ):
            assert fc.explain(x, w, padding=1, direction=direction)["algorithm"] == "direct"
    case = Case((620, 610), (3, 3), 1, 1, oc=9)
    x, w, b, _ = case.data(np.float32)
    assert_exact(case.forward(x, w, b), case.forward(x, w, b, algorithm="reference"), np.float32)


def test_weight_gradient_plan() -> None:
    isa, *kernels = (
        fc.explain(x, w, direction="grad_weight")[key]
        for x, w, key in (
            ((1, 1, 28, 28), (32, 1, 3, 3), "isa"),
            ((64, 1, 28, 28), (32, 1, 3, 3), "kernel"),
            ((1, 3, 224, 224), (64, 3, 3, 3), "kernel"),
        )
    )
    assert isa not in ("v3", "v4") or kernels == ["dots", "outer"]
    for x, w, stride in (((1, 1, 32000), (512, 1, 16), 8), ((1, 3, 416, 416), (16, 3, 3, 3), 1)):
        assert isa not in ("v3", "v4") or fc.explain(x, w, stride, direction="grad_weight")["kernel"] == "outer"
