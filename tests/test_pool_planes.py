"""The kernels that take whole planes: many small planes at once, and dense planes without scratch memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pool_oracle as oracle
import pytest

import fastconv as fc

DTYPES = [np.float32, np.float64]

# (planes, height, width, kernel, stride, padding): around vectors' ends, fewer planes than lanes and more
CASES = [
    (planes, h, w, k, s, pad)
    for planes in (1, 5, 17)
    for h, w in ((7, 7), (1, 3), (13, 16), (5, 33), (6, 67))
    for k, s, pad in ((2, 2, 0), (3, 1, 1), (3, 2, 1), (4, 4, 0), (3, 4, 1), (1, 2, 0))
    if h + 2 * pad >= k and w + 2 * pad >= k
]


def values(shape: tuple[int, ...], dtype: Any) -> Any:
    return np.random.default_rng(sum(shape)).integers(-9, 10, shape).astype(dtype)


def strided(a: Any) -> Any:
    """The same values at every second place of a larger array."""
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan, a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_against_the_formula(case: Any, dtype: Any) -> None:
    planes, h, w, k, s, pad = case
    x = values((1, planes, h, w), dtype)
    axes = [oracle.regular_axis(n, k, s, pad, pad) for n in (h, w)]
    want, want_at = oracle.max_pool(x, axes)
    y, at = fc.max_pool2d(x, k, s, pad, return_indices=True)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(at, want_at)
    np.testing.assert_array_equal(fc.max_pool2d(x, k, s, pad), want)
    g = values(want.shape, dtype)
    np.testing.assert_array_equal(fc.max_pool2d_backward(g, x, k, s, pad), oracle.scatter(g, want_at, x.shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [(17, 7, 7, 7, 1, 0), *CASES[::5]])
def test_memory_layout_does_not_change_bits(case: Any, dtype: Any) -> None:
    planes, h, w, k, s, pad = case
    x = np.random.default_rng(1).standard_normal((2, planes, h, w)).astype(dtype)
    y = fc.avg_pool2d(x, k, s, pad)
    np.testing.assert_array_equal(fc.avg_pool2d(strided(x), k, s, pad), y)
    np.testing.assert_array_equal(fc.avg_pool2d(x[1:], k, s, pad), y[1:])
    g = np.random.default_rng(2).standard_normal(y.shape).astype(dtype)
    dx = fc.avg_pool2d_backward(g, x, k, s, pad)
    np.testing.assert_array_equal(fc.avg_pool2d_backward(strided(g), x, k, s, pad), dx)
    out = strided(np.zeros_like(x))
    np.testing.assert_array_equal(fc.avg_pool2d_backward(g, x, k, s, pad, out=out), dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [6, 7, 8, 9, 16, 17, 33])
def test_long_windows(k: int, dtype: Any) -> None:
    x = values((2, 3, 150), dtype)
    x[0, 0, [40, 90]] = np.nan
    x[1, 1, 20:80] = -np.inf
    pad = k // 2
    axes = [oracle.regular_axis(150, k, 1, pad, pad)]
    want, want_at = oracle.max_pool(x, axes)
    y, at = fc.max_pool1d(x, k, 1, pad, return_indices=True)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(at, want_at)
    np.testing.assert_array_equal(fc.max_pool1d(x, k, 1, pad), want)
    tall = np.ascontiguousarray(x[..., None])
    np.testing.assert_array_equal(fc.max_pool2d(tall, (k, 1), 1, (pad, 0))[..., 0], want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 7, 16, 17])
@pytest.mark.parametrize("k", [1, 2, 3, 8, 20])
def test_gradient_of_averages_at_any_stride(k: int, stride: int, dtype: Any) -> None:
    for width, pad in ((k, 0), (37, k // 2), (70, 0)):
        x = values((1, 2, 3, width), dtype)
        axes = [oracle.regular_axis(3, 1, 1, 0, 0), oracle.regular_axis(width, k, stride, pad, pad)]
        g = values(oracle.sum_pool(x, axes).shape, dtype)
        dx = fc.avg_pool2d_backward(g, x, (1, k), (1, stride), (0, pad), divisor_override=2)
        np.testing.assert_array_equal(dx, oracle.sum_pool_backward(g / 2, axes, x.shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 3, 6, 7, 20])
def test_many_narrow_planes(width: int, dtype: Any) -> None:
    """As many as are pooled side by side, and each of them alone: the same bits."""
    x = np.random.default_rng(3).standard_normal((1, 37, 60, width)).astype(dtype)
    for k, s in (((3, 1), 1), ((2, min(2, width)), 3), ((3, 1), 2)):
        axes = [oracle.regular_axis(n, k[i], s, k[i] // 2, k[i] // 2) for i, n in enumerate((60, width))]
        y = fc.max_pool2d(x, k, s, (k[0] // 2, k[1] // 2))
        np.testing.assert_array_equal(y, oracle.max_pool(x, axes)[0])
        for pool, back in ((fc.avg_pool2d, fc.avg_pool2d_backward), (fc.max_pool2d, fc.max_pool2d_backward)):
            y = pool(x, k, s, (k[0] // 2, k[1] // 2))
            g = np.random.default_rng(4).standard_normal(y.shape).astype(dtype)
            dx = back(g, x, k, s, (k[0] // 2, k[1] // 2))
            for i in (0, 36):
                alone = x[:, i : i + 1], g[:, i : i + 1]
                np.testing.assert_array_equal(pool(alone[0], k, s, (k[0] // 2, k[1] // 2)), y[:, i : i + 1])
                np.testing.assert_array_equal(back(*alone[::-1], k, s, (k[0] // 2, k[1] // 2)), dx[:, i : i + 1])


def test_nothing_is_read_beyond_the_row() -> None:
    """NaNs between the rows of a view must not win."""
    wide = np.full((1, 2, 9, 60), np.nan, np.float32)
    x = wide[..., 3:53]
    x[...] = values(x.shape, np.float32)
    for k, s, pad in ((3, 1, 1), (3, 2, 1), (2, 4, 1)):
        want = fc.max_pool2d(np.ascontiguousarray(x), k, s, pad)
        np.testing.assert_array_equal(fc.max_pool2d(x, k, s, pad), want)
        assert not np.isnan(want).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 3, 19])
def test_a_gradient_whose_rows_are_upside_down(width: int, dtype: Any) -> None:
    """Nothing is written between the rows or behind them."""
    x, grad = values((2, 3, 7, width), dtype), values((2, 3, 3, width), dtype)
    pads = {"kernel_size": (3, 1), "stride": (2, 1)}
    want = fc.avg_pool2d_backward(grad, x, **pads)
    wide = np.full((2, 3, 16, width), 77, dtype)
    fc.avg_pool2d_backward(grad, x, **pads, out=wide[:, :, 14:0:-2])
    np.testing.assert_array_equal(wide[:, :, 14:0:-2], want)
    assert (wide[:, :, 15::-2] == 77).all() and (wide[:, :, 0] == 77).all()


@pytest.mark.parametrize("k, s, pad", [(2, 2, 0), (2, 2, 1), (3, 2, 1), (3, 3, 1), (5, 2, 2), (2, 3, 0), (3, 1, 1)])
def test_the_number_of_planes_does_not_change_bits(k: int, s: int, pad: int) -> None:
    """Narrow planes are joined side by side where there are enough of them, row by row otherwise."""
    rng = np.random.default_rng(k)
    for h, w in ((9, 9), (13, 14), (17, 23), (30, 29), (47, 41), (60, 5)):
        x = rng.standard_normal((2, 40, h, w)).astype(np.float32)
        for count_include_pad in (True, False):
            y = fc.avg_pool2d(x, k, s, pad, count_include_pad=count_include_pad)
            dy = rng.standard_normal(y.shape).astype(np.float32)
            dx = fc.avg_pool2d_backward(dy, x, k, s, pad, count_include_pad=count_include_pad)
            few, few_dy = x[:, :3].copy(), dy[:, :3].copy()
            few_y = fc.avg_pool2d(few, k, s, pad, count_include_pad=count_include_pad)
            few_dx = fc.avg_pool2d_backward(few_dy, few, k, s, pad, count_include_pad=count_include_pad)
            np.testing.assert_array_equal(few_y, y[:, :3])
            np.testing.assert_array_equal(few_dx, dx[:, :3])
        np.testing.assert_array_equal(fc.max_pool2d(x[:, :3].copy(), k, s, pad), fc.max_pool2d(x, k, s, pad)[:, :3])
