"""Axes that a kernel covers are channels: exact in every direction, the same bits for any batch, memory and threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Array, assert_exact, assert_same_bits, written
from cases import Case, transposed

import fastconv as fc

CASES = [
    Case((22, 70), (22, 1), batch=3, groups=4, oc=2),
    Case((9, 130), (9, 1), groups=3, ic=4, oc=5),
    Case((16, 9), (16, 3), 1, (0, 1), groups=2, oc=3),
    Case((5, 12), (5, 1), (3, 2), groups=7),
    Case((3, 5, 70), (3, 5, 1), batch=2, groups=2, ic=2, oc=3),
    Case((4, 7, 11), (4, 3, 3), 1, (0, 1, 1), ic=3, oc=17),
    Case((7, 4, 20), (3, 4, 1), ic=1, oc=6),  # the height alone, as there is one channel
    Case((7, 4, 20), (3, 4, 1), ic=2, oc=6),  # a depth in between
    Case((20, 33), (3, 33), oc=5, batch=2),
    Case((6, 5), (6, 5), groups=2, oc=5),  # a single pixel is left
    Case((2, 26), (2, 2), ic=70, oc=6),  # channels enough
    Case((6, 80), (6, 1), ic=40, oc=33, batch=0),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    y = case.expected_output(x, w, b)
    assert_exact(case.forward(x, w, b), y, dtype)
    assert_exact(case.grad_input(g, w), case.expected_grad_input(g, w), dtype)
    assert_exact(case.grad_weight(g, x), case.expected_grad_weight(g, x), dtype)
    step = (1, -2, *[1] * (case.nd - 1), 3)
    assert_exact(written(case.forward, case.output_shape, step, x, w, b), y, dtype)
    assert_exact(written(case.grad_input, case.input_shape, step, g, w), case.expected_grad_input(g, w), dtype)
    there = transposed(case)
    x, w, b, _ = there.data(dtype)
    assert_exact(there.forward(x, w, b), there.expected_output(x, w, b), dtype)


@pytest.mark.parametrize(("height", "width", "tall", "wide"), [(22, 70, 22, 1), (6, 90, 6, 5), (11, 40, 3, 40)])
@pytest.mark.parametrize(("groups", "ic", "oc"), [(4, 4, 8), (1, 1, 5)])
def test_same_bits(dtype: Any, height: int, width: int, tall: int, wide: int, groups: int, ic: int, oc: int) -> None:
    def random(*shape: int) -> Array:
        return np.random.default_rng(5).standard_normal(shape).astype(dtype)

    k = (tall, wide)
    x, w = random(9, ic, height, width), random(oc, ic // groups, tall, wide)
    g = random(9, oc, height - tall + 1, width - wide + 1)
    with fc.threads(1):
        y = fc.conv2d(x, w, groups=groups)
        dx, dw = fc.conv2d_grad_input(g, w, x.shape, groups=groups), fc.conv2d_grad_weight(g, x, k, groups=groups)
    assert_same_bits(fc.PackedConv2d(w, groups=groups)(x), y)
    with fc.threads(3):
        assert_same_bits(fc.conv2d(x, w, groups=groups), y)
        assert_same_bits(fc.conv2d_grad_weight(g, x, k, groups=groups), dw)
        for n in (0, 8):
            assert_same_bits(fc.conv2d(x[n], w, groups=groups), y[n])
            assert_same_bits(fc.conv2d_grad_input(g[n], w, x.shape[1:], groups=groups), dx[n])
    for arrange in LAYOUTS.values():
        assert_same_bits(fc.conv2d(arrange(x), arrange(w), groups=groups), y)
        assert_same_bits(fc.conv2d_grad_weight(arrange(g), arrange(x), k, groups=groups), dw)
        out = arrange(np.full_like(dx, np.nan))
        if out.flags.writeable:
            fc.conv2d_grad_input(arrange(g), arrange(w), x.shape, groups=groups, out=out)
            assert_same_bits(out, dx)
        out = arrange(np.full_like(dw, np.nan))
        if out.flags.writeable:
            assert_same_bits(fc.conv2d_grad_weight(g, x, k, groups=groups, out=out), dw)


def test_plan(dtype: Any) -> None:
    def plan(direction: str, **more: Any) -> Any:
        return fc.explain((4, 8, 64, 128), (16, 1, 64, 1), groups=8, dtype=dtype, direction=direction, **more)

    for direction in ("forward", "grad_input"):
        assert plan(direction)["kernel"].startswith("packed")
    told = plan("grad_weight")
    assert told["kernel"] == "dots" or told["lanes"] < 4
    assert plan("grad_input", algorithm="depthwise")["algorithm"] == "depthwise"
