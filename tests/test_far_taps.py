"""Taps far apart, or beside a small image, meet zeros mostly, which nobody multiplies by: exact for integers, the same
bits for any number of threads and memory, and the plan's cycles say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import Guarded, assert_exact, assert_same_bits
from cases import Case

import fastconv as fc

FAR = [
    Case((12, 13), (13, 13), 1, (12, 6), ic=20, oc=66, batch=2),  # parts of four outputs, of other taps each
    Case((33, 33), (3, 3), 1, 18, 18, ic=48, oc=48, batch=2),
    Case((33, 29), (3, 3), 1, (20, 15), (20, 15), ic=64, oc=40),
    Case((40, 37), (3, 2), 1, ((30, 14), (19, 4)), (22, 23), ic=40, oc=64),
    Case((35, 34), (3, 3), (2, 1), (24, 18), (24, 18), ic=64, oc=64),
    Case((34, 33), (3, 3), 1, 18, 18, ic=32, oc=32, groups=2, batch=3),
    Case((9, 20, 21), (3, 3, 1), 1, (7, 12, 0), (7, 12, 1), ic=33, oc=35),
]
DEAD = [
    Case((1, 1), (3, 3), 1, 1, ic=33, oc=20, batch=2),
    Case((14, 14), (3, 3), 1, 18, 18, ic=40, oc=33),
    Case((5, 2), (5, 7), (2, 1), (2, 9), (1, 3), ic=24, oc=17),
    Case((3, 1), (4, 5), 1, ((2, 1), (4, 1)), 1, ic=18, oc=35, batch=3),
    Case((3,), (3,), 4, ((1, 6),), 2, ic=20, oc=20),
    Case((1,), (2,), 1, ((1, 1),), 2, ic=3, oc=5),  # no tap meets anything
    Case((2, 1, 1), (3, 3, 3), 1, 2, 2, ic=20, oc=20),
]


@pytest.mark.parametrize("case", FAR + DEAD, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    y, dx, dw = case.expected_output(x, w, b), case.expected_grad_input(g, w), case.expected_grad_weight(g, x)
    for algorithm in ("auto", "direct"):
        tolerance = 1e-3 if algorithm == "auto" else 0.0  # Winograd's transforms
        np.testing.assert_allclose(case.forward(x, w, b, algorithm=algorithm), y, atol=tolerance)
        np.testing.assert_allclose(case.grad_input(g, w, algorithm=algorithm), dx, atol=tolerance)
    assert_exact(case.grad_weight(g, x, algorithm="direct"), dw, dtype)
    out = Guarded(case.weight_shape, dtype, (1, 2, *(1,) * (case.nd - 1), -1))
    case.grad_weight(g, x, algorithm="direct", out=out.view)
    out.assert_intact()
    assert_exact(np.ascontiguousarray(out.view), dw, dtype)
    out = Guarded(case.output_shape, dtype, (1, 1, *(1,) * (case.nd - 1), 2))
    case.forward(x, w, b, activation="relu", algorithm="direct", out=out.view)
    out.assert_intact()
    assert_exact(np.ascontiguousarray(out.view), np.maximum(y, 0), dtype)


@pytest.mark.parametrize("case", FAR[:5] + DEAD[1:3], ids=str)
def test_same_bits(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(5)
    shapes = (case.input_shape, case.weight_shape, case.output_shape)
    x, w, g = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    y, dx, dw = case.forward(x, w), case.grad_input(g, w), case.grad_weight(g, x)
    assert_same_bits(case.forward(x[:1], w), y[:1])
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)  # channels last
    assert_same_bits(case.forward(turned, w), y)
    assert_same_bits(case.grad_weight(g, turned), dw)
    with fc.threads(3):
        assert_same_bits(case.forward(x, w), y)
        assert_same_bits(case.grad_input(g, w), dx)
        assert_same_bits(case.grad_weight(g, x), dw)


@pytest.mark.parametrize("case", FAR[:4] + DEAD[:4], ids=str)
def test_packed(case: Case, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    packed = fc.PackedConv2d(w, b, case.stride, case.padding, case.dilation)
    np.testing.assert_allclose(packed(x), case.expected_output(x, w, b), atol=1e-3)


@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
def test_zeros_cost_nothing(direction: str, dtype: Any) -> None:
    """A third of the products meets no zero: 15, 33 and 15 of 33 outputs an axis."""
    plan = fc.explain((1, 64, 33, 33), (64, 64, 3, 3), 1, 18, 18, direction=direction, dtype=dtype)
    products = 64 * 64 * 9 * 33 * 33 / (2 * plan["lanes"])
    assert plan["cost"] < 0.75 * products


def test_a_kernel_as_large_as_the_image(dtype: Any) -> None:
    """Six of ten taps meet zeros, others for each output: a part takes several."""
    plan = fc.explain((1, 24, 12, 12), (128, 24, 13, 13), 1, (12, 6), dtype=dtype)
    products = 24 * 128 * 13**2 * 24 * 12 / (2 * plan["lanes"])
    assert plan["cost"] < 0.75 * products


@pytest.mark.parametrize("direction", ["forward", "grad_input"])
def test_a_pixel_meets_one_tap(direction: str) -> None:
    many, one = (fc.explain((1, 64, 1, 1), (64, 64, k, k), padding=k // 2, direction=direction)["cost"] for k in (3, 1))
    assert many == one


def test_padding_of_the_depth_costs_nothing(dtype: Any) -> None:
    """Six of eight times seven pairs of an output and a tap along it."""
    padded, inner = (
        fc.explain((1, 3, d, 112, 112), (64, 3, 7, 7, 7), stride=2, padding=(p, 3, 3), dtype=dtype)["cost"]
        for d, p in ((16, 3), (21, 0))
    )
    assert padded < 0.92 * inner
