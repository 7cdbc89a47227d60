"""fc.unfold and fc.fold against their formula, PyTorch, convolution, and each other's adjoint."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import fastconv as fc

MODES = ["zeros", "reflect", "replicate", "circular", "symmetric"]
DTYPES = [np.float32, np.float64]
NAMES = {"zeros": "constant"}


def integers(shape: tuple[int, ...], dtype: type = np.float64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(dtype)


def oracle(
    x: np.ndarray,
    kernel: tuple[int, ...],
    dilation: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    stride: tuple[int, ...],
    mode: str,
) -> np.ndarray:
    """The formula over a padded copy of (N, C, spatial)."""
    flat = [amount for pair in reversed(pads) for amount in pair]
    x = fc.pad(x, flat, NAMES.get(mode, mode))
    out = [range(0, n - d * (k - 1), s) for n, k, d, s in zip(x.shape[2:], kernel, dilation, stride, strict=True)]
    columns = []
    for place in itertools.product(*out):
        window = tuple(slice(o, o + d * (k - 1) + 1, d) for o, k, d in zip(place, kernel, dilation, strict=True))
        columns.append(x[(slice(None), slice(None), *window)].reshape(x.shape[0], x.shape[1] * math.prod(kernel)))
    return np.stack(columns, -1)


CASES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...]]] = [
    ((2, 3, 7, 8), (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((2, 3, 7, 8), (3, 2), (2, 3), ((1, 2), (3, 0)), (2, 3)),
    ((1, 1, 1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    ((1, 2, 1, 2), (3, 5), (2, 1), ((5, 4), (7, 6)), (1, 3)),
    ((2, 1, 5, 5), (5, 5), (1, 1), ((0, 0), (0, 0)), (4, 4)),
    ((3, 2, 11), (4,), (2,), ((3, 9),), (5,)),
    ((1, 2, 3, 4, 5), (2, 3, 2), (1, 1, 2), ((1, 0), (2, 2), (0, 1)), (1, 2, 1)),
    ((0, 3, 7, 8), (3, 2), (1, 1), ((1, 1), (0, 0)), (1, 1)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "kernel", "dilation", "pads", "stride"), CASES)
def test_formula_and_adjoint(
    shape: tuple[int, ...], kernel: tuple[int, ...], dilation: Any, pads: Any, stride: Any, mode: str, dtype: type
) -> None:
    x = integers(shape, dtype)
    options: dict[str, Any] = dict(dilation=dilation, padding=pads, stride=stride, padding_mode=mode)
    columns = fc.unfold(x, kernel, **options)
    assert columns.dtype == dtype
    np.testing.assert_array_equal(columns, oracle(x, kernel, dilation, pads, stride, mode))
    g = integers(columns.shape, dtype, 1)
    dx = fc.fold(g, shape[2:], kernel, **options)
    assert dx.shape == x.shape and dx.dtype == dtype
    assert np.vdot(columns, g) == np.vdot(x, dx)
    index = np.arange(1, x.size + 1, dtype=np.float64).reshape(shape)
    came_from = fc.unfold(index, kernel, **options)
    expected = np.bincount(came_from.astype(int).ravel(), g.ravel(), x.size + 1)[1:].reshape(shape)
    np.testing.assert_array_equal(dx, expected)


@pytest.mark.parametrize("padding", ["valid", "same", "same_lower", "full", 2, (1, 2), ((1, 0), (2, 3))])
@pytest.mark.parametrize("stride", [1, (2, 3)])
def test_convolution_is_a_product_with_the_columns(padding: Any, stride: Any) -> None:
    x, w = integers((2, 3, 6, 7)), integers((4, 3, 3, 2), seed=1)
    columns = fc.unfold(x, (3, 2), 2, padding, stride, padding_mode="reflect")
    y = fc.conv2d(x, w, None, stride, padding, 2, padding_mode="reflect")
    np.testing.assert_array_equal((w.reshape(4, -1) @ columns).reshape(y.shape), y)
    scattered = w.reshape(4, -1).T @ y.reshape(2, 4, -1)
    back = fc.fold(scattered, (6, 7), (3, 2), 2, padding, stride, padding_mode="reflect")
    np.testing.assert_array_equal(back, fc.conv2d_grad_input(y, w, x.shape, stride, padding, 2, padding_mode="reflect"))


def test_unbatched_and_one_mode_per_axis() -> None:
    x = integers((3, 5, 4))
    options: dict[str, Any] = dict(padding=3, padding_mode=("circular", "symmetric"))
    columns = fc.unfold(x, 2, **options)
    np.testing.assert_array_equal(columns, fc.unfold(x[None], (2, 2), **options)[0])
    padded = fc.pad(fc.pad(x, (0, 0, 3, 3), "circular"), (3, 3), "symmetric")
    np.testing.assert_array_equal(columns, fc.unfold(padded, 2))
    np.testing.assert_array_equal(
        fc.fold(columns, (5, 4), 2, **options), fc.fold(columns[None], (5, 4), 2, **options)[0]
    )


def test_causal_is_for_one_axis() -> None:
    x = integers((2, 6))
    np.testing.assert_array_equal(fc.unfold(x, (3,), padding="causal"), fc.unfold(x, (3,), padding=((2, 0),)))
    with pytest.raises(ValueError, match="'causal' only in one dimension"):
        fc.unfold(x[None], (3, 3), padding="causal")


def test_any_strides_and_out() -> None:
    x = integers((8, 3, 2, 9), np.float32).transpose(2, 1, 0, 3)[:, ::-1, ::2, ::-2]
    x.flags.writeable = False
    want = fc.unfold(np.ascontiguousarray(x), 2, padding=1, padding_mode="reflect")
    room = np.full((want.shape[2], want.shape[1], 2 * want.shape[0]), np.nan, np.float32)
    out = room[..., ::-2].T
    assert fc.unfold(x, 2, padding=1, padding_mode="reflect", out=out) is out
    np.testing.assert_array_equal(out, want)
    assert np.isnan(room[..., ::2]).all()
    back = np.full(x.shape[::-1], np.nan, np.float32).T
    assert fc.fold(out, x.shape[2:], 2, padding=1, padding_mode="reflect", out=back) is back
    np.testing.assert_array_equal(back, fc.fold(want, x.shape[2:], 2, padding=1, padding_mode="reflect"))


@pytest.mark.parametrize("mode", MODES)
def test_same_bits_for_any_thread_count(mode: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 41, 43)).astype(np.float32)
    results = []
    for n in (1, 2, 5):
        with fc.threads(n):
            columns = fc.unfold(x, 5, 2, 4, 2, padding_mode=mode)
            results.append(columns.tobytes() + fc.fold(columns, (41, 43), 5, 2, 4, 2, padding_mode=mode).tobytes())
    assert results[0] == results[1] == results[2]


def test_nan_stays_where_it_is() -> None:
    x = np.zeros((1, 3, 3))
    x[0, 1, 1] = np.nan
    columns = fc.unfold(x, 2)
    assert np.isnan(columns).sum() == 4
    assert np.isnan(fc.fold(columns, (3, 3), 2)).sum() == 1


X = np.ones((2, 3, 5, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fc.unfold(X[0, 0], 2), ValueError, r"input must have 3 axes, or 4 with a batch, got shape \(5, 4\)"),
        (lambda: fc.unfold(X[0], (2, 2, 2)), ValueError, "input must have 4 axes, or 5 with a batch"),
        (lambda: fc.unfold(X, 0), ValueError, "kernel_size must be at least 1, got 0"),
        (lambda: fc.unfold(X, (2,) * 4), ValueError, r"kernel_size must be an integer or one per axis \(2\)"),
        (lambda: fc.unfold(X, 2, 0), ValueError, "dilation must be at least 1, got 0"),
        (lambda: fc.unfold(X, 2, stride=-1), ValueError, "stride must be at least 1, got -1"),
        (lambda: fc.unfold(X, 2, padding=-1), ValueError, "padding must be at least 0, got -1"),
        (lambda: fc.unfold(X, 2, padding="some"), ValueError, "padding must be .* got 'some'"),
        (lambda: fc.unfold(X, 2, padding_mode="some"), ValueError, "padding_mode must be .* got 'some'"),
        (lambda: fc.unfold(X, (2, 3), 2), ValueError, "kernel_size 3 with dilation 2 spans more than the padded"),
        (lambda: fc.unfold(X[:, :, :0], 1, padding=1, padding_mode="reflect"), ValueError, "'reflect' needs"),
        (lambda: fc.unfold(X, 2**32, 2**32), ValueError, "overflows 64 bits"),
        (lambda: fc.unfold(X.astype(np.int32), 2), TypeError, "input has dtype int32"),
        (lambda: fc.unfold(X, 2, out=X), ValueError, r"out has shape .*, but the result has shape \(2, 12, 12\)"),
        (lambda: fc.unfold(X, "same"), TypeError, "kernel_size must be .*'same'"),
        (lambda: fc.fold(X, 4, 2), ValueError, r"input must have 2 axes, or 3 with a batch, got shape \(2, 3, 5, 4\)"),
        (lambda: fc.fold(X[0], (4, 4), 2), ValueError, "5 rows, which is no multiple of the 4 taps of kernel_size=2"),
        (lambda: fc.fold(X[0, :, :4], (4, 4), 2), ValueError, r"input must have shape \(3, 4, 9\), got \(3, 4, 4\)"),
        (lambda: fc.fold(X[0, :, :4], (4, -4), 2), ValueError, "output_size must be at least 0, got -4"),
    ],
)  # fmt: skip
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_sizes_without_axes_are_numbers() -> None:
    x = integers((2, 3, 7, 6))
    np.testing.assert_array_equal(fc.unfold(x, np.array(2)), fc.unfold(x, 2))
    columns = fc.unfold(x, 2)
    np.testing.assert_array_equal(fc.fold(columns, (7, 6), np.array(2)), fc.fold(columns, (7, 6), 2))


@pytest.mark.parametrize(
    ("kernel", "dilation", "padding", "stride"), [((3, 2), 1, 0, 1), (2, (2, 1), (1, 0), (1, 2)), ((3, 1), 2, 2, 3)]
)
def test_pytorch(kernel: Any, dilation: Any, padding: Any, stride: Any) -> None:
    torch = pytest.importorskip("torch")
    x = integers((2, 3, 7, 6))
    ours = fc.unfold(x, kernel, dilation, padding, stride)
    theirs = torch.nn.functional.unfold(torch.from_numpy(x), kernel, dilation, padding, stride)
    np.testing.assert_array_equal(ours, theirs.numpy())
    back = torch.nn.functional.fold(theirs, (7, 6), kernel, dilation, padding, stride)
    np.testing.assert_array_equal(fc.fold(ours, (7, 6), kernel, dilation, padding, stride), back.numpy())
