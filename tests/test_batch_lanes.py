"""Batches of small images, vectors along the batch: exact for integers at every edge of a batch, of an image and of the
runs of rows that share taps, and the bits of each image alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import Array, assert_exact, assert_same_bits
from cases import Case

import fastconv as fc

BATCHES = [16, 17, 33, 35]
CASES = [
    *[Case((14, 14), (5, 5), ic=6, oc=16, batch=n) for n in BATCHES],
    *[Case((h, w), (3, 5), padding=(1, 2), ic=5, oc=9, batch=19) for h in (1, 2, 5, 9, 13) for w in (1, 3, 8, 11)],
    *[Case((11, 9), (4, 3), stride, 2, dilation, ic=6, oc=7, batch=18) for stride in (1, 2, 3) for dilation in (1, 2)],
    *[Case((9, 8), (3, 3), padding=((0, 2), (1, 0)), ic=11, oc=3, groups=g, batch=17) for g in (1, 2, 3)],
    Case((10, 10), (5, 5), padding=4, ic=16, oc=6, batch=64),
    Case((6, 7), (9, 11), padding=(8, 7), ic=2, oc=5, batch=20),
    Case((32, 32), (3, 3), padding=1, ic=32, oc=3, batch=16),
    Case((17,), (9,), padding=4, ic=12, oc=10, batch=40),
    *[Case((5, 5), (5, 5), ic=16, oc=43, batch=n) for n in (16, 31, 64, 100)],
    Case((1, 9), (3, 4), padding=(1, 2), ic=13, oc=7, groups=1, batch=83),
    Case((7, 1), (3, 3), (2, 1), 1, ic=12, oc=18, batch=39),
    Case((1, 1), (1, 1), ic=70, oc=21, batch=150),
    Case((8, 8), (3, 3), padding=1, ic=8, oc=8, batch=16, mode="reflect"),
    *[Case((4, 4), (3, 3), padding=1, ic=8, oc=oc, batch=19) for oc in (331, 1025, 1300)],  # rows in one to five parts
    *[Case((d, 3, w), (3, 3, 3), padding=1, ic=6, oc=9, batch=19) for d in (1, 2, 4) for w in (1, 5)],
    *[Case((5, 4, 3), (2, 3, 4), s, (1, 2, 2), d, ic=5, oc=7, batch=17) for s in (1, 2, (2, 1, 3)) for d in (1, 2)],
    Case((3, 3, 3), (5, 5, 5), padding=2, ic=8, oc=5, groups=3, batch=33),
    Case((3, 1, 1), (3, 1, 1), padding=(1, 0, 0), ic=24, oc=20, batch=40),
    Case((6, 6), (7, 7), 1, 6, 2, ic=90, oc=16, batch=18),  # long lists of taps
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_input_gradient(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    assert_exact(case.forward(x, w, b, algorithm="direct"), case.expected_output(x, w, b), dtype)
    assert_exact(case.grad_input(g, w, algorithm="direct"), case.expected_grad_input(g, w), dtype)


def random(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.random.default_rng(3).standard_normal(shape).astype(dtype)


def test_a_volume_alone_has_the_same_bits(dtype: Any) -> None:
    x, w, b = random((35, 20, 3, 4, 2), dtype), random((11, 20, 3, 3, 3), dtype), random((11,), dtype)
    y = fc.conv3d(x, w, b, padding=1)
    dx = fc.conv3d_grad_input(y, w, x.shape, padding=1)
    for n in (0, 15, 34):
        assert_same_bits(y[n], fc.conv3d(x[n], w, b, padding=1))
        assert_same_bits(dx[n], fc.conv3d_grad_input(y[n], w, x.shape[1:], padding=1))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_an_image_alone_has_the_same_bits(dtype: Any, threads: int, stride: int) -> None:
    x, w, b = random((37, 6, 14, 13), dtype), random((11, 6, 5, 5), dtype), random((11,), dtype)
    options: dict[str, Any] = {"stride": stride, "padding": 2}
    with fc.threads(threads):
        y = fc.conv2d(x, w, b, activation="relu", **options)
        dx = fc.conv2d_grad_input(y, w, x.shape, **options)
    for n in (0, 15, 16, 36):
        assert_same_bits(y[n], fc.conv2d(x[n], w, b, activation="relu", **options))
        assert_same_bits(dx[n], fc.conv2d_grad_input(y[n], w, x.shape[1:], **options))


def test_many_channels_of_an_image_alone(dtype: Any) -> None:
    x, w = random((21, 20, 4, 4), dtype), random((700, 20, 3, 3), dtype)
    for threads in (1, 3):
        with fc.threads(threads):
            y = fc.conv2d(x, w, padding=1)
            for n in (0, 15, 20):
                assert_same_bits(y[n], fc.conv2d(x[n], w, padding=1))


def test_plan() -> None:
    options: dict[str, Any] = {"stride": 2, "padding": 1}
    assert fc.explain((64, 16, 6, 6), (32, 16, 3, 3), **options)["kernel"] == "batch lanes"
    assert fc.explain((1, 16, 6, 6), (32, 16, 3, 3), **options)["kernel"] != "batch lanes"
    assert fc.explain((32, 31, 4, 5, 2), (16, 31, 3, 3, 3), padding=1)["kernel"] == "batch lanes"


def test_little_gain_is_none_with_few_registers() -> None:
    plan = fc.explain((64, 6, 14, 14), (16, 6, 5, 5), algorithm="direct")
    assert (
        plan["isa"] not in ("v3", "v4") or plan["kernel"] == {"v3": "packed columns", "v4": "batch lanes"}[plan["isa"]]
    )


def test_a_pixel_beside_a_vector_leaves_a_batch_in_lanes() -> None:
    """9 is 8 and 1 with vectors of eight, whose sums wait for each other: the one is no sum of its own."""
    for x, w, options in (
        ((16, 128, 3, 3), (256, 128, 3, 3), {"padding": 1}),
        ((16, 189, 7, 7), (45, 63, 3, 3), {"stride": 3, "padding": 1, "groups": 3}),
    ):
        plan = fc.explain(x, w, **options, algorithm="direct")
        assert plan["isa"] not in ("v3", "v4") or plan["kernel"] == "batch lanes"


@pytest.mark.parametrize("images", [1, 5, 16])
def test_pixels_beside_a_vector(images: int, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    x, w = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((images, 40, 5, 5), (19, 40, 3, 3)))
    expected = fc.conv2d(x, w, stride=2, padding=1, algorithm="reference")
    np.testing.assert_array_equal(fc.conv2d(x, w, stride=2, padding=1, algorithm="direct"), expected)


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((8, 448, 15, 3), (8, 448, 1, 1), {}),  # whose lines are packed as one
        ((8, 448, 3, 3), (80, 56, 2, 2), {"stride": 2, "dilation": 2, "groups": 8}),  # or narrow
    ],
)
def test_lines_are_cheaper_to_pack(x: Any, w: Any, options: Any) -> None:
    plan = fc.explain(x, w, **options)
    assert plan["isa"] != "v3" or plan["kernel"] == "packed"


def test_images_without_pixels(dtype: Any) -> None:
    w = np.ones((8, 9, 3, 3), dtype)
    assert fc.conv_transpose2d(np.ones((20, 8, 1, 3), dtype), w, padding=((3, 0), 1)).shape == (20, 9, 0, 3)
    g, alone = np.ones((20, 8, 3, 1), dtype), np.ones((8, 1, 1, 2), dtype)
    assert fc.conv_transpose2d(g, alone, padding=(0, 1), groups=8).shape == (20, 8, 3, 0)
