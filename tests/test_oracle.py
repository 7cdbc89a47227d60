"""The oracle itself, against numpy's own padding and correlation: two wrongs must not make a right."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

NUMPY_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
    "symmetric": "symmetric",
}


@pytest.mark.parametrize("mode", oracle.MODES)
@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("amount", [(0, 0), (1, 2), (3, 0), (9, 16)])
def test_padding_is_that_of_numpy(mode: str, n: int, amount: tuple[int, int]) -> None:
    x = np.arange(1.0, n + 1)
    index, there = oracle.source(mode, np.arange(-amount[0], n + amount[1]), n)
    np.testing.assert_array_equal(x[index] * there, np.pad(x, amount, mode=NUMPY_MODES[mode]))  # type: ignore[call-overload]


def test_convolution_is_that_of_numpy(rng: np.random.Generator) -> None:
    x, w = rng.integers(-9, 9, 17), rng.integers(-9, 9, 4)
    for padding, expected in (("valid", np.convolve(x, w, "valid")), ("full", np.convolve(x, w, "full"))):
        axes = oracle.make_axes((17,), (4,), padding=padding)
        got = oracle.conv(x[None, None], oracle.flipped(w[None, None]), axes)[0, 0]
        np.testing.assert_array_equal(got, expected)


def test_gradients_are_adjoint(rng: np.random.Generator) -> None:
    axes = oracle.make_axes((5, 4), (3, 2), (2, 1), ((3, 1), (9, 0)), 1, ("reflect", "circular"))
    x, w = rng.integers(-3, 3, (2, 4, 5, 4)), rng.integers(-3, 3, (6, 2, 3, 2))
    y = oracle.conv(x, w, axes, groups=2)
    g = rng.integers(-3, 3, y.shape)
    assert (
        (y * g).sum() == (x * oracle.grad_input(g, w, axes, 2)).sum() == (w * oracle.grad_weight(g, x, axes, 2)).sum()
    )
