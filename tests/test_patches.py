"""Input gradients as sums of patches: exact for integers, any layout, and the bits of each image alone."""

from __future__ import annotations

from dataclasses import replace
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
    Case((18, 22), (2, 2), 2, ic=37, oc=130, batch=3),
    *[Case((29, 47), (k, k), 1, p, ic=3, oc=32) for k in (3, 5) for p in (0, 1, k - 1)],
    *[Case((19, 21), (7, 7), 1, 3, ic=ic, oc=48, batch=2) for ic in (1, 2, 3)],
    Case((61, 67), (3, 3), 1, 1, ic=4, oc=64, groups=1),
    Case((34, 61), (3, 5), (1, 2), (1, 2), 2, ic=12, oc=32, groups=2, batch=2),
    Case((41, 43), (3, 3), (2, 2), (2, 3), (3, 2), ic=11, oc=20),
    Case((23, 61), (1, 5), (1, 2), (0, 2), ic=3, oc=32),
    Case((61, 23), (5, 1), (2, 1), (2, 0), ic=4, oc=32),
    # a stride longer than the kernel, few channels of dy, many of dx
    *[Case((23, n), (2, 3), 4, p, ic=2, oc=oc, batch=2) for n in (40, 43) for p in (0, 1) for oc in (3, 48)],
    Case((31, 50), (2, 2), (3, 5), ic=3, oc=40, groups=1, batch=3),
    Case((26, 34), (3, 3), 3, 1, ic=29, oc=5, groups=2, batch=2),
    Case((70,), (3,), 7, 1, ic=2, oc=64),
    *[Case((n,), (k,), 1, p, ic=1, oc=8, batch=2) for n, k, p in ((700, 11, 5), (33, 16, 0), (90, 5, 2))],
    # many channels, and a dx of which most lies around dy
    *[Case((11, 13), (8, k), 1, p, ic=37, oc=41, batch=2) for k in (7, 11) for p in (0, 1)],
    Case((14, 9), (6, 7), 1, ic=34, oc=70, groups=2, batch=3),
    Case((4, 6, 7), (3, 4, 5), ic=19, oc=48),
    # side by side, the first of a line cut off by padding, zeros behind the last
    *[Case((n, n + 20), (k, k), k, p, ic=5, oc=16) for k in (2, 3, 4) for p in range(k) for n in (23, 24, 25, 26)],
    # small images of a batch together, elements one by one, lines and slices of zeros
    Case((3, 3), (2, 2), 2, ic=63, oc=48, batch=32),
    Case((4, 4), (4, 4), 2, 1, ic=16, oc=20, batch=31),
    Case((3, 3), (7, 7), 2, 3, ic=16, oc=6, batch=9),
    Case((33, 10), (2, 5), 4, (2, 0), 2, ic=33, oc=40, batch=5),
    Case((10, 9, 11), (3, 3, 3), 4, (0, 0, 1), ic=16, oc=19, batch=4),
    Case((6, 5), (3, 3), (2, 3), 1, ic=14, oc=18, groups=2, batch=33),
    Case((28,), (3,), 4, ic=32, oc=29, batch=16),
    Case((7, 6), (3, 3), 1, 1, ic=2, oc=32, batch=5),
    Case((2, 5), (3, 3), 2, 1, ic=300, oc=70, batch=5),
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
@pytest.mark.parametrize(
    ("k", "stride", "size"), [(2, 2, (11, 13)), (4, 4, (11, 13)), (7, 3, (11, 13)), (3, 2, (3, 2))]
)
def test_layouts_batches_and_threads_do_not_matter(
    dtype: Any, threads: int, k: int, stride: int, size: tuple[int, int]
) -> None:
    """With a bias and an activation, as a transposed convolution."""
    g, w, b = random((9, 24, *size), dtype), random((24, 4, k, k), dtype), random((4,), dtype)
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


def test_plan() -> None:
    """Of one image alone, and not where others have its bits or are quicker."""

    def kernel(x: tuple[int, ...], w: tuple[int, ...], **options: Any) -> str:
        return str(fc.explain(x, w, direction="grad_input", **options)["kernel"])

    for batch in (1, 64):
        assert kernel((batch, 3, 224, 224), (96, 3, 4, 4), stride=4) == "patches"
        assert kernel((batch, 3, 224, 224), (32, 3, 3, 3), stride=2, padding=1) == "patches"
        assert kernel((batch, 4, 112, 112), (64, 4, 3, 3), padding=1) == "patches"
        assert kernel((batch, 1, 70, 60), (32, 1, 5, 5)) == "patches"
        assert kernel((batch, 2, 11, 11), (256, 2, 11, 11), padding=(5, 0)) == "patches"
        assert kernel((batch, 1, 6000), (8, 1, 11), padding=5) == "patches"
        assert kernel((batch, 208, 11, 11), (104, 208, 8, 8), padding=4) != "patches"
        assert kernel((batch, 4, 12), (32, 4, 3)) != "patches"  # lines so short that adding takes longer
        assert kernel((batch, 3, 150, 150), (16, 3, 11, 11), padding=5) != "patches"
        assert kernel((batch, 6, 14, 14), (16, 6, 5, 5)) != "patches"
        isa = fc.explain((1, 1, 8, 8), (1, 1, 3, 3))["isa"]  # with many registers squares sum several channels
        assert (kernel((batch, 3, 32, 32), (32, 3, 3, 3), padding=1) == "patches") != (isa == "v4")
        assert isa not in ("v3", "v4") or kernel((batch, 1, 32, 32), (32, 1, 3, 3), padding=1) != "patches"
        assert isa not in ("v3", "v4") or kernel((batch, 3, 64, 64), (32, 3, 5, 5), padding=2) != "patches"
        assert kernel((batch, 4, 112, 112), (64, 4, 3, 3), padding=1, padding_mode="reflect") != "patches"
        # a seventh of the products that tiles make, as of a batch in lanes
        assert isa != "v4" or kernel((batch, 208, 11, 11), (104, 208, 8, 8)) == "patches"
        # small images whose stride leaves most of dx out, or of few channels
        assert kernel((batch, 63, 3, 3), (48, 63, 2, 2), stride=2) == "patches"
        assert kernel((batch, 33, 33, 10), (240, 33, 2, 5), stride=4, padding=(2, 0), dilation=2) == "patches"
        assert kernel((batch, 48, 16, 16), (56, 48, 3, 3), stride=4, padding=(0, 2)) == "patches"
        assert kernel((batch, 242, 2, 8), (16, 242, 5, 5), stride=2, padding=2) != "patches"  # of taps left out
        # to find the patches of each element takes as long as to add them; weights from memory are packed but once
        assert isa not in ("v3", "v4") or kernel((batch, 15, 39, 18), (64, 15, 3, 3), stride=2) != "patches"
        assert kernel((batch, 1024, 9, 9), (768, 64, 7, 7), stride=2, padding=3, groups=16) != "patches"
        # Winograd's tiles of few rows must promise enough
        assert kernel((batch, 10, 8, 8), (400, 10, 3, 3), padding=(0, 1)) == "patches"
        assert isa not in ("v3", "v4") or kernel((batch, 10, 16, 16), (400, 10, 5, 5), padding=2) != "patches"
    for shape, weight, padding in (((1, 16, 64, 64), (64, 16, 3, 3), 1), ((1, 24, 80, 80), (96, 24, 4, 4), 1)):
        plan = fc.explain(shape, weight, stride=2, padding=padding, direction="grad_input")
        assert plan["lanes"] < 8 or plan["algorithm"] == "winograd"  # all phases, or one by one
    assert kernel((1, 256, 14, 14), (512, 256, 2, 2), stride=2) != "patches"  # the product has a plan of its own


# Weights that leave the cache: for each piece of a stride they would pass once more.
DEEP = [
    Case((13, 14), (3, 3), 2, 1, ic=400, oc=460, batch=3),
    Case((6, 5), (4, 4), 2, 1, ic=2 * 250, oc=2 * 260, groups=2, batch=2),
    Case((9, 11), (3, 3), (2, 3), (2, 3), (2, 1), ic=390, oc=470),
    Case((70,), (5,), 3, 2, ic=700, oc=470, batch=3),
    Case((3, 5, 4), (2, 3, 3), 2, 1, ic=320, oc=300, batch=2),
]


@pytest.mark.parametrize("case", DEEP, ids=str)
def test_deep_sums_of_many_channels(case: Case, dtype: Any) -> None:
    _, w, _, g = case.data(dtype)
    assert_exact(case.grad_input(g, w), case.expected_grad_input(g, w), dtype)
    g, w = random(g.shape, dtype), random(w.shape, dtype)
    dx = case.grad_input(g, w)
    for threads in (1, 3):
        with fc.threads(threads):
            assert_same_bits(case.grad_input(g.copy("F"), w.copy("F")), dx)
            assert_same_bits(np.concatenate([replace(case, batch=1).grad_input(image[None], w) for image in g]), dx)


def test_deep_sums_pack_no_weights() -> None:
    """Some patches are all that is kept beside a copy of weights that stand otherwise; vectors are whole lines."""
    if fc.explain((1, 1, 8, 8), (1, 1, 3, 3))["lanes"] < 8:
        pytest.skip("short vectors' weights are packed")
    weight = (512, 512, 3, 3)
    for batch in (1, 16):
        plan = fc.explain((batch, 512, 14, 14), weight, stride=2, padding=1, direction="grad_input")
        assert 0 < plan["shared_bytes"] - 4 * np.prod(weight) < 4 << 20


STRIPS = [
    Case((1100, 1004), (4, 4), 4, ic=3, oc=16),
    Case((1100, 1000), (5, 3), 3, ((2, 1), (0, 2)), ic=3, oc=16),
    Case((1500, 800), (3, 3), 2, 1, ic=3, oc=16),
    Case((1400001,), (11,), 4, 5, ic=1, oc=16),
    Case((60, 150, 140), (3, 4, 5), (3, 2, 4), (2, 1, 0), ic=1, oc=16),
    Case((310, 290), (3, 3), 1, 1, ic=3, oc=64),
    Case((210, 190), (5, 5), 1, 2, ic=9, oc=48),
    Case((200, 190), (7, 7), 2, 3, ic=3, oc=64),
    Case((224, 224), (2, 2), 2, ic=8, oc=160),
    *[Case((128, 128), (3, 3), 1, 1, ic=ic, oc=64) for ic in (1, 3, 4)],  # channels of dy meet in the cache
    Case((256, 64), (5, 5), 2, 2, ic=3, oc=33, batch=2),
]


@pytest.mark.parametrize("case", STRIPS, ids=str)
def test_large_images_are_cut(case: Case) -> None:
    _, w, _, g = case.data(np.float32)
    dx = case.grad_input(g, w)
    expected = case.grad_input(g, w, algorithm="reference")
    np.testing.assert_allclose(dx, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    for threads in (2, 3):
        with fc.threads(threads):
            assert_same_bits(dx, case.grad_input(g, w))


@pytest.mark.parametrize("width", [16, 64, 128])
def test_channels_meet_in_the_cache(width: int, dtype: Any) -> None:
    """With few registers they are copied beside each other, panels being of any number of vectors."""
    case = Case((4096 // width + 2, width), (5, 3), 1, (1, 1), ic=4, oc=33, batch=2)
    _, w, _, g = case.data(dtype)
    assert_exact(case.grad_input(g, w), case.expected_grad_input(g, w), dtype)


def test_patches_side_by_side_need_no_sums() -> None:
    """A line of them is one copy, however short the sums of a group: with vectors of eight they pay."""
    plan = fc.explain((1, 32, 64, 64), (32, 8, 4, 4), 4, groups=4, direction="grad_input")
    assert plan["lanes"] < 8 or plan["kernel"] == "patches"


LONG_STRIDES = [
    Case((3000,), (200,), 130, ic=2, oc=40),
    Case((700,), (90,), 70, 3, 3, ic=2, oc=40),
    Case((900,), (9,), 6, 0, 4, ic=2, oc=40),
]


@pytest.mark.parametrize("case", LONG_STRIDES, ids=str)
def test_long_strides(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    np.testing.assert_array_equal(case.forward(x, w, b), case.expected_output(x, w, b))
    np.testing.assert_array_equal(case.grad_input(g, w), case.expected_grad_input(g, w))
    np.testing.assert_array_equal(case.grad_weight(g, x), case.expected_grad_weight(g, x))


IMAGES = [  # whose patches stand side by side
    Case((4, 4), (4, 4), 3, (2, 3), groups=4, ic=8, oc=24, batch=33),
    Case((22,), (3,), 2, groups=16, ic=3, oc=47, batch=5),
    Case((82, 82), (5, 1), 3, groups=3, ic=2, oc=2, batch=3),
    Case((2, 5, 6), (3, 3, 3), 2, 1, groups=2, ic=3, oc=20, batch=9),
    Case((9, 12), (2, 2), 2, groups=3, ic=5, oc=7, batch=4),
]


@pytest.mark.parametrize("case", IMAGES, ids=str)
def test_images_and_groups_together(case: Case, dtype: Any) -> None:
    _, w, _, g = case.data(dtype)
    want = case.expected_grad_input(g, w)
    assert_exact(case.grad_input(g, w, algorithm="direct"), want, dtype)
    rng = np.random.default_rng(4)
    g = rng.standard_normal(g.shape).astype(dtype)
    together = case.grad_input(g, w)
    for threads in (1, 3):
        with fc.threads(threads):
            assert_same_bits(case.grad_input(g, w), together)
            alone = [replace(case, batch=1).grad_input(g[i : i + 1], w) for i in range(case.batch)]
    assert_same_bits(np.concatenate(alone), together)


def test_plan_of_images() -> None:
    plan = fc.explain((32, 16, 22), (96, 4, 3), 2, groups=4, direction="grad_input")
    assert plan["kernel"] == "patches"
    assert plan["block_pixels"] == 10 * 10  # of some images together
