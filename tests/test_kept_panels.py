"""1x1 kernels whose panels of x, or of weights, are kept apart by the first tile that reads them: exact for integers,
the same bits however they are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import assert_exact, assert_same_bits
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


def test_weights_of_small_images_are_not_packed() -> None:
    plan = fc.explain((1, 512, 7, 7), (256, 512, 1, 1), direction="grad_input")
    if plan["isa"] == "v3":  # has parts of lines for vectors, which columns keep
        assert plan["kernel"] == "packed columns"
        assert plan["shared_bytes"] == 0
