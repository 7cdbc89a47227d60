"""2x2 max pooling at stride 2 has kernels of its own: widths about a vector, ties, NaN, views of larger arrays."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc

WIDTHS = [*range(2, 20), 30, 31, 32, 33, 34, 62, 63, 64, 65, 66, 67]


def quarters(x: np.ndarray) -> np.ndarray:
    """``(N, C, h, w, 4)``: the windows' elements in the order of memory."""
    n, c, height, width = x.shape
    x = x[:, :, : height // 2 * 2, : width // 2 * 2].reshape(n, c, height // 2, 2, width // 2, 2)
    return x.transpose(0, 1, 2, 4, 3, 5).reshape(n, c, height // 2, width // 2, 4)


def expected_gradient(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    windows = quarters(x)
    winner = np.where(np.isnan(windows).any(-1), np.isnan(windows).argmax(-1), np.nan_to_num(windows, nan=0).argmax(-1))
    dx = np.zeros_like(x)
    for n, c, h, w in np.ndindex(winner.shape):
        k = winner[n, c, h, w]
        dx[n, c, 2 * h + k // 2, 2 * w + k % 2] = dy[n, c, h, w]
    return dx


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["ties", "nan", "view"])
def test_every_width(dtype: type, kind: str) -> None:
    rng = np.random.default_rng(0)
    for width in WIDTHS:
        for height in (2, 3, 6):
            x = rng.integers(-2, 3, (2, 3, height, width)).astype(dtype)
            if kind == "nan":
                x[rng.random(x.shape) < 0.2] = np.nan
            if kind == "view":
                whole = np.full((2, 4, height + 3, width + 5), 99, dtype)
                whole[:, 1:, 2 : 2 + height, 1 : 1 + width] = x
                x = whole[:, 1:, 2 : 2 + height, 1 : 1 + width]
            windows = quarters(x)
            guarded = np.full((2, 3, height // 2, width // 2, 1), 7, dtype)
            y = fc.max_pool2d(x, 2)
            fc.max_pool2d(x, 2, out=guarded[..., 0])
            with_indices, indices = fc.max_pool2d(x, 2, return_indices=True)
            np.testing.assert_array_equal(y, windows.max(-1))
            np.testing.assert_array_equal(y, with_indices)
            np.testing.assert_array_equal(y, guarded[..., 0])
            dy = rng.integers(1, 9, y.shape).astype(dtype)
            dx = fc.max_pool2d_backward(dy, x, 2)
            np.testing.assert_array_equal(dx, fc.max_pool2d_backward(dy, x, 2, indices=indices))
            np.testing.assert_array_equal(dx, expected_gradient(x, dy))


def test_nothing_is_written_beyond_the_result() -> None:
    for width in (2, 6, 14, 18, 34):
        count = 3 * (width // 2) * 2
        buffer = np.full(count + 64, -5, np.float32)
        out = buffer[:count].reshape(1, 3, 2, width // 2)
        x = np.arange(3 * 4 * width, dtype=np.float32).reshape(1, 3, 4, width)
        fc.max_pool2d(x, 2, out=out)
        assert (buffer[count:] == -5).all()
        grad = np.full(x.size + 64, -5, np.float32)
        fc.max_pool2d_backward(out, x, 2, out=grad[: x.size].reshape(x.shape))
        assert (grad[x.size :] == -5).all() and grad[: x.size].sum() == out.sum()


def test_threads_do_not_matter() -> None:
    x = np.random.default_rng(0).standard_normal((8, 16, 24, 26)).astype(np.float32)
    dy = x[:, :, :12, :13].copy()
    results = []
    for threads in (1, 2, 3):
        with fc.threads(threads):
            results.append((fc.max_pool2d(x, 2).tobytes(), fc.max_pool2d_backward(dy, x, 2).tobytes()))
    assert results[0] == results[1] == results[2]
