"""What the lectures claim about convolution, shown with the kernels, with its conditions and with its failures."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from arrays import assert_exact, integers
from cases import CONV

import fastconv as fc

# --- convolution is a matrix ------------------------------------------------------------------------------------------


def matrix_of(weight: Any, shape: tuple[int, ...], **options: Any) -> Any:
    """The matrix of a convolution of one channel: its columns are the answers to one-pixel images."""
    pixels = prod(shape)
    return (
        fc.conv2d(np.eye(pixels, dtype=weight.dtype).reshape(pixels, 1, *shape), weight, **options)
        .reshape(pixels, -1)
        .T
    )


def test_toeplitz_matrix(dtype: Any) -> None:
    w = np.arange(1, 10, dtype=dtype).reshape(1, 1, 3, 3)
    matrix = matrix_of(w, (5, 5))
    assert matrix.shape == (9, 25) and matrix.size == 225
    assert np.count_nonzero(matrix) == 81
    assert np.unique(matrix[matrix != 0]).tolist() == list(range(1, 10))
    for block in matrix.reshape(3, 3, 5, 5).transpose(0, 2, 1, 3).reshape(-1, 3, 5):  # doubly blocked Toeplitz
        assert all(np.unique(np.diagonal(block, offset)).size == 1 for offset in range(-2, 5))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular", "symmetric"])
def test_the_matrix_multiplies_and_its_transpose_goes_back(mode: str, dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (1, 5, 4), dtype), integers(rng, (1, 1, 3, 3), dtype)
    options = {"padding": 2, "stride": (1, 2), "padding_mode": mode}
    matrix, y = matrix_of(w, (5, 4), **options), fc.conv2d(x, w, **options)
    assert_exact(y.ravel(), matrix @ x.ravel(), dtype)
    g = integers(rng, y.shape, dtype)
    assert_exact(fc.conv2d_grad_input(g, w, (5, 4), **options).ravel(), matrix.T @ g.ravel(), dtype)


def test_circular_convolution_is_a_circulant_matrix(dtype: Any) -> None:
    w = np.arange(1, 4, dtype=dtype).reshape(1, 1, 1, 3)
    matrix = matrix_of(w, (1, 7), padding=(0, 1), padding_mode="circular")
    for i in range(7):
        np.testing.assert_array_equal(matrix[i], np.roll(matrix[0], i))


def test_convolution_is_linear(dtype: Any, rng: np.random.Generator) -> None:
    x, y = integers(rng, (2, 2, 3, 6, 7), dtype)
    w = integers(rng, (4, 3, 3, 3), dtype)
    assert_exact(fc.conv2d(2 * x - 3 * y, w), 2 * fc.conv2d(x, w) - 3 * fc.conv2d(y, w), dtype)
    assert_exact(fc.conv2d(x, 2 * w), 2 * fc.conv2d(x, w), dtype)


def test_two_convolutions_without_an_activation_are_one(dtype: Any, rng: np.random.Generator) -> None:
    """Why non-linearity is essential."""
    x, w, v = (integers(rng, s, dtype, -2, 2) for s in ((1, 9, 9), (1, 1, 3, 3), (1, 1, 2, 2)))
    both = fc.conv2d(w, v, padding="full", flip=True)
    assert_exact(fc.conv2d(fc.conv2d(x, w), v), fc.conv2d(x, both), dtype)
    bent = fc.conv2d(fc.conv2d(x, w, activation="relu"), v)
    assert (bent != fc.conv2d(x, both)).any()


# --- convolution commutes, cross-correlation does not -----------------------------------------------------------------


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_true_convolution_commutes(nd: int, dtype: Any, rng: np.random.Generator) -> None:
    a = integers(rng, (1, 1, *(5, 4, 6)[:nd]), dtype)
    b = integers(rng, (1, 1, *(3, 2, 4)[:nd]), dtype)
    conv = CONV[nd]
    assert_exact(conv(a, b, padding="full", flip=True), conv(b, a, padding="full", flip=True), dtype)
    one_way, other_way = conv(a, b, padding="full"), conv(b, a, padding="full")
    assert (one_way != other_way).any()
    np.testing.assert_array_equal(one_way, np.flip(other_way, axis=tuple(range(2, nd + 2))))


def test_flip_is_the_reversed_kernel(dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (2, 3, 6, 7), dtype), integers(rng, (4, 3, 2, 3), dtype)
    assert_exact(fc.conv2d(x, w, flip=True), fc.conv2d(x, w[:, :, ::-1, ::-1]), dtype)


# --- equivariance -----------------------------------------------------------------------------------------------------


def shift(a: Any, by: tuple[int, int]) -> Any:
    return np.roll(a, by, axis=(-2, -1))


@pytest.mark.parametrize("by", [(1, 0), (0, 1), (3, -2), (-7, 11)])
def test_circular_padding_commutes_with_every_shift(by: tuple[int, int], dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (2, 3, 8, 9), dtype), integers(rng, (4, 3, 3, 3), dtype)
    options = {"padding": 1, "padding_mode": "circular"}
    assert_exact(fc.conv2d(shift(x, by), w, **options), shift(fc.conv2d(x, w, **options), by), dtype)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "symmetric"])
def test_other_paddings_break_the_shift_at_the_border_only(mode: str, dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (1, 2, 12, 13), dtype), integers(rng, (2, 2, 3, 3), dtype)
    options = {"padding": 1, "padding_mode": mode}
    moved, expected = fc.conv2d(shift(x, (0, 1)), w, **options), shift(fc.conv2d(x, w, **options), (0, 1))
    differs = np.flatnonzero((moved != expected).any(axis=(0, 1, 2)))
    assert differs.size and set(differs.tolist()) <= {0, 1, 12}


@pytest.mark.parametrize("stride", [2, 3])
def test_strides_commute_with_their_multiples_only(stride: int, dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (1, 2, 12, 12), dtype), integers(rng, (2, 2, 3, 3), dtype)
    options = {"padding": 1, "padding_mode": "circular", "stride": stride}
    y = fc.conv2d(x, w, **options)
    for by in range(1, 7):
        moved = fc.conv2d(shift(x, (by, 0)), w, **options)
        if by % stride == 0:
            assert_exact(moved, shift(y, (by // stride, 0)), dtype)
        else:
            assert all((moved != shift(y, (s, 0))).any() for s in range(y.shape[-2]))


def test_rotation_needs_a_rotated_kernel(dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (2, 3, 7, 7), dtype), integers(rng, (4, 3, 3, 3), dtype)

    def turn(a: Any) -> Any:
        return np.rot90(a, axes=(-2, -1))

    assert_exact(fc.conv2d(turn(x), turn(w), padding=1), np.ascontiguousarray(turn(fc.conv2d(x, w, padding=1))), dtype)
    assert (fc.conv2d(turn(x), w, padding=1) != turn(fc.conv2d(x, w, padding=1))).any()


# --- sizes, parameters, operations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", range(1, 8))
def test_valid_same_full(m: int) -> None:
    x, w = np.ones((1, 1, 11)), np.ones((1, 1, m))
    assert [fc.conv1d(x, w, padding=p).shape[-1] for p in ("valid", "same", "full")] == [11 - m + 1, 11, 11 + m - 1]


def test_output_size_has_a_floor() -> None:
    """floor((n + 2p - d(k - 1) - 1) / s) + 1, over a grid; the slides leave out the floor and the dilation."""
    for n in (7, 8, 12):
        for k in (1, 2, 3, 5):
            for s in (1, 2, 3):
                for p in (0, 1, 2):
                    for d in (1, 2):
                        room = n + 2 * p - d * (k - 1) - 1
                        if room >= 0:
                            y = fc.conv1d(np.ones((1, 1, n)), np.ones((1, 1, k)), stride=s, padding=p, dilation=d)
                            assert y.shape == (1, 1, room // s + 1)


def test_stride_examples() -> None:
    x, w = np.ones((1, 1, 7, 7)), np.ones((1, 1, 3, 3))
    assert fc.conv2d(x, w, stride=2).shape == (1, 1, 3, 3)
    assert fc.conv2d(x, w, stride=3).shape == (1, 1, 2, 2)


def test_same_padding_of_an_even_kernel_is_one_sided(dtype: Any) -> None:
    x, w = np.arange(5, dtype=dtype).reshape(1, 1, 5), np.ones((1, 1, 2), dtype)
    assert_exact(fc.conv1d(x, w, padding="same"), fc.conv1d(x, w, padding=((0, 1),)), dtype)


def test_six_filters_on_a_colour_image() -> None:
    x, w, b = np.ones((3, 32, 32), np.float32), np.ones((6, 3, 5, 5), np.float32), np.ones(6, np.float32)
    assert fc.conv2d(x, w, b).shape == (6, 28, 28)
    assert w.size + b.size == 456 == 6 * (5**2 * 3 + 1)
    assert fc.explain(x.shape, w.shape)["macs"] == 352_800
    assert 3072 * 4704 / 352_800 == 40.96  # the dense layer's multiplications for each of ours


def test_edge_detector_of_the_cost_slide() -> None:
    """Each pixel minus its neighbour on a 320 x 280 image: 319 x 280 results of 2 multiplications and 1 addition."""
    image = np.tile(np.arange(320, dtype=np.float32) ** 2, (280, 1))
    kernel = np.array([[[[-1, 1]]]], np.float32)
    edges = fc.conv2d(image[None], kernel)
    assert edges.shape == (1, 280, 319) and edges.size * 3 == 267_960
    np.testing.assert_array_equal(edges[0], np.diff(image, axis=1))
    assert fc.explain((1, 280, 320), kernel.shape)["macs"] * 2 == 357_280


def test_lenet_shapes() -> None:
    x = np.ones((1, 1, 32, 32), np.float32)
    c1 = fc.conv2d(x, np.ones((6, 1, 5, 5), np.float32))
    s2 = c1[..., ::2, ::2]
    c3 = fc.conv2d(s2, np.ones((16, 6, 5, 5), np.float32))
    s4 = c3[..., ::2, ::2]
    c5 = fc.conv2d(s4, np.ones((120, 16, 5, 5), np.float32))
    assert [a.shape[1:] for a in (c1, s2, c3, s4, c5)] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
        (120, 1, 1),
    ]


def test_pointwise_convolution_mixes_channels_alone(dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (2, 5, 4, 6), dtype), integers(rng, (3, 5, 1, 1), dtype)
    assert_exact(fc.conv2d(x, w), np.einsum("nchw,oc->nohw", x, w[..., 0, 0]), dtype)


def test_receptive_field_grows_with_depth(dtype: Any) -> None:
    """Two 3x3 layers see 5x5, three see 7x7: the input gradient of the middle output shows what it depends on."""
    g, w = np.zeros((1, 15, 15), dtype), np.ones((1, 1, 3, 3), dtype)
    g[0, 7, 7] = 1
    for depth in (1, 2, 3):
        g = fc.conv2d_grad_input(g, w, (15, 15), padding=1)
        seen = np.argwhere(g[0])
        assert (np.ptp(seen, axis=0) + 1).tolist() == [2 * depth + 1] * 2


def test_correlation_of_the_lecture_on_a_signal() -> None:
    """f = (1, 2, 3), g = (0, 1, 1/2): one order of the arguments gives the reverse of the other."""
    f, g = np.array([[[1.0, 2, 3]]]), np.array([[[0, 1, 0.5]]])
    assert fc.conv1d(f, g, padding="full").ravel().tolist() == [0.5, 2, 3.5, 3, 0]
    assert fc.conv1d(g, f, padding="full").ravel().tolist() == [0, 3, 3.5, 2, 0.5]
