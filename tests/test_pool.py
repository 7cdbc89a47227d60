"""Pooling against an oracle written from the formulas: small integers, compared exactly, in both precisions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pool_oracle as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc

DTYPES = [np.float32, np.float64]


def pool(name: str, nd: int) -> Any:
    return getattr(fc, f"{name}{nd}d")


def integers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(dtype)


# (spatial, kernel, stride, padding pairs, dilation, ceil_mode)
CASES = [
    ((7,), (2,), (2,), ((0, 0),), (1,), False),
    ((1,), (1,), (1,), ((0, 0),), (1,), False),
    ((5,), (9,), (2,), ((8, 4),), (1,), False),
    ((101,), (3,), (1,), ((2, 1),), (2,), True),
    ((67,), (4,), (5,), ((1, 3),), (1,), True),
    ((50,), (3,), (17,), ((1, 2),), (1,), True),
    ((41,), (2,), (3,), ((1, 0),), (2,), True),
    ((5, 5), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False),
    ((7, 37), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), False),
    ((6, 35), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), False),
    ((11, 70), (2, 3), (3, 3), ((1, 0), (2, 1)), (2, 2), True),
    ((9, 13), (5, 4), (2, 3), ((4, 0), (0, 3)), (1, 1), True),
    ((3, 4, 5), (2, 2, 2), (1, 2, 2), ((0, 1), (1, 0), (1, 1)), (1, 1, 1), True),
    ((5, 6, 19), (3, 2, 4), (2, 1, 2), ((2, 2), (1, 0), (3, 1)), (2, 1, 1), False),
]


def axes_of(case: Any) -> list[oracle.Axis]:
    spatial, k, s, pads, d, ceil = case
    return [oracle.regular_axis(n, k[i], s[i], *pads[i], d[i], ceil) for i, n in enumerate(spatial)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_max_pool(case: Any, dtype: Any) -> None:
    spatial, k, s, pads, d, ceil = case
    x = integers((2, 3, *spatial), dtype)
    want, want_at = oracle.max_pool(x, axes_of(case))
    options = {"padding": pads, "dilation": d, "ceil_mode": ceil}
    f, back = pool("max_pool", len(spatial)), pool("max_pool", len(spatial)).__name__ + "_backward"
    y, at = f(x, k, s, return_indices=True, **options)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(at, want_at)
    assert y.dtype == dtype and at.dtype == np.int64
    np.testing.assert_array_equal(f(x, k, s, **options), want)
    np.testing.assert_array_equal(f(x[1], k, s, **options), want[1])
    g = integers(want.shape, dtype, 1)
    want_dx = oracle.scatter(g, want_at, x.shape)
    np.testing.assert_array_equal(getattr(fc, back)(g, x, k, s, **options), want_dx)
    np.testing.assert_array_equal(getattr(fc, back)(g, x, k, s, **options, indices=at), want_dx)
    np.testing.assert_array_equal(getattr(fc, back)(g[0], x[0], k, s, **options), want_dx[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", ["pad", "no pad", "override"])
@pytest.mark.parametrize("case", [c for c in CASES if max(c[4]) == 1])
def test_avg_pool(case: Any, how: str, dtype: Any) -> None:
    spatial, k, s, pads, _, ceil = case
    nd, axes = len(spatial), axes_of(case)
    x = integers((2, 2, *spatial), dtype)
    if how == "override":
        divisor: Any = 4
        options: dict[str, Any] = {"divisor_override": 4}
    elif how == "no pad":
        divisor, options = oracle.counts(axes), {"count_include_pad": False}
    else:
        per_axis = [oracle.padded_counts(n, k[i], s[i], *pads[i], ceil) for i, n in enumerate(spatial)]
        divisor, options = math.prod(np.ix_(*map(np.array, per_axis))), {}
    options |= {"padding": pads, "ceil_mode": ceil}
    sums = oracle.sum_pool(x, axes)
    y = pool("avg_pool", nd)(x, k, s, **options)
    np.testing.assert_array_equal(y, (sums / np.asarray(divisor, dtype)).astype(dtype))
    g = integers(sums.shape, dtype, 1)
    want = oracle.sum_pool_backward(g / divisor, axes, x.shape)
    got = pool("avg_pool", nd).__name__ + "_backward"
    dx = getattr(fc, got)(g, x, k, s, **options)
    np.testing.assert_allclose(dx, want, rtol=0, atol=100 * np.finfo(dtype).eps)
    if how == "override":  # powers of two: exact
        np.testing.assert_array_equal(dx, want)
    np.testing.assert_array_equal(getattr(fc, got)(g[1], x[1], k, s, **options), dx[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("p", [1, 2, 3, 0.5, 2.5, 200, np.inf])
@pytest.mark.parametrize("case", [CASES[i] for i in (0, 4, 8, 11, 12)])
def test_lp_pool(case: Any, p: float, mean: bool, dtype: Any) -> None:
    spatial, k, s, pads, _, ceil = case
    x = integers((1, 2, *spatial), dtype)
    options = {"padding": pads, "ceil_mode": ceil, "mean": mean}
    y = pool("lp_pool", len(spatial))(x, p, k, s, **options)
    np.testing.assert_allclose(y, oracle.lp_pool(x, axes_of(case), p, mean), rtol=40 * np.finfo(dtype).eps)


@pytest.mark.parametrize("p", [1, 2, 3, 0.5, 2.5, np.inf])
@pytest.mark.parametrize("mean", [False, True])
def test_lp_gradient_by_differences(p: float, mean: bool) -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(0.5, 2, (2, 2, 6, 7)) * rng.choice([-1, 1], (2, 2, 6, 7))
    options: dict[str, Any] = {"padding": ((1, 0), 1), "mean": mean, "ceil_mode": True}
    g = rng.standard_normal(fc.lp_pool2d(x, p, 3, 2, **options).shape)
    dx = fc.lp_pool2d_backward(g, x, p, 3, 2, **options)
    h = 1e-6
    for place in [(0, 0, 0, 0), (0, 1, 3, 3), (1, 0, 5, 6), (1, 1, 2, 5)]:
        e = np.zeros_like(x)
        e[place] = h
        difference = fc.lp_pool2d(x + e, p, 3, 2, **options) - fc.lp_pool2d(x - e, p, 3, 2, **options)
        assert dx[place] == pytest.approx((g * difference).sum() / (2 * h), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lp_pool_neither_overflows_nor_underflows(dtype: Any) -> None:
    big, tiny = np.finfo(dtype).max / 4, np.finfo(dtype).tiny
    for scale in (big, tiny):
        x = np.array([[[3, 4, 0, 0]]], dtype) * dtype(scale / 4)
        for p in (2, 3.0, 40):
            y = fc.lp_pool1d(x, p, 2)
            np.testing.assert_allclose(y[0, 0, 0] / scale, (3**p + 4**p) ** (1 / p) / 4, rtol=1e-5)
            assert y[0, 0, 1] == 0
            dx = fc.lp_pool1d_backward(np.ones_like(y), x, p, 2)
            root = (3**p + 4**p) ** (1 / p)
            np.testing.assert_allclose(dx[0, 0], [(3 / root) ** (p - 1), (4 / root) ** (p - 1), 0, 0], rtol=1e-5)
    x = np.full((1, 1, 4), np.finfo(dtype).max, dtype)
    np.testing.assert_allclose(
        fc.lp_pool1d(x, 1, 4, mean=True), x[..., :1]
    )  # the sum would overflow, the mean does not
    assert fc.lp_pool1d(x, 1, 4)[0, 0, 0] == np.inf


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("p", [0.5, 1, 2, 3, 4.5])
def test_lp_gradient_where_some_planes_need_scaling(p: float, mean: bool, dtype: Any) -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(0.5, 2, (3, 2, 7, 9)) * rng.choice([-1, 1], (3, 2, 7, 9))
    x[0, 0, :4] = 0  # windows of zeros alone
    x[0, 1] *= np.finfo(dtype).max / 8
    x[1, 0, :, ::2] *= np.finfo(dtype).tiny
    g = rng.standard_normal((3, 2, 3, 4))
    g[2, 0] *= np.finfo(dtype).max / 64 if p > 1 else 1
    x, g = x.astype(dtype), g.astype(dtype)
    want = np.zeros(x.shape, np.longdouble)
    for n, c, h, w in np.ndindex(*g.shape):
        window = (n, c, slice(2 * h, 2 * h + 3), slice(2 * w, 2 * w + 3))
        v = x[window].astype(np.longdouble)
        size = np.abs(v)
        if not size.any():
            continue
        y = ((size**p).mean() if mean else (size**p).sum()) ** (1 / np.longdouble(p))
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(v == 0, 0, np.sign(v) * (size / y) ** (np.longdouble(p) - 1))
        want[window] += g[n, c, h, w] * slope / (9 if mean else 1)
    back = np.full((3, 2, 7, 18), np.nan, dtype)
    for out in (None, back[..., ::2]):
        dx = fc.lp_pool2d_backward(g, x, p, 3, 2, mean=mean, out=out)
        scale = np.abs(g).max((1, 2, 3), keepdims=True) * (np.abs(want).max((2, 3), keepdims=True) > 0)
        assert (np.abs(dx - want) <= 300 * np.finfo(dtype).eps * np.maximum(np.abs(want), scale)).all()
    np.testing.assert_array_equal(fc.lp_pool2d_backward(g[1:2], x[1:2], p, 3, 2, mean=mean), dx[1:2])
    turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(fc.lp_pool2d_backward(g, turned, p, 3, 2, mean=mean), dx)
    np.testing.assert_array_equal(fc.lp_pool2d(turned, p, 3, 2, mean=mean), fc.lp_pool2d(x, p, 3, 2, mean=mean))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("p", [1, 2, 2.5, 12])
def test_lp_pool_of_windows_far_apart(p: float, mean: bool, dtype: Any) -> None:
    """Windows of one plane whose powers no common factor brings into range, zeros, and an infinity among them."""
    finfo, rng = np.finfo(dtype), np.random.default_rng(8)
    exponents = np.linspace(finfo.minexp - finfo.nmant // 2, finfo.maxexp - 4, 64).astype(int).reshape(8, 8)
    rng.shuffle(exponents.reshape(-1))
    x = np.ldexp(rng.uniform(1, 2, (3, 16, 16)), np.repeat(np.repeat(exponents, 2, 0), 2, 1)).astype(dtype)
    x *= rng.choice([-1, 1], x.shape).astype(dtype)
    x[0, 2:4, 2:4] = 0
    x[1, 6, 7] = np.inf
    windows = np.abs(x.astype(np.longdouble)).reshape(3, 8, 2, 8, 2)
    sums = (windows**p).sum((2, 4)) / (4 if mean else 1)
    want = sums ** (1 / np.longdouble(p))
    y = fc.lp_pool2d(x[None], p, 2, mean=mean)[0]
    np.testing.assert_allclose(y.astype(np.longdouble), want, rtol=400 * finfo.eps, atol=finfo.smallest_subnormal)
    dx = fc.lp_pool2d_backward(np.ones_like(y)[None], x[None], p, 2, mean=mean)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (windows / want[:, :, None, :, None]) ** (np.longdouble(p) - 1) / (4 if mean else 1)
    slope = np.sign(x) * np.where(x == 0, 0, slope.reshape(x.shape))
    finite = np.isfinite(np.repeat(np.repeat(want, 2, 1), 2, 2))
    np.testing.assert_allclose(dx[finite].astype(np.longdouble), slope[finite], rtol=1e3 * finfo.eps, atol=finfo.tiny)
    np.testing.assert_array_equal(fc.lp_pool2d(x[None, 2:], p, 2, mean=mean)[0], y[2:])


def test_lp_pool_of_special_values() -> None:
    x = np.array([[[np.inf, 1, np.nan, 1, -np.inf, np.nan, 0, -0.0]]])
    for p in (1, 2, 3.5, np.inf):
        np.testing.assert_array_equal(fc.lp_pool1d(x, p, 2), [[[np.inf, np.nan, np.nan, 0]]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mean", [False, True])
def test_lp_gradient_beside_an_infinity(dtype: Any, mean: bool) -> None:
    """What is finite has no share of an infinite norm."""
    x = np.array([[[np.inf, 1, 3, -4, 2, -np.inf]]], dtype)
    dx = fc.lp_pool1d_backward(np.ones((1, 1, 3), dtype), x, 2, 2, mean=mean)
    share = np.array([3, -4]) / (5 * np.sqrt(2) if mean else 5)
    np.testing.assert_allclose(dx[0, 0], [np.nan, 0, *share, 0, np.nan], rtol=1e-6)
    ones = fc.lp_pool1d_backward(np.ones((1, 1, 3), dtype), x, 1, 2, mean=mean)
    np.testing.assert_allclose(ones[0, 0] * (2 if mean else 1), [1, 1, 1, -1, 1, -1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("spatial", "size"),
    [
        ((7,), 3),
        ((3,), 7),
        ((5, 9), (2, 4)),
        ((8, 12), (4, 3)),
        ((6, 5), (None, 1)),
        ((40, 41), 1),
        ((3, 5, 7), (2, None, 3)),
    ],
)
def test_adaptive_pools(spatial: tuple[int, ...], size: Any, dtype: Any) -> None:
    nd = len(spatial)
    x = integers((2, 2, *spatial), dtype)
    wanted = [size] * nd if not isinstance(size, tuple) else list(size)
    axes = [oracle.adaptive_axis(n, m or n) for n, m in zip(spatial, wanted, strict=True)]
    sums, count = oracle.sum_pool(x, axes), oracle.counts(axes).astype(dtype)
    y = pool("adaptive_avg_pool", nd)(x, size)
    np.testing.assert_array_equal(y, sums / count)
    g = integers(sums.shape, dtype, 1)
    dx = getattr(fc, f"adaptive_avg_pool{nd}d_backward")(g, x, size)
    want = oracle.sum_pool_backward(g / oracle.counts(axes), axes, x.shape)
    np.testing.assert_allclose(dx, want, rtol=0, atol=60 * np.finfo(dtype).eps)
    want, want_at = oracle.max_pool(x, axes)
    y, at = pool("adaptive_max_pool", nd)(x, size, True)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(at, want_at)
    np.testing.assert_array_equal(pool("adaptive_max_pool", nd)(x[0], size), want[0])
    dx = getattr(fc, f"adaptive_max_pool{nd}d_backward")(g, x, size)
    np.testing.assert_array_equal(dx, oracle.scatter(g, want_at, x.shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spatial", [(1,), (3000,), (5, 7), (64, 65), (3, 4, 5)])
def test_global_pools(spatial: tuple[int, ...], dtype: Any) -> None:
    x = integers((2, 3, *spatial), dtype)
    axes = tuple(range(2, x.ndim))
    total = x.astype(np.float64).sum(axes, keepdims=True)
    np.testing.assert_array_equal(fc.global_avg_pool(x), (total / math.prod(spatial)).astype(dtype))
    np.testing.assert_array_equal(fc.global_avg_pool(x[0], dims=len(spatial)), fc.global_avg_pool(x)[0])
    strided = np.asfortranarray(x)
    np.testing.assert_allclose(fc.global_avg_pool(strided), fc.global_avg_pool(x), rtol=1e-5)
    y, at = fc.global_max_pool(x, return_indices=True)
    np.testing.assert_array_equal(y, x.max(axes, keepdims=True))
    np.testing.assert_array_equal(at.ravel(), x.reshape(6, -1).argmax(1))
    y, at_strided = fc.global_max_pool(strided, return_indices=True)
    np.testing.assert_array_equal(at_strided, at)
    g = integers(y.shape, dtype, 1)
    np.testing.assert_array_equal(fc.global_max_pool_backward(g, x), oracle.scatter(g, at, x.shape))
    np.testing.assert_array_equal(fc.global_max_pool_backward(g, strided, indices=at), oracle.scatter(g, at, x.shape))
    dx = fc.global_avg_pool_backward(g, x)
    np.testing.assert_allclose(dx, np.broadcast_to(g / math.prod(spatial), x.shape), rtol=1e-6)


def test_global_average_of_a_large_plane_is_accurate() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (1, 2, 1500, 1501)).astype(np.float32)
    want = x.astype(np.float64).mean((2, 3), keepdims=True)
    np.testing.assert_allclose(fc.global_avg_pool(x), want, rtol=2e-7)
    np.testing.assert_allclose(fc.global_avg_pool(x.reshape(1, 2, -1))[..., None], want, rtol=2e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("spatial", "k", "size"), [((9, 11), (2, 3), (4, 5)), ((5, 6, 7), (2, 2, 2), (3, 2, 4))])
def test_fractional_max_pool(spatial: Any, k: Any, size: Any, dtype: Any) -> None:
    nd = len(spatial)
    x = integers((2, 2, *spatial), dtype)
    samples = np.random.default_rng(5).random((2, 2, nd)).astype(dtype)
    f, back = pool("fractional_max_pool", nd), getattr(fc, f"fractional_max_pool{nd}d_backward")
    y, at = f(x, k, size, return_indices=True, samples=samples)
    g = integers(y.shape, dtype, 1)
    dx = back(g, x, k, size, samples=samples)
    for n, c in np.ndindex(2, 2):
        order = samples[n, c][::-1] if nd == 2 else samples[n, c]
        axes = [oracle.fractional_axis(*a) for a in zip(spatial, k, size, order, strict=True)]
        plane = x[n : n + 1, c : c + 1]
        want, want_at = oracle.max_pool(plane, axes)
        np.testing.assert_array_equal(y[n, c], want[0, 0])
        np.testing.assert_array_equal(at[n, c], want_at[0, 0])
        np.testing.assert_array_equal(dx[n, c], oracle.scatter(g[n : n + 1, c : c + 1], want_at, plane.shape)[0, 0])
    np.testing.assert_array_equal(back(g, x, k, size, indices=at), dx)
    np.testing.assert_array_equal(f(x, k, size, seed=7), f(x, k, size, seed=7))
    np.testing.assert_array_equal(
        back(g, x, k, size, seed=7), back(g, x, k, size, indices=f(x, k, size, None, True, seed=7)[1])
    )
    np.testing.assert_array_equal(f(x[0], k, size, samples=samples[:1]), y[0])
    assert f(x, k, output_ratio=0.5, seed=1).shape[2:] == tuple(int(n * 0.5) for n in spatial)


@pytest.mark.parametrize("nd", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_max_unpool_puts_back_what_pooling_took(nd: int, dtype: Any) -> None:
    x = integers((2, 3, *(7, 6, 5)[:nd]), dtype)
    y, at = pool("max_pool", nd)(x, 2, return_indices=True)
    back = pool("max_unpool", nd)(y, at, 2, output_size=x.shape)
    want = np.zeros(x.shape, dtype)
    for place in np.ndindex(*y.shape):
        want[(*place[:2], *np.unravel_index(at[place], x.shape[2:]))] = y[place]
    np.testing.assert_array_equal(back, want)
    assert pool("max_unpool", nd)(y, np.zeros_like(at), 2).shape[2:] == tuple(2 * n for n in y.shape[2:])
    g = integers(x.shape, dtype, 1)
    dx = getattr(fc, f"max_unpool{nd}d_backward")(g, y, at, 2, output_size=x.shape[2:])
    np.testing.assert_array_equal(dx, np.take_along_axis(g.reshape(2, 3, -1), at.reshape(2, 3, -1), 2).reshape(y.shape))


def test_max_unpool_of_repeated_indices_keeps_the_last() -> None:
    x = np.arange(1.0, 5.0).reshape(1, 1, 4)
    at = np.array([[[2, 2, 5, 2]]])
    np.testing.assert_array_equal(fc.max_unpool1d(x, at, 2), [[[0, 0, 4, 0, 0, 3, 0, 0]]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spatial", [(), (5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("pieces", [1, 2, 6])
def test_channel_max_pool(spatial: tuple[int, ...], pieces: int, dtype: Any) -> None:
    x = integers((2, 6, *spatial), dtype)
    groups = x.reshape(2, 6 // pieces, pieces, *spatial)
    y, at = fc.channel_max_pool(x, pieces, return_indices=True)
    np.testing.assert_array_equal(y, groups.max(2))
    first = np.arange(6 // pieces).reshape(1, -1, *[1] * len(spatial)) * pieces
    np.testing.assert_array_equal(at, groups.argmax(2) + first)
    g = integers(y.shape, dtype, 1)
    want = np.zeros_like(groups)
    np.put_along_axis(want, groups.argmax(2)[:, :, None], g[:, :, None], 2)
    want = want.reshape(x.shape)
    np.testing.assert_array_equal(fc.channel_max_pool_backward(g, x, pieces), want)
    np.testing.assert_array_equal(fc.channel_max_pool_backward(g, x, pieces, indices=at), want)
    np.testing.assert_array_equal(fc.channel_max_pool(x[0], pieces, dims=len(spatial)), y[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_wins_and_the_first_one(dtype: Any) -> None:
    x = np.zeros((1, 1, 6, 37), dtype)
    x[0, 0, 1, 3] = x[0, 0, 2, 2] = x[0, 0, 5, 36] = np.nan
    x[0, 0, 4] = np.inf
    for k, s, p in [(3, 1, 1), (2, 2, 0), (3, 2, 1), (3, 3, 0), (6, 6, 0)]:
        axes = [oracle.regular_axis(n, k, s, p, p) for n in x.shape[2:]]
        want, want_at = oracle.max_pool(x, axes)
        y, at = fc.max_pool2d(x, k, s, p, return_indices=True)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(at, want_at)
        np.testing.assert_array_equal(fc.max_pool2d(x, k, s, p), want)
    y, at = fc.global_max_pool(x, return_indices=True)
    assert np.isnan(y).all() and at[0, 0, 0, 0] == 37 + 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_windows_of_minus_infinity_have_valid_indices(dtype: Any, stride: int) -> None:
    x = np.full((1, 1, 5, 21), -np.inf, dtype)
    y, at = fc.max_pool2d(x, 3, stride, 1, return_indices=True)
    want, want_at = oracle.max_pool(x, [oracle.regular_axis(n, 3, stride, 1, 1) for n in (5, 21)])
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(at, want_at)


def test_lectures_pools_of_the_five_by_five_image() -> None:
    x = np.array(
        [
            [105, 102, 100, 97, 96],
            [103, 99, 103, 101, 102],
            [101, 98, 104, 102, 100],
            [99, 101, 106, 104, 99],
            [104, 104, 104, 100, 98],
        ]
    )
    for dtype in DTYPES:
        image = x[None, None].astype(dtype)
        np.testing.assert_array_equal(fc.max_pool2d(image, 2)[0, 0], [[105, 103], [101, 106]])
        np.testing.assert_array_equal(fc.avg_pool2d(image, 2)[0, 0], [[102.25, 100.25], [99.75, 104.0]])
        assert fc.global_avg_pool(image)[0, 0, 0, 0] == dtype(101.28)


def test_lectures_power_average_and_invariance() -> None:
    x = np.array([[[1.0, 2, 3, 4]]])
    for p, norm, mean in [(1, 10, 2.5), (2, 5.477, 2.739), (10, 4.022, 3.502), (200, 4.0, 3.972)]:
        assert fc.lp_pool1d(x, p, 4)[0, 0, 0] == pytest.approx(norm, abs=5e-4)
        assert fc.lp_pool1d(x, p, 4, mean=True)[0, 0, 0] == pytest.approx(mean, abs=5e-4)
    assert fc.lp_pool1d(-x[..., :3], 1, 3)[0, 0, 0] == 6  # magnitudes: no NaN for negative input
    row = np.array([[[0.0, 5, 1, 7, 2, 8, 3, 9]]])
    assert not np.array_equal(fc.max_pool1d(np.roll(row, 1), 2), fc.max_pool1d(row, 2))
    np.testing.assert_array_equal(fc.max_pool1d(np.roll(row, 2), 2), np.roll(fc.max_pool1d(row, 2), 1))


def test_ceil_mode_and_divisors() -> None:
    """Cases on which engines disagree: here the padding behind counts as far as it goes, and no window is empty."""
    x = np.arange(1.0, 5.0).reshape(1, 1, 4)
    np.testing.assert_array_equal(fc.avg_pool1d(x, 3, 2, ceil_mode=True), [[[2, 3.5]]])
    np.testing.assert_array_equal(fc.avg_pool1d(x, 3, 2, 1, ceil_mode=True), [[[1, 3, 2]]])
    np.testing.assert_array_equal(fc.avg_pool1d(x, 3, 2, 1, True, False), [[[1.5, 3, 4]]])
    np.testing.assert_array_equal(fc.avg_pool1d(x, 2, 3, ((1, 1),), True), [[[0.5, 3.5]]])
    assert fc.max_pool1d(x, 1, 3, ceil_mode=True).shape == (1, 1, 2)
    assert fc.max_pool1d(x[..., :2], 3, 2, ceil_mode=True).shape == (1, 1, 1)
    square = np.arange(1.0, 17.0).reshape(1, 1, 4, 4)  # ONNX: AveragePool ceil, kernel 3, stride 2
    np.testing.assert_array_equal(fc.avg_pool2d(square, 3, 2, ceil_mode=True)[0, 0], [[6, 7.5], [12, 13.5]])


@pytest.mark.parametrize("padding", ["same", "same_lower", "valid", "full", "causal", 1, (1,), ((2, 0),)])
def test_padding_forms(padding: Any) -> None:
    x = integers((1, 2, 11), np.float64)
    before, after = {"same": (1, 1), "same_lower": (1, 1), "valid": (0, 0), "full": (2, 2), "causal": (2, 0)}.get(
        padding if isinstance(padding, str) else "", (1, 1)
    )
    if padding == ((2, 0),):
        before, after = 2, 0
    want, _ = oracle.max_pool(x, [oracle.regular_axis(11, 3, 2, before, after)])
    np.testing.assert_array_equal(fc.max_pool1d(x, 3, 2, padding), want)
    same = fc.max_pool2d(integers((1, 1, 7, 9), np.float32), 4, 3, "same")
    assert same.shape == (1, 1, 3, 3)


def test_any_strides_read_only_and_out() -> None:
    base = integers((4, 6, 14, 30), np.float32)
    views = {
        "reversed": base[::-1, ::-1, ::-1, ::-1],
        "stepped": base[::2, 1::2, ::3, ::2],
        "transposed": base.transpose(1, 0, 3, 2),
        "fortran": np.asfortranarray(base),
        "repeated": np.broadcast_to(base[:, :, :, :1], base.shape),
        "repeated rows": np.broadcast_to(base[:, :, :1], base.shape),
    }
    calls: list[tuple[Any, Any, tuple[Any, ...]]] = [
        (fc.max_pool2d, fc.max_pool2d_backward, (3, 1, 1)),
        (fc.max_pool2d, fc.max_pool2d_backward, (2, 2)),
        (fc.max_pool2d, fc.max_pool2d_backward, (3, 4)),
        (fc.avg_pool2d, fc.avg_pool2d_backward, (3, 1, 1)),
        (fc.avg_pool2d, fc.avg_pool2d_backward, (3, 2, 1)),
        (fc.avg_pool2d, fc.avg_pool2d_backward, (2, 3)),
        (fc.lp_pool2d, fc.lp_pool2d_backward, (2, 2)),
        (fc.lp_pool2d, fc.lp_pool2d_backward, (3, 2)),
        (fc.adaptive_avg_pool2d, fc.adaptive_avg_pool2d_backward, (3,)),
        (fc.adaptive_max_pool2d, fc.adaptive_max_pool2d_backward, (1,)),
        (fc.channel_max_pool, fc.channel_max_pool_backward, (1,)),
    ]
    for name, view in views.items():
        view.flags.writeable = False
        plain = np.ascontiguousarray(view)
        for f, back, options in calls:
            y, want = f(view, *options), f(plain, *options)
            np.testing.assert_array_equal(y, want, err_msg=f"{name} {f.__name__}{options}")
            out = np.full((*want.shape[:3], 3 * want.shape[3]), np.nan, np.float32)[..., ::-3]
            assert f(view, *options, out=out) is out
            np.testing.assert_array_equal(out, want)
            g = np.broadcast_to(np.float32(2), want.shape)
            dx = back(np.ascontiguousarray(g), plain, *options)
            into = np.asfortranarray(np.full(plain.shape, np.nan, np.float32))
            assert back(g, view, *options, out=into) is into
            np.testing.assert_array_equal(into, dx, err_msg=f"{name} {back.__name__}{options}")


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (0, 0)])
def test_no_outputs_give_no_gradient(sizes: tuple[int, int], dtype: Any) -> None:
    x = np.ones((2, 3, 5, 40), dtype)
    around = np.full((2, 3, 2 * sizes[0] + 1, 2 * sizes[1] + 1), np.nan, dtype)
    dy = around[:, :, 1 : 2 * sizes[0] + 1 : 2, 1 : 2 * sizes[1] + 1 : 2]
    for backward in (fc.adaptive_avg_pool2d_backward, fc.adaptive_max_pool2d_backward):
        assert (backward(dy, x, sizes, out=np.full_like(x, np.nan)) == 0).all()


def test_empty_batches_and_channels() -> None:
    for shape in [(0, 3, 8, 8), (2, 0, 8, 8), (0, 8, 8)]:
        x = np.empty(shape, np.float32)
        y, at = fc.max_pool2d(x, 2, return_indices=True)
        assert y.shape == at.shape == (*shape[:-2], 4, 4)
        assert fc.max_pool2d_backward(y, x, 2, indices=at).shape == shape
        assert fc.avg_pool2d_backward(fc.avg_pool2d(x, 2), x, 2).shape == shape
        assert fc.adaptive_avg_pool2d(x, (3, 0)).shape == (*shape[:-2], 3, 0)
    x = np.ones((1, 2, 4, 4))
    dx = fc.adaptive_avg_pool2d_backward(np.empty((1, 2, 3, 0)), x, (3, 0))
    np.testing.assert_array_equal(dx, np.zeros_like(x))
    np.testing.assert_array_equal(fc.adaptive_max_pool2d_backward(np.empty((1, 2, 3, 0)), x, (3, 0)), np.zeros_like(x))


def test_wide_rows_are_cut_into_segments() -> None:
    x = integers((1, 1, 10007), np.float32)
    for k, s, p in [(3, 1, 1), (5, 2, 2), (7, 3, 0), (3, 40, 1), (3000, 1, 1500), (2047, 2, 3)]:
        axis = [oracle.regular_axis(10007, k, s, p, p)]
        # the oracle would need minutes for the long windows: a strided view does the same
        padded = np.pad(x[0, 0], p, constant_values=-np.inf)
        want = np.lib.stride_tricks.sliding_window_view(padded, k)[::s].max(1)
        y, at = fc.max_pool1d(x, k, s, p, return_indices=True)
        assert len(axis[0]) == y.shape[-1]
        np.testing.assert_array_equal(y[0, 0], want)
        np.testing.assert_array_equal(x[0, 0, at[0, 0]], want)
        sums = np.lib.stride_tricks.sliding_window_view(np.pad(x[0, 0], p), k)[::s].sum(1, dtype=np.float64)
        np.testing.assert_array_equal(fc.avg_pool1d(x, k, s, p, divisor_override=1)[0, 0], sums)
        g = integers(y.shape, np.float32, 2)
        dx = fc.avg_pool1d_backward(g, x, k, s, p, divisor_override=1)
        assert (dx * x).sum(dtype=np.float64) == (g[0, 0] * sums).sum(dtype=np.float64)
        np.testing.assert_array_equal(fc.max_pool1d_backward(g, x, k, s, p), oracle.scatter(g, at, x.shape))


@pytest.mark.parametrize("shape", [(1, 1, 200, 300), (8, 16, 40, 50), (1, 1, 400000), (2, 1, 30, 40, 50)])
def test_threads_do_not_change_bits(shape: tuple[int, ...]) -> None:
    nd = len(shape) - 2
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    runs = []
    for n in (1, 2):
        with fc.threads(n):
            y, at = pool("max_pool", nd)(x, 3, 2, 1, return_indices=True)
            g = np.ascontiguousarray(y[::-1])
            runs.append(
                [
                    y,
                    at,
                    getattr(fc, f"max_pool{nd}d_backward")(g, x, 3, 2, 1),
                    getattr(fc, f"max_pool{nd}d_backward")(g, x, 3, 2, 1, indices=at),
                    pool("avg_pool", nd)(x, 3, 2, 1),
                    getattr(fc, f"avg_pool{nd}d_backward")(g, x, 3, 2, 1),
                    pool("lp_pool", nd)(x, 3, 3, 2, padding=1),
                    getattr(fc, f"lp_pool{nd}d_backward")(g, x, 3, 3, 2, padding=1),
                    fc.global_avg_pool(x),
                    pool("adaptive_avg_pool", nd)(x, 7),
                ]
            )
    for one, two in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["max_pool", "avg_pool", "lp_pool", "adaptive_avg_pool"])
def test_a_sample_alone_is_the_sample_in_a_batch(name: str) -> None:
    x = np.random.default_rng(1).standard_normal((3, 4, 13, 21)).astype(np.float32)
    options: tuple[Any, ...] = {"lp_pool": (2.5, 3, 2), "adaptive_avg_pool": (5,)}.get(name, (3, 2, 1))
    f, back = getattr(fc, f"{name}2d"), getattr(fc, f"{name}2d_backward")
    y = f(x, *options)
    g = np.random.default_rng(2).standard_normal(y.shape).astype(np.float32)
    np.testing.assert_array_equal(f(x[1:2], *options), y[1:2])
    np.testing.assert_array_equal(back(g[1:2], x[1:2], *options), back(g, x, *options)[1:2])


@st.composite
def problems(draw: Any) -> Any:
    nd = draw(st.integers(1, 3))
    axis = []
    for _ in range(nd):
        n = draw(st.integers(1, 20 if nd < 3 else 8))
        k, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 3))
        extent = dilation * (k - 1) + 1
        axis.append(
            (
                n,
                k,
                draw(st.integers(1, 5)),
                (draw(st.integers(0, extent - 1)), draw(st.integers(0, extent - 1))),
                dilation,
            )
        )
    return axis, draw(st.booleans()), draw(st.sampled_from(DTYPES)), draw(st.integers(0, 99))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(problems())
def test_any_options_agree_with_the_formula_or_are_refused(problem: Any) -> None:
    axis, ceil, dtype, seed = problem
    spatial, k, s, pads, d = (tuple(part) for part in zip(*axis, strict=True))
    nd = len(spatial)
    sizes = [oracle.output_size(n, k[i], s[i], *pads[i], d[i], ceil) for i, n in enumerate(spatial)]
    x = integers((1, 2, *spatial), dtype, seed)
    axes = [oracle.regular_axis(n, k[i], s[i], *pads[i], d[i], ceil) for i, n in enumerate(spatial)]
    options = {"padding": pads, "dilation": d, "ceil_mode": ceil}
    if min(sizes) < 1 or any(not window for a in axes for window in a):
        with pytest.raises(ValueError, match=r"kernel_size|dilation|padding"):
            pool("max_pool", nd)(x, k, s, **options)
        return
    want, want_at = oracle.max_pool(x, axes)
    y, at = pool("max_pool", nd)(x, k, s, return_indices=True, **options)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(at, want_at)
    g = integers(y.shape, dtype, seed + 1)
    np.testing.assert_array_equal(
        getattr(fc, f"max_pool{nd}d_backward")(g, x, k, s, **options), oracle.scatter(g, at, x.shape)
    )
    if max(d) == 1:
        del options["dilation"]
        sums = oracle.sum_pool(x, axes)
        np.testing.assert_array_equal(pool("avg_pool", nd)(x, k, s, divisor_override=1, **options), sums)
        dx = getattr(fc, f"avg_pool{nd}d_backward")(g, x, k, s, divisor_override=1, **options)
        np.testing.assert_array_equal(dx, oracle.sum_pool_backward(g, axes, x.shape))


def test_gradients_of_planes_without_rows() -> None:
    """Found by fuzzing: a division by the number of rows."""
    for shape in ((1, 4, 0, 3), (2, 4, 3, 0), (0, 4, 3, 3)):
        x, grad = np.zeros(shape, np.float32), np.zeros((shape[0], 2, *shape[2:]), np.float32)
        assert fc.channel_max_pool_backward(grad, x, 2).shape == shape
