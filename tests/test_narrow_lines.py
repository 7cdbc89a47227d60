"""Narrow lines of many channels are packed by windows of the input, whatever the stride, the padding mode and the
number of channels, and longer ones of a stride end with a vector of their own: exact, and the same bits alone and in a
batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import assert_exact, assert_same_bits
from cases import Case
from oracle import MODES

import fastconv as fc

NARROW = [
    *(Case((9, 7), (3, 3), stride, 1, ic=65, oc=9, batch=2, mode=mode) for stride in (1, 2, 3, 4) for mode in MODES),
    *(Case((13, 3 * stride), (1, 1), stride, ic=67, oc=12) for stride in (1, 2, 3, 4, 5)),
    *(Case((5, width), (2, 3), (2, 1), (1, 0), ic=70, oc=5, batch=3) for width in (3, 4, 5, 8, 12, 15, 16, 17)),
    Case((4, 4), (3, 3), 2, 1, ic=33, oc=40),  # a plane as long as a vector
    Case((3, 4), (2, 2), 1, 1, ic=64, oc=3),  # or shorter
    Case((18, 18), (3, 3), 4, 1, ic=97, oc=40, batch=3),
    Case((11, 6), (3, 3), 3, (2, 1), ic=35, oc=8, groups=2, batch=2),
    Case((12, 10), (3, 2), 2, 3, 2, ic=66, oc=17),
    Case((3, 4, 5), (2, 3, 3), 2, 1, ic=49, oc=21, batch=2, mode="reflect"),
    Case((29,), (3,), 4, 1, ic=64, oc=5, batch=4),
]
# Lines around whole vectors, packed one by one or, of a kernel as wide as the stride, together.
WIDE = [
    Case((6, stride * width - extra), (1, taps), stride, ic=5, oc=3)
    for stride in (2, 3, 4)
    for taps in (1, stride)
    for width in (3, 4, 5, 8, 9, 15, 16, 17, 23, 33)
    for extra in (0, stride - taps)
]


@pytest.mark.parametrize("case", NARROW + WIDE, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    assert_exact(case.forward(x, w, b, algorithm="direct"), case.expected_output(x, w, b), dtype)
    assert_exact(case.grad_input(g, w, algorithm="direct"), case.expected_grad_input(g, w), dtype)
    assert_exact(case.grad_weight(g, x, algorithm="direct"), case.expected_grad_weight(g, x), dtype)


@pytest.mark.parametrize("case", NARROW[::3] + NARROW[-6:], ids=str)
def test_same_bits(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(7)
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in (case.input_shape, case.weight_shape))
    y = case.forward(x, w)
    assert_same_bits(case.forward(x[-1:], w), y[-1:])
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)  # channels last
    assert_same_bits(case.forward(turned, w), y)
    assert_same_bits(case.forward(x[..., ::-1].copy()[..., ::-1], w), y)
    with fc.threads(3):
        assert_same_bits(case.forward(x, w), y)
