"""Layouts: whatever the strides of inputs, gradients, positions and outputs, the same bits as of dense arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as fc

DTYPES = [np.float32, np.float64]


def channels_last(a: Any) -> Any:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def some_channels(a: Any) -> Any:
    """Channels last, of an image that has more of them."""
    wide = np.full((*a.shape[:1], *a.shape[2:], a.shape[1] + 3), -1, a.dtype)
    wide[..., 1:-2] = np.moveaxis(a, 1, -1)
    return np.moveaxis(wide[..., 1:-2], -1, 1)


def rows_apart(a: Any) -> Any:
    """Channels last, pixels side by side, rows not."""
    wide = np.full((*a.shape[:1], *a.shape[2:-1], a.shape[-1] + 2, a.shape[1]), -1, a.dtype)
    wide[..., 1:-1, :] = np.moveaxis(a, 1, -1)
    return np.moveaxis(wide[..., 1:-1, :], -1, 1)


def every_second(a: Any) -> Any:
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), -1, a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def cropped(a: Any) -> Any:
    wide = np.full((*a.shape[:-1], a.shape[-1] + 5), -1, a.dtype)
    wide[..., 2:-3] = a
    return wide[..., 2:-3]


def backwards(a: Any) -> Any:
    return np.ascontiguousarray(a[..., ::-1])[..., ::-1]


def upside_down(a: Any) -> Any:
    return np.ascontiguousarray(a[..., ::-1, :])[..., ::-1, :]


LAYOUTS = [upside_down, channels_last, some_channels, rows_apart, every_second, cropped, backwards]
SHAPES = [
    (2, 3, 7, 43),
    (2, 37, 5, 9),
    (1, 3, 13, 20),
    (3, 18, 1, 7),
    (2, 1, 6, 6),
    (2, 5, 11),
    (1, 16, 64),
    (2, 20, 4, 5, 3),
    (2, 70, 4, 4),
    (3, 20, 6, 7),
    (5, 37, 3, 3),
]


def pools(nd: int) -> list[tuple[Any, Any, dict[str, Any]]]:
    def pair(name: str) -> tuple[Any, Any]:
        return getattr(fc, f"{name}_pool{nd}d"), getattr(fc, f"{name}_pool{nd}d_backward")

    window = {"kernel_size": 3, "stride": 2, "padding": 1}
    return [
        (*pair("max"), window),
        (*pair("max"), {**window, "stride": 1}),
        (*pair("avg"), window),
        (*pair("avg"), {**window, "stride": 3, "count_include_pad": False}),
        (*pair("lp"), {**window, "norm_type": 2}),
        (*pair("lp"), {**window, "norm_type": 2.5, "mean": True}),
        (*pair("adaptive_avg"), {"output_size": (1,) * (nd - 1) + (3,)}),
        (*pair("adaptive_max"), {"output_size": (1,) * (nd - 1) + (4,)}),
        (*pair("adaptive_avg"), {"output_size": 1}),
        (*pair("adaptive_max"), {"output_size": 1}),
        (*pair("avg"), {**window, "divisor_override": 5}),
        (*pair("avg"), {"kernel_size": 2, "ceil_mode": True, "count_include_pad": False}),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_pools(shape: tuple[int, ...], layout: Any, dtype: Any) -> None:
    random = np.random.default_rng(len(shape))
    x = random.standard_normal(shape).astype(dtype)
    for forward, backward, options in pools(len(shape) - 2):
        y = forward(x, **options)
        g = random.standard_normal(y.shape).astype(dtype)
        dx = backward(g, x, **options)
        np.testing.assert_array_equal(forward(layout(x), **options), y)
        out = layout(np.zeros_like(y))
        np.testing.assert_array_equal(forward(x, **options, out=out), y)
        np.testing.assert_array_equal(out, y)
        np.testing.assert_array_equal(backward(layout(g), layout(x), **options), dx)
        out = layout(np.zeros_like(x))
        np.testing.assert_array_equal(backward(g, layout(x), **options, out=out), dx)
        np.testing.assert_array_equal(out, dx)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_positions(shape: tuple[int, ...], layout: Any, dtype: Any) -> None:
    random = np.random.default_rng(len(shape))
    nd = len(shape) - 2
    x = random.integers(-5, 6, shape).astype(dtype)
    pool, back, unpool, unpool_back = (
        getattr(fc, f"max_{name}{nd}d{way}")
        for name, way in (("pool", ""), ("pool", "_backward"), ("unpool", ""), ("unpool", "_backward"))
    )
    size = {"kernel_size": (1,) * (nd - 1) + (2,), "stride": (1,) * (nd - 1) + (2,)}
    y, at = pool(x, **size, return_indices=True)
    other_y, other_at = pool(layout(x), **size, return_indices=True, out=layout(np.zeros_like(y)))
    np.testing.assert_array_equal(other_y, y)
    np.testing.assert_array_equal(other_at, at)
    dx = back(y, x, **size, indices=at)
    np.testing.assert_array_equal(back(layout(y), x, **size, indices=layout(at), out=layout(np.zeros_like(x))), dx)
    full = unpool(y, at, **size, output_size=shape)
    np.testing.assert_array_equal(
        unpool(layout(y), layout(at), **size, output_size=shape, out=layout(np.ones_like(x))), full
    )
    g = random.standard_normal(shape).astype(dtype)
    want = unpool_back(g, y, at, **size, output_size=shape)
    given = unpool_back(layout(g), y, layout(at), **size, output_size=shape, out=layout(np.ones_like(y)))
    np.testing.assert_array_equal(given, want)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_listed_windows_keep_to_their_planes(layout: Any) -> None:
    x = np.random.default_rng(3).standard_normal((2, 40, 9, 11), np.float32)
    samples = np.random.default_rng(4).random((2, 40, 2), np.float32)
    want, at = fc.fractional_max_pool2d(x, 2, output_size=(4, 5), samples=samples, return_indices=True)
    y, found = fc.fractional_max_pool2d(layout(x), 2, output_size=(4, 5), samples=samples, return_indices=True)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(found, at)


def test_bad_positions_among_channels_last() -> None:
    y = channels_last(np.ones((1, 17, 2, 2), np.float32))
    at = np.zeros((1, 17, 2, 2), np.int64)
    at[0, 16, 1, 1] = 99
    with pytest.raises(ValueError, match="99"):
        fc.max_pool2d_backward(y, np.ones((1, 17, 4, 4), np.float32), 2, indices=channels_last(at))


def test_columns_behind_the_last_window() -> None:
    """Where a row is long enough for segments of its own that no window reaches."""
    x = np.ones((1, 2, 9000), np.float32)
    for step in (3, 4500, 8000):
        y = fc.avg_pool1d(x, 2, step)
        dx = fc.avg_pool1d_backward(np.ones_like(y), x, 2, step)
        want = np.zeros_like(x)
        for o in range(y.shape[-1]):
            want[..., o * step : o * step + 2] = 0.5
        np.testing.assert_array_equal(dx, want)


def test_a_padded_depth_of_one_counts_its_one_element() -> None:
    x = np.ones((1, 1, 1, 4, 6))
    y = fc.avg_pool3d(x, (5, 1, 2), (7, 1, 2), (3, 0, 0), count_include_pad=False)
    np.testing.assert_array_equal(y, np.ones((1, 1, 1, 4, 3)))


@pytest.mark.parametrize("axis", range(5))
@pytest.mark.parametrize("width", [1, 2, 7, 20])
def test_gradients_go_to_reversed_axes(width: int, axis: int) -> None:
    """Rows before one another: what a row's last vector spills must not reach a row that is done."""
    x = np.zeros((2, 3, 4, 9, width))
    options = ((2, 3, 1), (2, 2, 2))
    dy = np.arange(np.prod(fc.avg_pool3d(x, *options).shape), dtype=np.float64).reshape(2, 3, 2, 4, -1)
    expected = fc.avg_pool3d_backward(dy, x, *options)
    out = np.flip(np.full_like(x, np.nan), axis)
    np.testing.assert_array_equal(fc.avg_pool3d_backward(dy, x, *options, out=out), expected)
