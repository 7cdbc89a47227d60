"""Windows side by side, gradients at stride 1, rows joined many at a time: widths about a vector, poison all around."""

from __future__ import annotations

from typing import Any

import numpy as np
import pool_oracle as oracle
import pytest

import fastconv as fc

DTYPES = [np.float32, np.float64]
POISON = 1e30


def values(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    return np.random.default_rng(sum(shape) + seed).integers(-9, 10, shape).astype(dtype)


def inside(shape: tuple[int, ...], dtype: Any, fill: float, margins: tuple[int, int] = (1, 3)) -> tuple[Any, Any]:
    """A view in the middle of a larger array of ``fill``, and that array."""
    whole = np.full((shape[0], shape[1] + 1, shape[2] + margins[0], shape[3] + margins[1]), fill, dtype)
    return whole[:, 1:, : shape[2], 1 : shape[3] + 1], whole


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", [(2, 2), (4, 4), (1, 2), (3, 2), (2, 4), (5, 4)])
def test_tiles_of_every_width(kernel: tuple[int, int], dtype: Any) -> None:
    kh, kw = kernel
    scale = dtype(1 / (kh * kw))
    for columns in (1, 3, 4, 7, 8, 9, 16, 17, 33):
        for spare in (0, 1):
            shape = (2, 3, 3 * kh + spare * (kh > 1), columns * kw + spare)
            x, _ = inside(shape, dtype, np.nan)
            x[...] = values(shape, dtype)
            tiles = x[:, :, : 3 * kh, : columns * kw].reshape(2, 3, 3, kh, columns, kw)
            for f, want in ((fc.max_pool2d, tiles.max((3, 5))), (fc.avg_pool2d, tiles.sum((3, 5)) / dtype(kh * kw))):
                guarded = np.full(want.size + 64, POISON, dtype)
                f(x, kernel, out=guarded[: want.size].reshape(want.shape))
                np.testing.assert_array_equal(guarded[: want.size].reshape(want.shape), want)
                assert (guarded[want.size :] == POISON).all()
                y, whole = inside(want.shape, dtype, POISON)
                f(np.ascontiguousarray(x), kernel, out=y)
                np.testing.assert_array_equal(y, want)
                assert (whole == POISON).sum() == whole.size - want.size
            dy = values((2, 3, 3, columns), dtype, 1) * dtype(kh * kw)
            want = np.zeros(shape, dtype)
            want[:, :, : 3 * kh, : columns * kw] = dy.repeat(kh, 2).repeat(kw, 3)
            guarded = np.full(want.size + 64, POISON, dtype)
            fc.avg_pool2d_backward(dy, x, kernel, out=guarded[: want.size].reshape(shape))
            np.testing.assert_allclose(guarded[: want.size].reshape(shape), want * scale, rtol=1e-6)
            assert (guarded[want.size :] == POISON).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [1, 3, 7, 8, 14, 16, 21])
def test_given_positions_of_2x2(columns: int, dtype: Any) -> None:
    """Positions in their windows are looked at in vectors; others, which no pool returned, are added up too."""
    shape = (2, 3, 6, 2 * columns)
    x, dy = values(shape, dtype), values((2, 3, 3, columns), dtype, 1)
    _, at = fc.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(fc.max_pool2d_backward(dy, x, 2, indices=at), oracle.scatter(dy, at, shape))
    for where in ((0, 0, 0, 0), (1, 2, 2, columns - 1), (1, 1, 0, columns // 2)):
        astray = at.copy()
        astray[where] = (astray[where] + 5) % (12 * columns)
        guarded = np.full(x.size + 64, POISON, dtype)
        fc.max_pool2d_backward(dy, x, 2, indices=astray, out=guarded[: x.size].reshape(shape))
        np.testing.assert_array_equal(guarded[: x.size].reshape(shape), oracle.scatter(dy, astray, shape))
        assert (guarded[x.size :] == POISON).all()
        for wrong in (-1, 12 * columns, at[where] + 2**32, at[where] - 2**40):
            astray[where] = wrong
            with pytest.raises(ValueError, match=f"indices holds {wrong},"):
                fc.max_pool2d_backward(dy, x, 2, indices=astray)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [2, 4])
def test_planes_apart(k: int, dtype: Any) -> None:
    """Planes one behind the other are joined; those of a view, or of rows beyond the last window, are not."""
    for height in (2 * k, 3 * k + 1):
        whole = values((3, 6, height, 5 * k), dtype)
        for x in (whole[:, ::2], whole[:, :5], whole[::2], whole[:, :, :, : 4 * k]):
            copy = np.ascontiguousarray(x)
            for pool in (fc.max_pool2d, fc.avg_pool2d):
                np.testing.assert_array_equal(pool(x, k), pool(copy, k))
            y, at = fc.max_pool2d(x, k, return_indices=True)
            room = np.full((*y.shape[:2], y.shape[2] + 1, y.shape[3]), POISON, dtype)
            dy = room[:, :, :-1]
            dy[...] = values(y.shape, dtype, 1)
            for dense in (dy.copy(), dy):
                dx = fc.max_pool2d_backward(dense, x, k, indices=at)
                np.testing.assert_array_equal(dx, oracle.scatter(dy, at, x.shape))
                np.testing.assert_array_equal(fc.max_pool2d_backward(dense, x, k), dx)
                np.testing.assert_array_equal(
                    fc.avg_pool2d_backward(dense, x, k), fc.avg_pool2d_backward(dy.copy(), copy, k)
                )
            assert (room[:, :, -1] == POISON).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"count_include_pad": False}, {"divisor_override": 5}])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 2), (5, 2), (2, 7)])
def test_gradients_at_stride_1(kernel: tuple[int, int], options: dict[str, Any], dtype: Any) -> None:
    for h, w in ((1, 8), (5, 7), (7, 16), (6, 37)):
        pads = [(k // 2, (k - 1) // 2) for k in kernel]
        axes = [oracle.regular_axis(n, k, 1, *p) for n, k, p in zip((h, w), kernel, pads, strict=True)]
        counted = [oracle.padded_counts(n, k, 1, *p) for n, k, p in zip((h, w), kernel, pads, strict=True)]
        if "count_include_pad" in options:
            counted = [[len(o) for o in axis] for axis in axes]
        divisors = np.multiply.outer(*map(np.array, counted)) if "divisor_override" not in options else np.array(5)
        g = values((2, 3, *map(len, axes)), dtype) * divisors.astype(dtype)
        want = oracle.sum_pool_backward(g / divisors.astype(dtype), axes, (2, 3, h, w))
        out, whole = inside(want.shape, dtype, POISON)
        fc.avg_pool2d_backward(g, want, kernel, 1, pads, **options, out=out)
        np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-4)
        assert (whole == POISON).sum() == whole.size - out.size
        np.testing.assert_array_equal(
            out[1:, 1:], fc.avg_pool2d_backward(g[1:, 1:], want[1:, 1:], kernel, 1, pads, **options)
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "case", [(3, 1, 1, 1), (3, 2, 1, 1), (8, 1, 4, 1), (2, 2, 0, 1), (5, 4, 2, 1), (3, 3, 1, 2), (3, 1, 2, 2)]
)
def test_many_rows_and_planes(case: tuple[int, int, int, int], dtype: Any) -> None:
    """More rows than lines fit scratch memory; every line begins as the first one did."""
    k, s, pad, dilation = case
    for shape in ((1, 5, 70, 20), (3, 2, 9, 400), (1, 1, 40, 41)):
        x = values(shape, dtype)
        axes = [oracle.regular_axis(n, k, s, pad, pad, dilation) for n in shape[2:]]
        rows = np.stack([x[:, :, a].max(2) for a in axes[0]], 2)
        want = np.stack([rows[..., a].max(-1) for a in axes[1]], -1)
        y, at = fc.max_pool2d(x, k, s, pad, dilation, return_indices=True)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(fc.max_pool2d(x, k, s, pad, dilation), want)
        np.testing.assert_array_equal(
            np.take_along_axis(x.reshape(*shape[:2], -1), at.reshape(*shape[:2], -1), 2), want.reshape(*shape[:2], -1)
        )
        if dilation > 1:
            continue
        sums = np.stack([x[:, :, a].sum(2) for a in axes[0]], 2)
        sums = np.stack([sums[..., a].sum(-1) for a in axes[1]], -1)
        np.testing.assert_array_equal(fc.avg_pool2d(x, k, s, pad, divisor_override=1), sums)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_matter(dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((4, 24, 28, 28)).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        with fc.threads(threads):
            y, at = fc.max_pool2d(x, 2, return_indices=True)
            found = [y, at, fc.max_pool2d_backward(y, x, 2, indices=at), fc.max_pool2d(x, 3, 1, 1)]
            for kernel, stride, padding in ((2, 2, 0), (4, 4, 0), (3, 1, 1), (3, 2, 1)):
                y = fc.avg_pool2d(x, kernel, stride, padding)
                found += [y, fc.avg_pool2d_backward(y, x, kernel, stride, padding)]
            found += [fc.global_avg_pool(x), fc.global_avg_pool_backward(x[..., :1, :1], x)]
            results.append([a.tobytes() for a in found])
    assert results[0] == results[1] == results[2]
