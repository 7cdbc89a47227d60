"""Pooling against PyTorch, where it is installed: the names are its names, so the numbers must be its numbers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fastconv as fc

torch = pytest.importorskip("torch")
F = torch.nn.functional

SHAPES = [(2, 3, 17), (2, 2, 9, 35), (1, 2, 5, 6, 19)]
OPTIONS = list(itertools.product([2, 3], [1, 2, 3], [0, 1], [False, True]))  # kernel, stride, padding, ceil_mode


def compare(name: str, shape: tuple[int, ...], *options: Any) -> None:
    """Values and the gradient of one function, in both precisions."""
    ours, back, theirs = getattr(fc, name), getattr(fc, f"{name}_backward"), getattr(F, name)
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        x = rng.standard_normal(shape).astype(dtype)
        t = torch.tensor(x, requires_grad=True)
        want = theirs(t, *options)
        tolerance = 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(ours(x, *options), want.detach().numpy(), rtol=tolerance, atol=tolerance)
        g = rng.standard_normal(tuple(want.shape)).astype(dtype)
        want.backward(torch.tensor(g))
        np.testing.assert_allclose(back(g, x, *options), t.grad.numpy(), rtol=8 * tolerance, atol=8 * tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_max(shape: tuple[int, ...]) -> None:
    name = f"max_pool{len(shape) - 2}d"
    for k, s, p, ceil in OPTIONS:
        for d in (1, 2):
            compare(name, shape, k, s, p, d, ceil)
        x = np.random.default_rng(0).integers(-3, 4, shape).astype(np.float32)  # with ties
        at = getattr(fc, name)(x, k, s, p, 2, ceil, return_indices=True)[1]
        want = getattr(F, name)(torch.tensor(x), k, s, p, 2, ceil, return_indices=True)[1]
        np.testing.assert_array_equal(at, want.numpy())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("include", [False, True])
def test_average(shape: tuple[int, ...], include: bool) -> None:
    nd = len(shape) - 2
    for k, s, p, ceil in OPTIONS:
        override = () if nd == 1 else (5 if k == 2 else None,)
        compare(f"avg_pool{nd}d", shape, k, s, p, ceil, include, *override)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_adaptive(shape: tuple[int, ...], size: int, kind: str) -> None:
    compare(f"adaptive_{kind}_pool{len(shape) - 2}d", shape, size)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 2.5])
def test_lp(shape: tuple[int, ...], p: float) -> None:
    """PyTorch takes no magnitudes, so it is given them; its gradient is then that of |x|."""
    nd = len(shape) - 2
    ours, back = getattr(fc, f"lp_pool{nd}d"), getattr(fc, f"lp_pool{nd}d_backward")
    theirs = getattr(F, f"lp_pool{nd}d")
    for k, s in [(2, 2), (3, 2), (3, 1)]:
        x = np.random.default_rng(0).standard_normal(shape)
        t = torch.tensor(x, requires_grad=True)
        want = theirs(t.abs(), p, k, s)
        np.testing.assert_allclose(ours(x, p, k, s), want.detach().numpy(), rtol=1e-12)
        g = np.random.default_rng(1).standard_normal(want.shape)
        want.backward(torch.tensor(g))
        np.testing.assert_allclose(back(g, x, p, k, s), t.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("nd", "sizes"), [(2, (5, 9)), (3, (3, 2, 8))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fractional_max_with_the_same_samples(nd: int, sizes: tuple[int, ...], dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, *(9, 8, 21)[3 - nd :])).astype(dtype)
    if nd == 2:
        x = np.random.default_rng(0).standard_normal((3, 4, 11, 30)).astype(dtype)
    theirs = getattr(F, f"fractional_max_pool{nd}d")
    for seed in range(20):
        samples = np.random.default_rng(seed).random((3, 4, nd)).astype(dtype)
        want, want_at = theirs(torch.tensor(x), 2, sizes, return_indices=True, _random_samples=torch.tensor(samples))
        y, at = getattr(fc, f"fractional_max_pool{nd}d")(x, 2, sizes, return_indices=True, samples=samples)
        np.testing.assert_array_equal(y, want.numpy())
        np.testing.assert_array_equal(at, want_at.numpy())


@pytest.mark.parametrize("shape", SHAPES)
def test_unpool(shape: tuple[int, ...]) -> None:
    nd = len(shape) - 2
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    y, at = getattr(fc, f"max_pool{nd}d")(x, 2, return_indices=True)
    t, theirs = torch.tensor(y, requires_grad=True), getattr(F, f"max_unpool{nd}d")
    want = theirs(t, torch.tensor(at), 2, output_size=shape)
    np.testing.assert_array_equal(getattr(fc, f"max_unpool{nd}d")(y, at, 2, output_size=shape), want.detach().numpy())
    g = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    want.backward(torch.tensor(g))
    dx = getattr(fc, f"max_unpool{nd}d_backward")(g, y, at, 2, output_size=shape)
    np.testing.assert_array_equal(dx, t.grad.numpy())
    for size in [None, [2 * n + 1 for n in y.shape[2:]]]:
        ours = getattr(fc, f"max_unpool{nd}d")(y, np.zeros_like(at), 2, output_size=size)
        assert ours.shape == theirs(torch.tensor(y), torch.zeros(y.shape, dtype=torch.int64), 2, output_size=size).shape


def test_nan_and_infinity() -> None:
    x = np.random.default_rng(0).choice(
        [1.0, 2.0, np.nan, np.inf, -np.inf], (2, 3, 12, 40), p=[0.4, 0.3, 0.1, 0.1, 0.1]
    )
    t = torch.tensor(x)
    for k, s, p in [(2, 2, 0), (3, 1, 1), (3, 2, 1), (4, 3, 2)]:
        np.testing.assert_array_equal(fc.max_pool2d(x, k, s, p), F.max_pool2d(t, k, s, p).numpy())
        np.testing.assert_array_equal(fc.avg_pool2d(x, k, s, p), F.avg_pool2d(t, k, s, p).numpy())
    np.testing.assert_array_equal(fc.adaptive_max_pool2d(x, 5), F.adaptive_max_pool2d(t, 5).numpy())
