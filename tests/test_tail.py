"""Small images whose last pixels are dot products, 7x7 as 48 + 1: exact for integers, the same bits however an image
is cut, laid out or batched, on every width of a vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Array, assert_exact, assert_same_bits, integers, written
from cases import Case

import fastconv as fc

CASES = [
    *[
        Case(size, (1, 1), ic=260, oc=19, batch=n)
        for size in ((7, 7), (14, 14), (3, 11), (49, 1), (1, 17), (5, 5), (3, 3))
        for n in (1, 3, 17)
    ],
    *[Case((14, 13), (3, 3), 2, 1, ic=40, oc=11, batch=n) for n in (1, 2)],
    *[Case(size, (1, 1), ic=ic, oc=32, batch=n) for size in ((7, 7), (14, 14)) for ic in (99, 304) for n in (1, 3)],
    Case((13, 13), (3, 3), 2, 1, ic=96, oc=24, batch=2),
    Case((7, 7), (3, 3), padding=1, ic=33, oc=13, mode="reflect"),
    Case((9, 9), (3, 3), ic=30, oc=9, groups=3, batch=2),
    Case((5, 13), (2, 3), padding=1, dilation=2, ic=50, oc=5),
    Case((3, 3, 7), (2, 1, 3), padding=(1, 0, 1), ic=50, oc=10, batch=2),
    Case((65,), (3,), padding=1, ic=100, oc=1, batch=2),
    *[
        Case(size, (1, 7), padding=(0, 3), ic=40, oc=25, batch=n)
        for size in ((7, 7), (8, 8), (6, 5))
        for n in (1, 2, 17)
    ],
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    assert_exact(case.forward(x, w, b, algorithm="direct"), case.expected_output(x, w, b), dtype)
    got = written(case.forward, case.output_shape, (1, -2, *[1] * (case.nd - 1), 3), x, w, b, algorithm="direct")
    assert_exact(got, case.expected_output(x, w, b), dtype)


def random(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.random.default_rng(5).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("oc", [37, 40])
@pytest.mark.parametrize(("kernel", "stride", "size"), [(1, 1, 7), (1, 1, 14), (3, 2, 13), (1, 1, 5)])
def test_same_bits(dtype: Any, kernel: int, stride: int, size: int, oc: int) -> None:
    x, w, b = random((18, 264, size, size), dtype), random((oc, 264, kernel, kernel), dtype), random((oc,), dtype)
    options: dict[str, Any] = {"stride": stride, "padding": kernel // 2, "activation": "relu"}
    with fc.threads(1):
        y = fc.conv2d(x, w, b, **options)
    with fc.threads(3):
        assert_same_bits(fc.conv2d(x, w, b, **options), y)
        for n in (0, 16, 17):
            assert_same_bits(fc.conv2d(x[n], w, b, **options), y[n])
    for arrange in LAYOUTS.values():
        assert_same_bits(fc.conv2d(arrange(x), arrange(w), b, **options), y)
        out = arrange(np.full_like(y, np.nan))
        if out.flags.writeable:
            assert_same_bits(fc.conv2d(x, w, b, **options, out=out), y)


@pytest.mark.parametrize(("ic", "oc", "size"), [(320, 300, 7), (96, 700, 7), (64, 90, 1)])
def test_weights_across_cache_lines(dtype: Any, ic: int, oc: int, size: int) -> None:
    g, w = integers(np.random.default_rng(6), (2, oc, size, size), dtype), np.empty(ic * oc + 64, dtype)
    want = None
    for shift in range(0, 64, 4):
        shifted = w[shift : shift + ic * oc].reshape(oc, ic, 1, 1)
        shifted[...] = integers(np.random.default_rng(7), (oc, ic, 1, 1), dtype)
        want = np.einsum("noyx,oc->ncyx", g, shifted[:, :, 0, 0]) if want is None else want
        assert_exact(fc.conv2d_grad_input(g, shifted, (2, ic, size, size)), want, dtype)


@pytest.mark.parametrize("size", [6, 7, 8])
def test_wide_kernels_of_small_images(dtype: Any, size: int) -> None:
    """Whose weights may be packed for columns: that looks at one image alone."""
    x, w = random((17, 70, size, size), dtype), random((48, 70, 1, 7), dtype)
    y = fc.conv2d(x, w, padding=(0, 3))
    for n in (0, 16):
        assert_same_bits(fc.conv2d(x[n], w, padding=(0, 3)), y[n])


def test_columns_of_small_images() -> None:
    plan = fc.explain((1, 64, 7, 7), (96, 64, 1, 7), padding=(0, 3))
    assert plan["isa"] not in ("v3", "v4") or plan["kernel"] == "packed columns"


def test_no_tail_leaves_a_tile_too_few_sums() -> None:
    plan = fc.explain((1, 264, 3, 3), (224, 264, 1, 1))
    assert plan["isa"] != "v3" or plan["nr"] == 16
