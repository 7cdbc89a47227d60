"""The passes of a training step: what they compute, at every length of a vector's rest, with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core, nn
from fastconv.nn.module import laid_as

RNG = np.random.default_rng(11)
DTYPES = [np.float32, np.float64]
LENGTHS = [0, 1, 7, 16, 61, 64, 130]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [*LENGTHS, 40000])
def test_relu_gradient(dtype: type, n: int) -> None:
    y = RNG.integers(-2, 3, n).astype(dtype)
    grad = RNG.integers(-9, 10, n).astype(dtype)
    expected = np.where(y > 0, grad, 0)
    _core.relu_grad(grad, y, None)
    np.testing.assert_array_equal(grad, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (3, 5), (2, 3, 7, 5), (40, 6, 33, 31), (1, 1, 64)])
def test_relu_gradient_and_its_sums(dtype: type, shape: tuple[int, ...]) -> None:
    y = RNG.integers(-2, 3, shape).astype(dtype)
    grad = RNG.integers(-9, 10, shape).astype(dtype)
    sums = np.full(shape[1], 7, dtype)
    expected = np.where(y > 0, grad, 0)
    _core.relu_grad(grad, y, sums)
    np.testing.assert_array_equal(grad, expected)
    np.testing.assert_array_equal(sums, expected.sum(axis=(0, *range(2, len(shape)))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [3, 61])
def test_relu_gradient_passes_through_nan(dtype: type, n: int) -> None:
    """As in PyTorch: what is not known to be below 0 keeps its gradient."""
    y = RNG.choice(np.array([-1, 0, 1, np.inf, np.nan], dtype), n)
    y[0] = np.nan
    grad, sums = np.ones((1, 1, n), dtype), np.empty(1, dtype)
    _core.relu_grad(grad, y.reshape(1, 1, n), sums)
    np.testing.assert_array_equal(grad[0, 0], ~(y <= 0))
    assert sums == np.count_nonzero(~(y <= 0))


def test_relu_gradient_refuses_sums_it_cannot_give() -> None:
    grad = np.zeros((3, 4, 5))
    with pytest.raises(ValueError, match="sums must be writeable and hold 4"):
        _core.relu_grad(grad, grad.copy(), np.zeros(3))
    with pytest.raises(ValueError, match="memory's order"):
        _core.relu_grad(np.asfortranarray(grad), np.asfortranarray(grad), np.zeros(4))
    with pytest.raises(ValueError, match="memory's order"):
        _core.relu_grad(np.zeros(4), np.zeros(4), np.zeros(4))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (7, 3), (8, 8), (17, 65), (130, 33), (64, 1024)])
def test_transpose(dtype: type, shape: tuple[int, int]) -> None:
    x = RNG.standard_normal(shape).astype(dtype)
    out = np.empty(shape[::-1], dtype)
    _core.transpose(x, out)
    np.testing.assert_array_equal(out, x.T)
    with pytest.raises(ValueError, match="transpose"):
        _core.transpose(x, np.empty((shape[1] + 1, shape[0]), dtype))


def test_a_gradient_in_another_order_of_memory() -> None:
    layer = nn.ReLU().train()
    y = layer(np.asfortranarray(RNG.standard_normal((5, 3, 4))))
    grad = RNG.standard_normal((5, 3, 4))
    np.testing.assert_array_equal(layer.backward(grad.copy()), grad * (y > 0))
    mixed = np.empty((3, 5, 4)).transpose(1, 2, 0)
    moved = laid_as(grad.transpose(0, 2, 1), mixed)
    np.testing.assert_array_equal(moved, grad.transpose(0, 2, 1))
    assert moved.strides == mixed.strides


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.9])
def test_dropout_drops_p_of_all(dtype: type, p: float) -> None:
    layer = nn.Dropout(p, np.random.default_rng(3)).train()
    x = np.ones((300, 500), dtype)
    y = layer(x).copy()
    assert abs((y == 0).mean() - p) < 4 * np.sqrt(p * (1 - p) / x.size) + 1e-12
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)
    for axis in (0, 1):  # as even along rows and columns as coins are
        spread = (y == 0).mean(axis=axis).std()
        assert spread <= 1.2 * np.sqrt(p * (1 - p) / x.shape[axis])
    np.testing.assert_array_equal(layer.backward(np.ones_like(x)), y)
    assert p == 0 or (layer(x) != y).any()


def test_dropout_masks_of_two_batches_are_independent() -> None:
    layer = nn.Dropout(0.5, np.random.default_rng(0)).train()
    x = np.ones(200_000, np.float32)
    first, second = (layer(x) == 0 for _ in range(2))
    assert abs((first & second).mean() - 0.25) < 0.005
    for shift in (1, 2, 16, 1 << 14):
        assert abs((first[shift:] & first[:-shift]).mean() - 0.25) < 0.005


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", LENGTHS[1:])
def test_batch_norm_is_the_formula(dtype: type, length: int) -> None:
    x = (RNG.standard_normal((3, 2, length)) * 2 + 50).astype(dtype)
    layer = nn.BatchNorm1d(2).to(dtype).train()
    layer.weight.data[...] = 1.5, -0.5
    layer.bias.data[...] = 0.25, -1
    mean, var = x.mean((0, 2), np.float64), x.var((0, 2), np.float64)
    shape = (1, 2, 1)
    expected = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + layer.eps)
    expected = expected * layer.weight.data.reshape(shape) + layer.bias.data.reshape(shape)
    tolerance = 2e-4 if dtype is np.float32 else 1e-11
    np.testing.assert_allclose(layer(x), expected, atol=tolerance)
    np.testing.assert_allclose(layer.forward(x, "relu"), np.maximum(expected, 0), atol=tolerance)
    layer.eval()
    layer.running_mean[...], layer.running_var[...] = mean, var
    np.testing.assert_allclose(layer(x), expected, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_with_any_number_of_threads(dtype: type) -> None:
    x = RNG.standard_normal((16, 5, 60, 61)).astype(dtype)
    grad = RNG.standard_normal(x.shape).astype(dtype)

    def everything() -> list[np.ndarray]:
        norm, relu, dropout = nn.BatchNorm2d(5).to(dtype), nn.ReLU(), nn.Dropout(0.3, np.random.default_rng(1))
        model = nn.Sequential(norm, relu, dropout).train()
        optimizer = fc.optim.Adam(model.parameters())
        y = model(x).copy()
        back = model.backward(grad.copy()).copy()
        optimizer.step()
        return [y, back, norm.weight.data, norm.bias.data, norm.running_var]

    with fc.threads(1):
        alone = everything()
    with fc.threads(2):
        together = everything()
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, two)


def test_arrays_that_would_be_misread_are_refused() -> None:
    a = np.zeros((4, 6), np.float32)
    with pytest.raises(ValueError, match="one order in memory"):
        _core.relu_grad(a, np.asfortranarray(a), None)
    with pytest.raises(ValueError, match="no gaps"):
        _core.relu_grad(a[:, ::2], a[:, ::2], None)
    with pytest.raises(ValueError, match="velocity must be writeable and hold 24 elements"):
        _core.sgd_step(a, a.copy(), np.zeros(23, np.float32), 0.1, 0.9, 0, False)
    with pytest.raises(TypeError, match="grad and output must have one dtype"):
        _core.relu_grad(a, a.astype(np.float64), None)
    with pytest.raises(TypeError, match="input is float64, the layer is float32"):
        nn.BatchNorm1d(6)(a.astype(np.float64))
