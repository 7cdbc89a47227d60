"""Weight gradients tap by tap, over no output that meets padding, with x and dy in each other's place or not: exact for
integers, into any memory, the same bits for any number of threads and any memory layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import assert_exact, assert_same_bits, written
from cases import Case, assert_exact_weight_gradient

import fastconv as fc

APART = "outer, tap by tap"
CASES = [
    Case((3, 3), (7, 7), 1, (3, 6), ic=49, oc=89, batch=12),
    Case((3, 5), (13, 3), 1, (6, 1), ic=16, oc=48, groups=3, batch=8),
    Case((3, 47), (11, 11), 2, 5, ic=32, oc=8, batch=3),
    Case((4, 4), (8, 8), 3, 4, ic=80, oc=32, batch=9),
    Case((8, 3, 13), (7, 7, 7), 1, 3, ic=8, oc=11),
    Case((9, 4, 3), (5, 5, 5), 1, 2, ic=100, oc=16),
    Case((3, 3, 3), (3, 3, 3), 1, (1, 1, 2), ic=24, oc=8, groups=3, batch=9),
    Case((3, 83), (5, 2), 2, (8, 2), 4, ic=16, oc=101, batch=3),
    Case((40, 37), (3, 2), 1, ((30, 14), (19, 4)), (22, 23), ic=40, oc=64),
    Case((30,), (6,), (3,), ((9, 4),), 2, ic=70, oc=33, batch=2),
]
TURNED = [
    Case((4, 4), (3, 3), ic=270, oc=9),
    Case((36, 15), (2, 3), 2, (0, 1), ic=32, oc=4, groups=2, batch=3),
    Case((28, 28), (3, 3), 4, (2, 1), ic=309, oc=11, batch=2),
    Case((9, 9), (3, 3), 1, 1, ic=130, oc=1, batch=4),
    Case((3, 7), (5, 5), 1, 2, ic=65, oc=5),
    Case((5, 23, 17), (3, 3, 3), 2, 1, ic=48, oc=8, batch=2),
]


def plan(case: Case, dtype: Any) -> dict[str, Any]:
    options = {k: v for k, v in case.options.items() if k != "flip"}
    return fc.explain(
        case.input_shape, case.weight_shape, **options, dtype=dtype, direction="grad_weight", algorithm="direct"
    )


@pytest.mark.parametrize("case", CASES + TURNED, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    x, g, want = assert_exact_weight_gradient(case, dtype)
    got = written(case.grad_weight, case.weight_shape, (1, 1, *(1,) * (case.nd - 1), -1), g, x, algorithm="direct")
    assert_exact(got, want, dtype)


@pytest.mark.parametrize("case", CASES + TURNED, ids=str)
def test_same_bits(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(8)
    x, g = (rng.standard_normal(shape).astype(dtype) for shape in (case.input_shape, case.output_shape))
    with fc.threads(1):
        want = case.grad_weight(g, x, algorithm="direct")
    with fc.threads(3):
        assert_same_bits(case.grad_weight(g, x, algorithm="direct"), want)
    last = tuple(np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, g))
    x, g = (np.moveaxis(a, -1, 1) for a in last)
    assert_same_bits(case.grad_weight(g, x, algorithm="direct"), want)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_padding_is_left_out(case: Case) -> None:
    told = plan(case, np.float32)
    if told["isa"] == "v2" and told["kernel"] != APART:
        pytest.skip("shorter vectors")
    assert told["kernel"] == APART
    x, _, _, g = case.data(np.float32)
    live = case.grad_weight(g, x, algorithm="direct")
    g[:, :, *(0,) * case.nd] = np.inf  # meets padding with the first tap, a product that is no number
    with np.errstate(invalid="ignore"):
        got = case.grad_weight(g, x, algorithm="direct")
    first = (slice(None), slice(None), *(0,) * case.nd)
    assert_same_bits(np.ascontiguousarray(got[first]), np.ascontiguousarray(live[first]))


@pytest.mark.skipif(fc.explain((1, 1, 5), (1, 1, 1))["isa"] not in ("v3", "v4"), reason="shorter vectors")
@pytest.mark.parametrize("case", TURNED[:1], ids=str)
def test_turned(case: Case) -> None:
    told = plan(case, np.float32)
    assert told["kernel"] == APART and told["block_channels"] == case.oc  # rows are outputs


@pytest.mark.parametrize("case", [CASES[0], TURNED[1]], ids=str)
def test_far_apart(case: Case) -> None:
    """Pixels too far apart for offsets of 32 bits."""
    x, _, _, g = case.data(np.float32)
    try:
        memory = np.empty(2**31 + 2**20, np.float32)  # hardly any of it is touched
    except MemoryError:
        pytest.skip("needs 8 GB of addresses")
    step = (2**31 // (case.batch - 1) + 1) * 4
    far = []
    for a, at in ((x, 0), (g, 2**18)):
        strides = (step, *a.strides[1:])
        view = np.lib.stride_tricks.as_strided(memory[at:], a.shape, strides)
        view[:] = a
        far.append(view)
    assert_exact(case.grad_weight(far[1], far[0], algorithm="direct"), case.expected_grad_weight(g, x), np.float32)
