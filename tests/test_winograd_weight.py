"""The weight gradient of squares and of kernels of one axis by Winograd's algorithm: accuracy, bits, and choice.

Its error is measured against float64 in units of eps * sum |x| |dy|, the sum being that of the largest of the taps
(the transform mixes them). Over the cases below (normal data) the worst element is off by 16 units (direct: 2), and
the norm of all errors is 2.5 units of the norm of all sums (direct: 0.25). Both fall as the image grows: 4.8 and 0.7
for 64 channels of 56x56. Five taps give 6.4 and 0.7 at that size, and up to 27 where a few tiles are all there is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Array, assert_same_bits, written
from cases import OLDEST, Case, assert_takes_winograd
from oracle import MODES

import fastconv as fc

WORST, WORST_OF_FIVE, NORM = 24.0, 48.0, 5.0  # bounds, in units of eps * sum |x| |dy|

CASES = [
    Case((1, 1), (3, 3), 1, 1),
    Case((3, 3), (3, 3)),
    Case((4, 4), (3, 3), 1, 1, ic=2, oc=3),
    Case((6, 7), (3, 3), batch=None, ic=5, oc=1),
    Case((13, 17), (3, 3), 1, 1, batch=2, ic=33, oc=70),
    Case((7, 9), (3, 3), batch=3, groups=3, ic=5, oc=19),
    Case((14, 14), (3, 3), 1, 1, ic=131, oc=97),
    Case((5, 301), (3, 3), 1, 1, ic=65, oc=66),  # several blocks along a row
    Case((301, 5), (3, 3), 1, ((0, 2), (3, 0)), ic=17, oc=16),
    Case((29, 31), (3, 3), 1, 1, batch=11, groups=2, ic=9, oc=8),  # blocks of several images, parts of the sum
    Case((3, 10, 11), (1, 3, 3), 1, (0, 1, 1), batch=2, ic=7, oc=6),
    Case((9, 11), (3, 3), 1, 1, flip=True, batch=2, ic=8, oc=9),
    *(Case((11, 10), (3, 3), 1, 2, mode=mode, batch=2, groups=2, ic=17, oc=19) for mode in MODES),
    Case((5, 6), (3, 3), 1, (9, 12), mode="reflect", ic=3, oc=4),
    Case((27, 26), (5, 5), 1, 2, batch=2, ic=33, oc=40),
    Case((5, 201), (5, 5), 1, (2, 0), groups=2, ic=9, oc=5, flip=True),
    Case((27, 26), (4, 4), 1, 2, batch=2, ic=33, oc=40),
    Case((31, 32), (4, 4), 1, 1, batch=3, groups=2, ic=18, oc=17, flip=True),
    *(Case((11, 10), (4, 4), 1, 3, mode=mode, ic=18, oc=7) for mode in MODES),
    Case((31, 29), (4, 4), 1, 3, (2, 3), ic=8, oc=3),
    *(Case((11, 10), (5, 5), 1, 3, mode=mode, ic=6, oc=7) for mode in MODES),
    Case((28, 29), (3, 3), 1, 2, 2, batch=2, ic=17, oc=20),
    Case((33, 65), (3, 3), 1, (8, 3), (8, 3), ic=70, oc=19, mode="replicate"),
    Case((4, 3), (3, 3), 1, 9, 9, ic=3, oc=2),
    Case((31, 29), (5, 5), 1, 4, (2, 3), ic=8, oc=3),
    Case((6, 9, 10), (3, 3, 3), 1, 1, batch=2, ic=17, oc=19),
    Case((9, 6, 7), (2, 3, 3), (3, 1, 1), (3, 1, 1), ic=5, oc=4),  # slices that see only zeros
    Case((7, 8, 6), (3, 5, 5), 1, 2, (2, 1, 1), groups=2, ic=3, oc=17, mode="circular"),
    # Kernels of one axis: 2 to 32 taps in parts of 2, 3, 4 and 5.
    *(Case((3, 31), (1, k), 1, (0, k // 2), batch=2, ic=18, oc=17) for k in (*range(2, 18), 25, 32)),
    *(Case((31, 3), (k, 1), 1, (k // 2, 0), batch=2, ic=9, oc=33) for k in (*range(2, 18), 25, 32)),
    Case((300,), (2,), 1, 16, 32, batch=7, groups=2, ic=9, oc=8),
    *(Case((11, 10), (1, 7), 1, (0, 5), mode=mode, batch=2, groups=2, ic=17, oc=19) for mode in MODES),
    *(Case((11, 10), (3, 1), 1, (2, 1), mode=mode, ic=6, oc=7) for mode in MODES),
    Case((601,), (9,), 1, 4, ic=65, oc=66),  # several blocks
    Case((300,), (5,), 1, 16, 8, batch=7, groups=2, ic=9, oc=8),
    Case((17, 17), (7, 1), 1, (3, 0), batch=5, ic=131, oc=97, flip=True),
    Case((6, 5, 12), (3, 1, 4), 1, (1, 0, 2), batch=2, ic=17, oc=19),
    # a stride of two: four parts; the last tiles short in height, in width, in both
    *(Case(size, (5, 5), 2, 2, batch=2, ic=17, oc=19) for size in [(3, 4), (13, 18), (18, 13), (19, 33), (33, 19)]),
    *(Case((12, 17), (6, 6), 2, 3, mode=mode, groups=2, ic=9, oc=20) for mode in MODES),
    *(Case((23, 19), (3, 3), 2, 1, mode=mode, batch=2, ic=20, oc=17) for mode in MODES),  # floats alone
    Case((12, 11), (2, 2), batch=2, ic=17, oc=20),
    Case((5, 15, 17), (3, 5, 5), 2, 2, ic=18, oc=33),
    *(Case(size, (3, 3), 1, 1, batch=3, ic=18, oc=17) for size in [(5, 10), (10, 16), (16, 9), (1, 2), (41, 42)]),
    # tiles of 6x6 outputs, whole and short ones
    *(Case((26, 30), (3, 3), 1, 1, mode=mode, batch=2, groups=2, ic=9, oc=18) for mode in MODES),
    Case((18, 49), (3, 3), 1, 1, ic=17, oc=20, flip=True),
    Case((49, 37), (3, 3), 1, 2, 2, batch=3, ic=9, oc=18),
    Case((7, 24, 30), (3, 3, 3), 1, 1, ic=17, oc=9),
]
LARGE = [
    Case((41, 43), (3, 3), 1, 1, batch=3, ic=64, oc=64),
    Case((14, 15), (3, 3), 1, 1, batch=5, ic=150, oc=200, mode="circular"),
    Case((57, 58), (3, 3), 1, 1, groups=2, ic=40, oc=33),
]


def normal(case: Case, dtype: Any) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    return rng.standard_normal(case.input_shape).astype(dtype), rng.standard_normal(case.output_shape).astype(dtype)


def assert_accurate(got: Array, expected: Array, sums: Array, worst: float, norm: float) -> None:
    axes = tuple(range(2, got.ndim))
    unit = np.finfo(got.dtype).eps * np.broadcast_to(sums.max(axis=axes, keepdims=True), got.shape)
    error = np.abs(got - expected)
    assert (error <= worst * unit).all(), (error / unit).max()
    assert np.linalg.norm(error) <= norm * np.linalg.norm(unit), np.linalg.norm(error) / np.linalg.norm(unit)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_error_against_float64(case: Case, dtype: Any) -> None:
    x, g = normal(case, dtype)
    got = case.grad_weight(g, x, algorithm="winograd")
    sums = case.expected_grad_weight(abs(g), abs(x))
    worst = WORST if case.kernel[-1] == 3 else WORST_OF_FIVE
    assert_accurate(got, case.expected_grad_weight(g, x), sums, worst, NORM)


@pytest.mark.parametrize("k, worst", [(3, 10.0), (5, 12.0)])
def test_error_falls_with_the_image(k: int, worst: float, dtype: Any) -> None:
    case = Case((56, 56), (k, k), 1, k // 2, ic=64, oc=64)
    x, g = normal(case, dtype)
    sums = case.expected_grad_weight(abs(g), abs(x))
    assert_accurate(case.grad_weight(g, x, algorithm="winograd"), case.expected_grad_weight(g, x), sums, worst, 1.0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_whole_numbers(case: Case, dtype: Any) -> None:
    x, _, _, g = case.data(dtype)
    np.testing.assert_array_equal(
        np.rint(case.grad_weight(g, x, algorithm="winograd")), case.expected_grad_weight(g, x)
    )


@pytest.mark.parametrize("case", [*LARGE, CASES[9], *CASES[18:]], ids=str)
def test_bits_for_any_number_of_threads(case: Case, dtype: Any) -> None:
    x, g = normal(case, dtype)
    with fc.threads(1):
        expected = case.grad_weight(g, x, algorithm="winograd")
    for n in (2, 3, 5):
        with fc.threads(n):
            assert_same_bits(case.grad_weight(g, x, algorithm="winograd"), expected)


@pytest.mark.parametrize("case", [CASES[4], CASES[5], CASES[12]], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bits_for_any_layout(case: Case, layout: str, dtype: Any) -> None:
    x, g = normal(case, dtype)
    expected = case.grad_weight(g, x, algorithm="winograd")
    spread = LAYOUTS[layout]
    assert_same_bits(case.grad_weight(spread(g), spread(x), algorithm="winograd"), expected)


@pytest.mark.parametrize("case", [CASES[4], CASES[18], CASES[19]], ids=str)
@pytest.mark.parametrize("steps", [(1, 1, 1, 1), (2, 1, 1, 1), (1, -1, 2, 3), (-2, 3, 1, -1)], ids=str)
def test_writes_the_output_and_nothing_else(case: Case, steps: tuple[int, ...], dtype: Any) -> None:
    x, g = normal(case, dtype)
    got = written(case.grad_weight, case.weight_shape, steps, g, x, algorithm="winograd")
    assert_same_bits(got, case.grad_weight(g, x, algorithm="winograd"))


def test_powers_of_two_change_no_digit(dtype: Any) -> None:
    case = CASES[6]
    x, g = normal(case, dtype)
    expected = case.grad_weight(g, x, algorithm="winograd")
    assert_same_bits(case.grad_weight(g * dtype(0.25), x * dtype(64), algorithm="winograd"), expected * dtype(16))


def plan(shape: tuple[int, ...], weight: tuple[int, ...], **more: Any) -> dict[str, Any]:
    return fc.explain(shape, weight, direction="grad_weight", **{"padding": 1} | more)


@pytest.mark.parametrize("channels, size", [(64, 56), (128, 28), (256, 14), (256, 56), (64, 224), (32, 28)])
def test_chosen_for_large_layers(channels: int, size: int) -> None:
    for batch in (1, 16):
        told = plan((batch, channels, size, size), (channels, channels, 3, 3))
        assert told["algorithm"] == "winograd"
        assert told["kernel"] == ("F(3x3, 6x6)" if size >= 56 and not OLDEST else "F(3x3, 4x4)")
        assert told["workspace_bytes"] < 6 << 20 and told["shared_bytes"] <= 6 << 20


@pytest.mark.parametrize("channels, size", [(64, 4), (3, 4), (16, 14), (512, 5)])
def test_not_chosen_where_direct_is_faster(channels: int, size: int) -> None:
    assert plan((1, channels, size, size), (channels, channels, 3, 3))["algorithm"] != "winograd"


@pytest.mark.skipif(OLDEST, reason="of small planes it has other tiles")
def test_a_batch_shares_the_transform_of_the_sums() -> None:
    assert plan((16, 512, 5, 5), (512, 512, 3, 3))["algorithm"] == "winograd"


@pytest.mark.parametrize(
    "shape, weight, more, kernel",
    [
        ((1, 64, 27, 27), (192, 64, 5, 5), {"padding": 2}, "F(5x5, 4x4)"),
        ((1, 8, 64, 64), (128, 8, 5, 5), {"padding": 2}, "F(5x5, 4x4)"),
        ((1, 64, 32, 32), (128, 64, 4, 4), {"padding": 1}, "F(4x4, 5x5)"),
        ((1, 256, 28, 28), (256, 256, 3, 3), {"padding": 2, "dilation": 2}, "F(3x3, 4x4)"),
        ((1, 32, 24, 28, 28), (64, 32, 3, 3, 3), {}, "F(3x3, 6x6)"),
        ((1, 192, 17, 17), (192, 192, 1, 7), {"padding": (0, 3)}, "F(4, 5)"),
        ((1, 64, 28, 28), (64, 64, 3, 1), {}, "F(3, 6)"),
        ((1, 64, 16000), (64, 64, 9), {"padding": 4}, "F(5, 4)"),
        ((1, 64, 4000), (128, 64, 17), {"padding": 8}, "F(5, 4)"),
        ((1, 128, 4000), (128, 128, 2), {}, "F(2, 7)"),
    ],
    ids=str,
)
def test_chosen_for_other_shapes(
    shape: tuple[int, ...], weight: tuple[int, ...], more: dict[str, Any], kernel: str
) -> None:
    assert_takes_winograd(plan(shape, weight, **more), kernel, "F(3x3, 4x4)")


@pytest.mark.skipif(OLDEST, reason="has no parts of squares")
def test_chosen_at_a_stride_of_two() -> None:
    for shape, weight, kernel in [
        ((1, 128, 56, 56), (128, 128, 3, 3), "4 F(2x2, 5x5)"),
        ((3, 29, 33, 31), (47, 29, 5, 5), "4 F(3x3, 4x4)"),
    ]:
        told = plan(shape, weight, stride=2, padding=weight[-1] // 2)
        assert told["algorithm"] == "winograd" and told["kernel"] == kernel


def test_forced_and_forbidden() -> None:
    assert plan((1, 1, 4, 4), (1, 1, 3, 3), algorithm="winograd")["algorithm"] == "winograd"
    assert plan((1, 64, 56, 56), (64, 64, 3, 3), algorithm="direct")["algorithm"] == "direct"


@pytest.mark.parametrize(
    "kernel, more",
    [((3, 5), {}), ((6, 6), {}), ((2, 4), {}), ((1, 3), {"stride": 2}), ((7, 7), {"stride": 2})],
    ids=str,
)
def test_direct_where_it_does_not_fit(kernel: tuple[int, int], more: dict[str, Any], dtype: Any) -> None:
    assert plan((1, 64, 56, 56), (64, 64, *kernel), algorithm="winograd", **more)["algorithm"] == "direct"
    case = Case((12, 13), kernel, padding=1, ic=3, oc=4, **more)
    x, _, _, g = case.data(dtype)
    np.testing.assert_array_equal(case.grad_weight(g, x, algorithm="winograd"), case.expected_grad_weight(g, x))


def test_the_choice_does_not_depend_on_threads(dtype: Any) -> None:
    for n in (1, 2, 4):
        with fc.threads(n):
            told = plan((1, 64, 28, 28), (64, 64, 3, 3), dtype=dtype)["algorithm"]
            assert (told == "winograd") == (dtype is np.float32 or not OLDEST)
