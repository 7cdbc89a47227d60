"""Input gradients of a stride in one piece: exact for integers, any layout, and the bits of each image alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import Array, assert_exact, assert_same_bits
from cases import Case

import fastconv as fc

CASES = [
    *[Case((3 * k, 5 * k), (k, k), k, ic=3, oc=17, batch=2) for k in (2, 3, 4, 5, 7, 8, 16)],
    *[Case((6, columns * k), (2, k), (2, k), ic=2, oc=16) for k in (2, 4) for columns in (1, 7, 8, 15, 16, 17, 33)],
    *[Case((12, 8), (3, 4), (3, 4), ic=2 * g, oc=16 * g, groups=g, batch=5) for g in (1, 2, 3)],
    Case((40,), (10,), 10, ic=1, oc=20, batch=3),
    Case((4, 6, 9), (2, 1, 3), (2, 1, 3), ic=3, oc=16, batch=2),
    Case((9, 8), (4, 4), 4, ic=3, oc=17),
    *[
        Case((31, 29 + n), (k, k), 3, p, ic=3, oc=16, batch=2)
        for k in (4, 5, 6)
        for p in (0, 1, 2, 4)
        for n in (0, 1, 2)
    ],
    *[Case((40, 37), (7, 11), (2, 4), (3, p), ic=4, oc=18, batch=3) for p in (0, 2, 5, 8)],
    *[Case((133, n), (3, k), 2, 1, ic=3, oc=24) for n in (128, 131) for k in (3, 4, 6)],
    Case((500,), (80,), 4, 38, ic=1, oc=16, batch=2),
    Case((7, 8, 9), (3, 2, 5), (2, 2, 3), (1, 0, 2), ic=2, oc=16, batch=2),
    Case((30, 30), (5, 5), 3, ((0, 3), (4, 1)), ic=4, oc=32, groups=2, batch=2),
    Case((30, 30), (5, 5), 3, 2, ic=2, oc=16, mode="reflect"),
    Case((96, 64), (4, 4), 4, ic=40, oc=16, batch=4),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_input_gradient(case: Case, dtype: Any) -> None:
    _, w, _, g = case.data(dtype)
    expected = case.expected_grad_input(g, w)
    for algorithm in ("auto", "direct"):
        assert_exact(case.grad_input(g, w, algorithm=algorithm), expected, dtype)


def random(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.random.default_rng(3).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("k", "stride"), [(2, 2), (4, 4), (7, 3)])
def test_layouts_batches_and_threads_do_not_matter(dtype: Any, threads: int, k: int, stride: int) -> None:
    """With a bias and an activation, as a transposed convolution."""
    g, w, b = random((9, 24, 11, 13), dtype), random((24, 4, k, k), dtype), random((4,), dtype)
    options: dict[str, Any] = {"stride": stride, "padding": 0 if k == stride else 1}
    y = fc.conv_transpose2d(g, w, b, activation="relu", **options)
    room = np.full((*y.shape[:3], 2 * y.shape[3]), 7, dtype)
    with fc.threads(threads):
        fc.conv_transpose2d(g, w.copy("F"), b, activation="relu", out=room[..., ::2], **options)
        alone = [fc.conv_transpose2d(image, w, b, activation="relu", **options) for image in g]
        smooth = fc.conv_transpose2d(g, w, b, activation="tanh", **options)
    assert_same_bits(room[..., ::2], y)
    assert (room[..., 1::2] == 7).all()
    assert_same_bits(np.stack(alone), y)
    np.testing.assert_allclose(smooth, np.tanh(fc.conv_transpose2d(g, w, b, **options)), rtol=1e-5, atol=1e-6)


def test_plan_keeps_the_cells() -> None:
    plan = fc.explain((1, 3, 224, 224), (96, 3, 4, 4), stride=4, direction="grad_input")
    assert plan["shared_bytes"] >= 3 * 224 * 224 * 4


STRIPS = [
    Case((1100, 1004), (4, 4), 4, ic=3, oc=16),
    Case((1100, 1000), (5, 3), 3, ((2, 1), (0, 2)), ic=3, oc=16),
    Case((1500, 800), (3, 3), 2, 1, ic=3, oc=16),
    Case((1400001,), (11,), 4, 5, ic=1, oc=16),
    Case((60, 150, 140), (3, 4, 5), (3, 2, 4), (2, 1, 0), ic=1, oc=16),
]


@pytest.mark.parametrize("case", STRIPS, ids=str)
def test_large_images_are_cut(case: Case) -> None:
    _, w, _, g = case.data(np.float32)
    dx = case.grad_input(g, w)
    expected = case.grad_input(g, w, algorithm="reference")
    np.testing.assert_allclose(dx, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    with fc.threads(2):
        assert_same_bits(dx, case.grad_input(g, w))
