"""Weight gradients of 1x1 kernels, in which x and dy may take each other's place: exact for integers, into any memory,
the same bits for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import assert_exact, assert_same_bits
from cases import Case, assert_exact_weight_gradient

import fastconv as fc

CASES = [
    Case((7, 7), (1, 1), ic=32, oc=48, batch=3),
    Case((7, 5), (1, 1), ic=33, oc=130, batch=2),
    Case((6, 11), (1, 1), ic=272, oc=512),
    Case((13, 14), (1, 1), 2, ic=64, oc=112, batch=2),
    Case((9, 31), (1, 1), (3, 2), ic=48, oc=65),
    Case((40, 43), (1, 1), ic=16, oc=96, batch=2),
    Case((12, 12), (1, 1), ic=24, oc=32, groups=2),
    Case((28, 28), (1, 1), ic=80, oc=20, groups=3),
    Case((15, 14), (1, 1), 2, ic=32, oc=10, groups=4, batch=8),
    Case((20, 21), (1, 1), ic=70, oc=10, groups=5),
    Case((200,), (1,), 2, ic=32, oc=64, batch=3),
    Case((3, 6, 5), (1, 1, 1), 2, ic=32, oc=40, batch=2),
    Case((7, 7), (1, 1), padding=1, ic=32, oc=64),
    Case((6, 20), (1, 1), 2, ic=32, oc=1, batch=3),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    x, g, want = assert_exact_weight_gradient(case, dtype)
    transposed = np.full((case.weight_shape[1], case.weight_shape[0], *case.kernel), np.nan, dtype).swapaxes(0, 1)
    case.grad_weight(g, x, algorithm="direct", out=transposed)
    assert_exact(np.ascontiguousarray(transposed), want, dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_bits(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(8)
    x, g = (rng.standard_normal(shape).astype(dtype) for shape in (case.input_shape, case.output_shape))
    with fc.threads(1):
        want = case.grad_weight(g, x)
    with fc.threads(3):
        assert_same_bits(case.grad_weight(g, x), want)
    strided = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, dtype)[..., ::2]
    strided[...] = x
    assert_same_bits(case.grad_weight(g, strided), want)


@pytest.mark.skipif(fc.explain((1, 1, 5), (1, 1, 1))["isa"] != "v4", reason="twenty outputs fill shorter vectors")
def test_groups_turn_too() -> None:
    assert fc.explain((1, 480, 14, 14), (60, 160, 1, 1), groups=3, direction="grad_weight")["block_channels"] <= 20
