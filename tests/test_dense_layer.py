"""Kernels that cover the whole input: sums along the rows of weights, exact for integers, the same bits for any batch,
memory, threads, and for weights packed beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Array, assert_exact, assert_same_bits, integers, written
from cases import Case

import fastconv as fc

CASES = [
    *[Case((1, 1), (1, 1), ic=ic, oc=oc, batch=3) for ic in (1, 15, 16, 65, 1024, 1025, 2100) for oc in (1, 2, 7)],
    *[Case((5, 4), (5, 4), ic=ic, oc=129, batch=n) for ic in (4, 13) for n in (1, 5, 33)],
    Case((80,), (80,), ic=1, oc=260, batch=66),
    Case((3, 2, 5), (3, 2, 5), ic=40, oc=17, batch=2),
    Case((1, 90), (1, 90), ic=1, oc=3, batch=0),
    Case((33, 35), (33, 35), ic=2, oc=6, batch=2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    for algorithm in ("auto", "direct"):
        assert_exact(case.forward(x, w, b, algorithm=algorithm), case.expected_output(x, w, b), dtype)
    got = written(case.forward, case.output_shape, (1, -2, *[1] * (case.nd - 1), 3), x, w, b)
    assert_exact(got, case.expected_output(x, w, b), dtype)


def random(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.random.default_rng(5).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(
    ("ic", "oc", "size"), [(1300, 1, 1), (3, 5, 1), (70, 135, 1), (16, 120, 5), (300, 40, 2), (1, 2, 8)]
)
def test_same_bits(dtype: Any, ic: int, oc: int, size: int) -> None:
    x, w, b = random((35, ic, size, size), dtype), random((oc, ic, size, size), dtype), random((oc,), dtype)
    assert fc.explain(x.shape, w.shape, dtype=dtype)["kernel"] == "dot products"
    with fc.threads(1):
        y = fc.conv2d(x, w, b, activation="relu6")
    with fc.threads(3):
        assert_same_bits(fc.conv2d(x, w, b, activation="relu6"), y)
        for n in (0, 16, 34):
            assert_same_bits(fc.conv2d(x[n], w, b, activation="relu6"), y[n])
            assert_same_bits(fc.PackedConv2d(w, b, activation="relu6")(x[n : n + 1]), y[n : n + 1])
    assert_same_bits(fc.conv2d(x, w[..., ::-1, ::-1], b, activation="relu6", flip=True), y)
    for arrange in LAYOUTS.values():
        assert_same_bits(fc.conv2d(arrange(x), arrange(w), b, activation="relu6"), y)
        out = arrange(np.full_like(y, np.nan))
        if out.flags.writeable:
            assert_same_bits(fc.conv2d(x, w, b, activation="relu6", out=out), y)


def test_one_image_for_all_and_no_bias(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    x, w = integers(rng, (1, 6, 4, 4), dtype), integers(rng, (5, 6, 4, 4), dtype)
    y = fc.conv2d(np.broadcast_to(x, (40, 6, 4, 4)), w)
    assert_exact(y, np.broadcast_to(np.einsum("nchw,ochw->no", x, w)[..., None, None], (40, 5, 1, 1)), dtype)


def test_nan_and_infinity_pass(dtype: Any) -> None:
    x, w = np.ones((2, 70, 1, 1), dtype), np.ones((3, 70, 1, 1), dtype)
    x[1, 69], w[1, 3] = np.nan, np.inf
    y = fc.conv2d(x, w, activation="relu")[..., 0, 0]
    np.testing.assert_array_equal(y, [[70, np.inf, 70], [np.nan] * 3])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_exact(case: Case, dtype: Any) -> None:
    x, w, _, g = case.data(dtype)
    for algorithm in ("auto", "direct"):
        assert_exact(case.grad_input(g, w, algorithm=algorithm), case.expected_grad_input(g, w), dtype)
        assert_exact(case.grad_weight(g, x, algorithm=algorithm), case.expected_grad_weight(g, x), dtype)


@pytest.mark.parametrize(("ic", "oc", "size"), [(17, 97, 1), (70, 135, 1), (16, 120, 5), (300, 40, 2), (1, 2, 8)])
def test_same_bits_of_gradients(dtype: Any, ic: int, oc: int, size: int) -> None:
    x, w, g = random((35, ic, size, size), dtype), random((oc, ic, size, size), dtype), random((35, oc, 1, 1), dtype)
    with fc.threads(1):
        dx, dw = fc.conv2d_grad_input(g, w, x.shape), fc.conv2d_grad_weight(g, x, size)
    with fc.threads(3):
        assert_same_bits(fc.conv2d_grad_input(g, w, x.shape), dx)
        assert_same_bits(fc.conv2d_grad_weight(g, x, size), dw)
        for n in (0, 16, 34):
            assert_same_bits(fc.conv2d_grad_input(g[n], w, x.shape[1:]), dx[n])
    for arrange in LAYOUTS.values():
        assert_same_bits(fc.conv2d_grad_input(arrange(g), arrange(w), x.shape), dx)
        assert_same_bits(fc.conv2d_grad_weight(arrange(g), arrange(x), size), dw)
        for want in (dx, dw):
            out = arrange(np.full_like(want, np.nan))
            if out.flags.writeable:
                if want is dx:
                    fc.conv2d_grad_input(g, w, x.shape, out=out)
                else:
                    fc.conv2d_grad_weight(g, x, size, out=out)
                assert_same_bits(out, want)
