"""Random floating-point data: every result lies within the rounding error that its sums can make.

A sum of m products in working precision, in any order, is off by at most about m * eps * sum |x| |w|; blocks and fused
multiply-adds only make it better. The oracle is float64; for float64 data both sides round, which doubles the bound.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from arrays import Array
from cases import MODE_CASES, UGLY, Case, sample, sample_transposed

CASES = [*UGLY[::7], *MODE_CASES[::4], *sample(31, 60), Case((9, 11), (5, 5), 1, 2, ic=200, oc=5)]


def normal(case: Case, dtype: Any) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng(0)
    shapes = (case.input_shape, case.weight_shape, case.bias_shape, case.output_shape)
    x, w, b, g = ((rng.standard_normal(s) * 10.0 ** rng.integers(-2, 3, s)).astype(dtype) for s in shapes)
    return x, w, b, g


def assert_within_rounding(got: Array, expected: Array, magnitude: Array, products: int) -> None:
    """`magnitude`: the same sums over absolute values."""
    eps = np.finfo(got.dtype).eps
    bound = 2 * (products + 2) * eps * magnitude + np.finfo(got.dtype).tiny
    assert (np.abs(got - expected) <= bound).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward(case: Case, dtype: Any) -> None:
    x, w, b, _ = normal(case, dtype)
    size = case.expected_output(abs(x), abs(w), abs(b))
    products = case.ic * prod(case.kernel) + 1
    assert_within_rounding(case.forward(x, w, b), case.expected_output(x, w, b), size, products)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_grad_input(case: Case, dtype: Any) -> None:
    _, w, _, g = normal(case, dtype)
    size = case.expected_grad_input(abs(g), abs(w))
    terms = int(case.expected_grad_input(np.ones_like(g), np.ones_like(w)).max(initial=0))
    assert_within_rounding(case.grad_input(g, w), case.expected_grad_input(g, w), size, terms)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_grad_weight(case: Case, dtype: Any) -> None:
    x, _, _, g = normal(case, dtype)
    products = g.size // max(case.groups * case.oc, 1)
    size = case.expected_grad_weight(abs(g), abs(x))
    assert_within_rounding(case.grad_weight(g, x), case.expected_grad_weight(g, x), size, products)


@pytest.mark.parametrize("case", sample_transposed(32, 40), ids=str)
def test_transposed(case: Case, dtype: Any) -> None:
    x, w, b, _ = normal(case, dtype)
    terms = int(case.expected_output(np.ones_like(x), np.ones_like(w)).max(initial=0)) + 1
    size = case.expected_output(abs(x), abs(w), abs(b))
    assert_within_rounding(case.forward(x, w, b), case.expected_output(x, w, b), size, terms)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "reference"])
def test_error_does_not_grow_with_the_image(algorithm: str) -> None:
    """A weight gradient sums over every position: its error stays far below the worst case, which is linear."""
    case = Case((101, 103), (3, 3), 1, 1, batch=3, ic=2, oc=2)
    x, _, _, g = normal(case, np.float32)
    got, expected = case.grad_weight(g, x, algorithm=algorithm), case.expected_grad_weight(g, x)
    assert (
        np.abs(got - expected).max() <= 100 * np.finfo(np.float32).eps * case.expected_grad_weight(abs(g), abs(x)).max()
    )
