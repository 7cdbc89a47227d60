"""1x1 kernels: panels of x, or of weights, that are kept apart by the first tile that reads them, narrow panels with
tiles of their own, results whose channels are neighbours. Exact for integers, the same bits however they are cut."""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from arrays import Array, assert_exact, assert_same_bits
from cases import Case

import fastconv as fc

CASES = [
    # x where it stands and packed; tiles that keep, panels that are copied, and too few tiles for either
    *[Case((20, 23), (1, 1), ic=130, oc=oc) for oc in (7, 16, 24, 50, 131, 161)],
    *[Case((7, 7), (1, 1), ic=ic, oc=50, batch=n) for ic in (40, 260) for n in (1, 3)],
    *[Case((14, 14), (1, 1), ic=129, oc=oc, groups=1, batch=2) for oc in (29, 65)],
    # weights where they stand: lines of the image joined, channels in several blocks, tiles of three pixels
    *[Case(size, (1, 1), ic=ic, oc=101, batch=2) for size in ((7, 7), (9, 9), (3, 11)) for ic in (32, 128, 40, 33)],
    Case((4, 3, 5), (1, 1, 1), ic=32, oc=50, batch=2),
    Case((14, 13), (1, 1), 2, ic=64, oc=20),
    # and a last panel of one or two vectors, whose tiles are higher: shallow sums and deep ones
    *[Case((1, n), (1, 1), ic=ic, oc=oc) for n in (25, 81, 100, 109) for ic in (40, 200) for oc in (5, 50, 131)],
]

LAST = [
    *[Case((17, 19), (1, 1), ic=ic, oc=oc) for ic, oc in ((24, 64), (64, 24), (150, 5), (40, 131))],
    *[Case((9, 9), (1, 1), ic=ic, oc=oc, batch=2) for ic, oc in ((200, 50), (33, 128))],
    *[Case((13, 12), (3, 3), stride, 1, ic=20, oc=32, batch=2) for stride in (1, 2)],
    Case((14, 15), (5, 4), padding=2, ic=48, oc=3),
    Case((12, 30), (1, 1), ic=32, oc=64, groups=2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    assert_exact(case.forward(x, w, b, algorithm="direct"), case.expected_output(x, w, b), dtype)
    assert_exact(case.grad_input(g, w, algorithm="direct"), case.expected_grad_input(g, w), dtype)


@pytest.mark.parametrize("size", [7, 9, 20])
def test_same_bits(dtype: Any, size: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((5, 200, size, size)).astype(dtype)
    w = rng.standard_normal((136, 200, 1, 1)).astype(dtype)
    with fc.threads(1):
        y = fc.conv2d(x, w)
        dx = fc.conv2d_grad_input(y, w, x.shape)
    with fc.threads(3):
        assert_same_bits(fc.conv2d(x, w), y)
        assert_same_bits(fc.conv2d_grad_input(y, w, x.shape), dx)
        assert_same_bits(fc.conv2d(x[2:3], w), y[2:3])
        assert_same_bits(fc.conv2d_grad_input(y[2:3], w, x[2:3].shape), dx[2:3])


def channels_last(a: Array) -> Array:
    """The same array, its channels neighbours in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@pytest.mark.parametrize("case", LAST, ids=str)
def test_channels_last(case: Case, dtype: Any, mode: Any) -> None:
    case = replace(case, mode=mode)
    x, w, b, g = (np.random.default_rng(5).standard_normal(a.shape).astype(dtype) for a in case.data(dtype))
    y, dx = case.forward(x, w, b, algorithm="direct"), case.grad_input(g, w, algorithm="direct")
    for like in (np.asarray, channels_last):
        out = channels_last(np.full_like(y, np.nan))
        assert_same_bits(case.forward(like(x), w, b, algorithm="direct", out=out), y)
        out = channels_last(np.full_like(dx, np.nan))
        assert_same_bits(case.grad_input(like(g), w, algorithm="direct", out=out), dx)


def test_weights_of_small_images_are_not_packed() -> None:
    plan = fc.explain((1, 512, 7, 7), (256, 512, 1, 1), direction="grad_input")
    if plan["isa"] == "v3":  # has parts of lines for vectors, which columns keep
        assert plan["kernel"] == "packed columns"
        assert plan["shared_bytes"] == 0


@pytest.mark.parametrize("rows", [9, 37, 250])
def test_weights_of_any_rows_in_place(rows: int, dtype: Any) -> None:
    """They end where memory does."""
    size = mmap.PAGESIZE * (300 * rows * np.dtype(dtype).itemsize // mmap.PAGESIZE + 1)
    pages = mmap.mmap(-1, size + mmap.PAGESIZE)
    memory = np.frombuffer(pages, np.uint8)
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(memory.ctypes.data + size), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    w = memory[:size].view(dtype)[-300 * rows :].reshape(300, rows, 1, 1)
    case = Case((5, 5), (1, 1), ic=rows, oc=300)
    _, w[...], _, g = case.data(dtype)
    assert_exact(case.grad_input(g, w, algorithm="direct"), case.expected_grad_input(g, w), dtype)
    plan = fc.explain((1, rows, 5, 5), w.shape, direction="grad_input")
    if plan["isa"] == "v3":
        assert (plan["kernel"], plan["shared_bytes"]) == ("packed columns", 0)


def test_tiles_of_weights_in_place_are_full() -> None:
    plan = fc.explain((1, 480, 14, 14), (192, 480, 1, 1))  # 25 vectors of eight: the last panels have two
    if plan["isa"] == "v3":
        assert (plan["mr"], plan["nr"], plan["shared_bytes"]) == (4, 24, 0)


def test_deep_sums_are_stored_once() -> None:
    with fc.threads(1):
        plan = fc.explain((1, 640, 14, 14), (128, 640, 1, 1))
    if plan["isa"] in ("v3", "v4"):
        assert plan["block_channels"] == 640
