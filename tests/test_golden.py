"""Golden vectors of the lectures: worked examples printed on their slides, and numbers derived from them. Exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import Array, assert_exact

import fastconv as fc


def conv(image: Any, kernel: Any, dtype: Any, **options: Any) -> Any:
    """One image, one kernel, both plain matrices."""
    return fc.conv2d(np.array([image], dtype), np.array([[kernel]], dtype), **options)[0]


def check(got: Any, expected: Any, dtype: Any) -> None:
    assert_exact(np.ascontiguousarray(got), np.array(expected), dtype)


# G1: the nine-frame example -------------------------------------------------------------------------------------------

G1_IMAGE = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
G1_KERNEL = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
G1_VALID = [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
G1_ON_THE_TORUS = [[4, 3, 4, 2, 2], [2, 4, 3, 3, 1], [2, 3, 4, 1, 2], [4, 3, 2, 2, 1], [3, 4, 2, 1, 3]]


def test_g1_valid(dtype: Any) -> None:
    check(conv(G1_IMAGE, G1_KERNEL, dtype), G1_VALID, dtype)


def test_g1_formula_taken_literally_is_circular_and_anchored_at_the_corner(dtype: Any) -> None:
    got = conv(G1_IMAGE, G1_KERNEL, dtype, padding=((0, 2), (0, 2)), padding_mode="circular")
    check(got, G1_ON_THE_TORUS, dtype)
    check(got[:3, :3], G1_VALID, dtype)


def test_g1_gradients_of_the_sum_of_the_output(dtype: Any) -> None:
    x, w = np.array([[G1_IMAGE]], dtype), np.array([[G1_KERNEL]], dtype)
    grads = fc.conv2d_backward(np.ones((1, 1, 3, 3), dtype), x, w)
    check(grads.weight[0, 0], [[6, 7, 6], [4, 7, 7], [4, 6, 6]], dtype)
    check(
        grads.input[0, 0],
        [[1, 1, 2, 1, 1], [1, 2, 3, 2, 1], [2, 3, 5, 3, 2], [1, 2, 3, 2, 1], [1, 1, 2, 1, 1]],
        dtype,
    )
    check(grads.bias, [9], dtype)


# G2: sharpen ----------------------------------------------------------------------------------------------------------

G2_IMAGE = [
    [105, 102, 100, 97, 96],
    [103, 99, 103, 101, 102],
    [101, 98, 104, 102, 100],
    [99, 101, 106, 104, 99],
    [104, 104, 104, 100, 98],
]
G2_KERNEL = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
G2_CUT = [[320, 206, 198, 188], [210, 89, 111, 101], [205, 85, 111, 101], [189, 98, 117, 113]]
G2_PADDED = [
    [320, 206, 198, 188, 281],
    [210, 89, 111, 101, 213],
    [205, 85, 111, 101, 197],
    [189, 98, 117, 113, 193],
    [317, 211, 210, 194, 291],
]


def test_g2_first_value(dtype: Any) -> None:
    assert conv(G2_IMAGE, G2_KERNEL, dtype, padding=1)[0, 0] == 105 * 5 - 102 - 103 == 320


def test_g2_zeros_on_top_and_left_as_printed(dtype: Any) -> None:
    check(conv(G2_IMAGE, G2_KERNEL, dtype, padding=((1, 0), (1, 0))), G2_CUT, dtype)
    check(conv(np.pad(np.array(G2_IMAGE), ((1, 0), (1, 0))), G2_KERNEL, dtype), G2_CUT, dtype)


def test_g2_zeros_all_round(dtype: Any) -> None:
    check(conv(G2_IMAGE, G2_KERNEL, dtype, padding=1), G2_PADDED, dtype)


# G3: edges, in every padding mode -------------------------------------------------------------------------------------

G3_IMAGE = [[1, 1, 0, 0, 1], [1, 0, 0, 1, 1], [0, 0, 1, 1, 1], [1, 0, 0, 1, 1], [1, 1, 0, 0, 1]]
G3_KERNEL = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("zeros", [[6, 6, -2, -3, 6], [6, -4, -4, 3, 4], [-2, -3, 5, 2, 3], [6, -4, -4, 3, 4], [6, 6, -2, -3, 6]]),
        ("reflect", [[4, 5, -3, -5, 2], [5, -4, -4, 3, 2], [-2, -3, 5, 2, 0], [5, -4, -4, 3, 2], [4, 5, -3, -5, 2]]),
        ("replicate", [[1, 4, -3, -4, 2], [4, -4, -4, 3, 1], [-4, -3, 5, 2, 0], [4, -4, -4, 3, 1], [1, 4, -3, -4, 2]]),
        ("circular", [[1, 4, -3, -4, 2], [3, -4, -4, 3, 2], [-5, -3, 5, 2, 1], [3, -4, -4, 3, 2], [1, 4, -3, -4, 2]]),
    ],
)
def test_g3(mode: str, expected: Any, dtype: Any) -> None:
    check(conv(G3_IMAGE, G3_KERNEL, dtype, padding=1, padding_mode=mode), expected, dtype)


# G4: the example that tells convolution from cross-correlation --------------------------------------------------------

G4_IMAGE = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
G4_KERNEL = [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"padding": 1}, [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]),
        ({"padding": "full"}, [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]),
        ({"padding": "full", "flip": True}, [[0, 0, 1, 2], [0, 5, 11, 11], [6, 23, 29, 23], [12, 32, 37, 24]]),
        ({}, [[19, 25], [37, 43]]),
        ({"padding": 1, "stride": 2}, [[0, 8], [21, 43]]),
        (
            {"padding": 1, "padding_mode": "reflect"},
            [[5, 7, 13, 11], [17, 19, 25, 23], [35, 37, 43, 41], [23, 25, 31, 29]],
        ),
        (
            {"padding": 1, "padding_mode": "replicate"},
            [[0, 4, 10, 12], [15, 19, 25, 27], [33, 37, 43, 45], [36, 40, 46, 48]],
        ),
        (
            {"padding": 1, "padding_mode": "circular"},
            [[10, 10, 16, 10], [19, 19, 25, 19], [37, 37, 43, 37], [10, 10, 16, 10]],
        ),
    ],
    ids=str,
)
def test_g4(options: dict[str, Any], expected: Any, dtype: Any) -> None:
    check(conv(G4_IMAGE, G4_KERNEL, dtype, **options), expected, dtype)


def test_g4_transposed(dtype: Any) -> None:
    x, w = np.array([[[0, 1], [2, 3]]], dtype), np.array([[G4_KERNEL]], dtype)
    check(fc.conv_transpose2d(x, w)[0], [[0, 0, 1], [0, 4, 6], [4, 12, 9]], dtype)


# G5: Sobel ------------------------------------------------------------------------------------------------------------

SOBEL_X = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
SOBEL_Y = [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]


def sobel(image: Any, dtype: Any, **options: Any) -> tuple[Array, Array]:
    both = fc.conv2d(np.array([image], dtype), np.array([[SOBEL_X], [SOBEL_Y]], dtype), **options)
    return both[0], both[1]


def test_g5_vertical_step(dtype: Any) -> None:
    step = np.zeros((6, 8))
    step[:, 4:] = 1
    gx, gy = sobel(step, dtype)
    expected = np.zeros((4, 6))
    expected[:, 2:4] = 4
    check(gx, expected, dtype)
    check(gy, np.zeros((4, 6)), dtype)
    true_gx, true_gy = sobel(step, dtype, flip=True)
    check(true_gx, -expected, dtype)
    check(np.hypot(true_gx, true_gy), np.hypot(gx, gy), dtype)


def test_g5_ramp(dtype: Any) -> None:
    i, j = np.mgrid[:7, :5]
    gx, gy = sobel(i + 2 * j, dtype)
    check(gx, np.full((5, 3), 16), dtype)
    check(gy, np.full((5, 3), -8), dtype)
    np.testing.assert_allclose(np.hypot(gx.astype(float), gy), 17.88854382, rtol=1e-9)


def test_g5_separates(dtype: Any) -> None:
    image = np.arange(48.0).reshape(6, 8) ** 2 % 23
    column, row = [[1], [2], [1]], [[-1, 0, 1]]
    np.testing.assert_array_equal(np.outer([1, 2, 1], [-1, 0, 1]), SOBEL_X)
    check(conv(conv(image, column, dtype), row, dtype), sobel(image, dtype)[0], dtype)


# G6: three input channels ---------------------------------------------------------------------------------------------

G6 = [
    [[1, 0, 1, 0, 2], [1, 1, 3, 2, 1], [1, 1, 0, 1, 1], [2, 3, 2, 1, 3], [0, 2, 0, 1, 0]],
    [[1, 0, 0, 1, 0], [2, 0, 1, 2, 0], [3, 1, 1, 3, 0], [0, 3, 0, 3, 2], [1, 0, 3, 2, 1]],
    [[2, 0, 1, 2, 1], [3, 3, 1, 3, 2], [2, 1, 1, 1, 0], [3, 1, 3, 2, 0], [1, 1, 2, 1, 1]],
]


def test_g6_channels_are_summed(dtype: Any) -> None:
    got = fc.conv2d(np.array(G6, dtype), np.ones((1, 3, 3, 3), dtype))[0]
    check(got, [[32, 31, 31], [43, 44, 39], [38, 40, 35]], dtype)


def test_g6_a_channel_at_a_time(dtype: Any) -> None:
    got = fc.conv2d(np.array(G6, dtype), np.ones((3, 1, 5, 5), dtype), groups=3)
    check(got.ravel(), [30, 30, 38], dtype)


# G7: how often each pixel is used -------------------------------------------------------------------------------------

COVERAGE = [[1, 2, 3, 2, 1], [2, 4, 6, 4, 2], [3, 6, 9, 6, 3], [2, 4, 6, 4, 2], [1, 2, 3, 2, 1]]


def test_g7_coverage(dtype: Any) -> None:
    ones = np.ones((1, 3, 3), dtype)
    check(fc.conv_transpose2d(ones, ones[None])[0], COVERAGE, dtype)
    check(fc.conv2d_grad_input(ones, ones[None], (5, 5))[0], COVERAGE, dtype)


# Padding of a row -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("zeros", [0, 0, 1, 2, 3, 0, 0]),
        ("reflect", [3, 2, 1, 2, 3, 2, 1]),
        ("replicate", [1, 1, 1, 2, 3, 3, 3]),
        ("circular", [2, 3, 1, 2, 3, 1, 2]),
        ("symmetric", [2, 1, 1, 2, 3, 3, 2]),
    ],
)
def test_padded_row(mode: str, expected: list[int], dtype: Any) -> None:
    """A kernel of one tap shows the padded row itself, by all three functions of the row."""
    row, one = np.array([[1, 2, 3]], dtype), np.ones((1, 1, 1), dtype)
    check(fc.conv1d(row, one, padding=2, padding_mode=mode)[0], expected, dtype)
    each = np.eye(7, dtype=dtype)[:, None]
    sent_back = fc.conv1d_grad_input(each, one, (3,), padding=2, padding_mode=mode)[:, 0]
    check(sent_back @ row[0], expected, dtype)
