"""fc.pad and fc.pad_backward against the closed forms of the modes, PyTorch, and each other's adjoint."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc

MODES = ["constant", "reflect", "replicate", "circular", "symmetric"]
DTYPES = [np.float32, np.float64]


def period(mode: str, n: int) -> list[int]:
    """One period of the endless axis, starting at coordinate 0."""
    forth = list(range(n))
    if mode == "reflect":
        return forth + forth[-2:0:-1]
    return forth + forth[::-1] if mode == "symmetric" else forth


def sources(mode: str, n: int, before: int, after: int) -> list[int | None]:
    """Where each element of the padded axis comes from; None for a filled one."""
    if mode == "circular":  # wraps what cropping leaves
        left = list(range(max(-before, 0), n - max(-after, 0)))
        start = -max(before, 0)
        return [left[q % len(left)] for q in range(start, len(left) + max(after, 0))]
    found: list[int | None] = []
    for q in range(-before, n + after):
        if mode == "constant":
            found.append(q if 0 <= q < n else None)
        elif mode == "replicate":
            found.append(min(max(q, 0), n - 1))
        else:
            cycle = period(mode, n)
            found.append(cycle[q % len(cycle)])
    return found


def amounts_by_axis(rank: int, amounts: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    return {rank - 1 - i: (amounts[2 * i], amounts[2 * i + 1]) for i in range(len(amounts) // 2)}


def oracle(x: np.ndarray, amounts: tuple[int, ...], mode: str, value: float = 0.0) -> np.ndarray:
    for axis, (before, after) in amounts_by_axis(x.ndim, amounts).items():
        found = sources(mode if before or after else "constant", x.shape[axis], before, after)
        shape = list(x.shape)
        shape[axis] = len(found)
        y = np.full(shape, value, x.dtype)
        for o, q in enumerate(found):
            if q is not None:
                np.moveaxis(y, axis, 0)[o] = np.moveaxis(x, axis, 0)[q]
        x = y
    return x


def integers(shape: tuple[int, ...], dtype: type, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(dtype)


CASES = [
    ((7,), (2, 3)),
    ((1,), (4, 3)),
    ((2, 5), (9, 12)),
    ((2, 5), (-1, 2)),
    ((2, 5), (-3, 4)),
    ((2, 5), (4, -3)),
    ((2, 5), (-2, -1)),
    ((2, 5), (0, 0)),
    ((3, 1), (1, 1)),
    ((2, 3, 4, 5), (1, 2, 3, 0)),
    ((2, 3, 4, 5), (11, 7, -2, 5)),
    ((2, 3, 3, 4, 5), (2, 1, 0, 5, 7, -1)),
    ((0, 3, 4, 5), (1, 2, 3, 0)),
    ((2, 1, 2, 2, 3, 2, 3), (1, 2, 3, 4)),
    ((2, 0, 2, 2, 3, 2, 3), (1, 2)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "amounts"), CASES)
def test_closed_form(shape: tuple[int, ...], amounts: tuple[int, ...], mode: str, dtype: type) -> None:
    x = integers(shape, dtype)
    value = 7.0 if mode == "constant" else 0.0
    y = fc.pad(x, amounts, mode, value)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, oracle(x, amounts, mode, value))


@pytest.mark.parametrize("mode", MODES)
def test_every_amount_of_a_short_axis(mode: str) -> None:
    for n, before, after in itertools.product((1, 2, 3), range(-3, 8), range(-3, 8)):
        left = n + min(before, 0) + min(after, 0)
        if before < -n or after < -n or n + before + after < 0 or (mode == "circular" and left <= 0):
            continue
        x = integers((2, n), np.float32)
        np.testing.assert_array_equal(fc.pad(x, (before, after), mode), oracle(x, (before, after), mode))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "amounts"), CASES)
def test_backward_is_the_adjoint(shape: tuple[int, ...], amounts: tuple[int, ...], mode: str, dtype: type) -> None:
    x = integers(shape, dtype)
    y = fc.pad(x, amounts, mode)
    g = integers(y.shape, dtype, 1)
    dx = fc.pad_backward(g, x, amounts, mode)
    assert dx.shape == x.shape and dx.dtype == dtype
    assert np.vdot(y, g) == np.vdot(x, dx)
    # Element by element: the gradient of a basis vector is where the forward call puts it.
    index = np.arange(1, x.size + 1, dtype=np.float64).reshape(shape)
    came_from = fc.pad(index, amounts, mode)
    expected = np.bincount(came_from.astype(int).ravel(), g.ravel(), x.size + 1)[1:].reshape(shape)
    np.testing.assert_array_equal(dx, expected)
    np.testing.assert_array_equal(fc.pad_backward(g, shape, amounts, mode), dx)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(data=st.data(), mode=st.sampled_from(MODES), shape=st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_any_amount_of_any_axes(data: st.DataObject, mode: str, shape: list[int]) -> None:
    amounts: list[int] = []
    for n in shape[: -min(len(shape), 3) - 1 : -1]:
        before = data.draw(st.integers(1 - n, 2 * n))
        amounts += (before, data.draw(st.integers(max(1 - n, 1 - n - min(before, 0)), 2 * n)))
    x = integers(tuple(shape), np.float64)
    y = fc.pad(x, amounts, mode)
    np.testing.assert_array_equal(y, oracle(x, tuple(amounts), mode))
    g = integers(y.shape, np.float64, 1)
    assert np.vdot(y, g) == np.vdot(x, fc.pad_backward(g, x, amounts, mode))


def test_constant_pads_up_to_five_axes() -> None:
    x = integers((2, 3, 2, 3, 2), np.float64)
    amounts = (1, 2, -1, 1, 0, 3, 2, -1, 1, 1)
    y = fc.pad(x, amounts, value=-3)
    np.testing.assert_array_equal(y, oracle(x, amounts, "constant", -3))
    g = integers(y.shape, np.float64, 1)
    centred = fc.pad(x, amounts)
    assert np.vdot(centred, g) == np.vdot(x, fc.pad_backward(g, x, amounts))


@pytest.mark.parametrize("mode", MODES)
def test_any_strides_and_out(mode: str) -> None:
    x = integers((3, 4, 10), np.float32)
    views = [x[:, ::-1, ::2], x.transpose(2, 0, 1), np.broadcast_to(x[:1, :1], (2, 3, 10)), x[:, :, ::-3]]
    for view in views:
        view.flags.writeable = False
        want = oracle(view, (3, 2, 1, 4), mode)
        room = np.full((want.shape[2] * 2, want.shape[1], want.shape[0]), np.nan, np.float32)
        out = room[::-2].T
        assert fc.pad(view, (3, 2, 1, 4), mode, out=out) is out
        np.testing.assert_array_equal(out, want)
        assert np.isnan(room[::2]).all()  # the gaps of `out` are not written
        back = np.full((view.shape[1], view.shape[0], view.shape[2]), np.nan, np.float32).transpose(1, 0, 2)
        assert fc.pad_backward(out, view, (3, 2, 1, 4), mode, out=back) is back
        np.testing.assert_array_equal(back, fc.pad_backward(want, view.shape, (3, 2, 1, 4), mode))


@pytest.mark.parametrize("mode", MODES)
def test_nan_and_infinity_are_copied(mode: str) -> None:
    x = np.array([[np.nan, np.inf, -np.inf, -0.0, 1.0]])
    value = np.nan if mode == "constant" else 0.0
    y = fc.pad(x, (7, -1), mode, value)
    np.testing.assert_array_equal(y, oracle(x, (7, -1), mode, value))
    np.testing.assert_array_equal(np.signbit(y), np.signbit(oracle(x, (7, -1), mode, value)))


@pytest.mark.parametrize("mode", MODES)
def test_same_bits_for_any_thread_count(mode: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 17, 61, 67)).astype(np.float32)
    g = rng.standard_normal((3, 17, 70, 72)).astype(np.float32)
    results = []
    for n in (1, 2, 5):
        with fc.threads(n):
            results.append((fc.pad(x, (2, 3, 4, 5), mode), fc.pad_backward(g, x, (2, 3, 4, 5), mode)))
    for forward, backward in results[1:]:
        assert forward.tobytes() == results[0][0].tobytes()
        assert backward.tobytes() == results[0][1].tobytes()


def test_empty_axis() -> None:
    x = np.empty((2, 0), np.float32)
    np.testing.assert_array_equal(fc.pad(x, (1, 2), value=3), np.full((2, 3), 3.0))
    assert fc.pad(x, (0, 0), "reflect").shape == (2, 0)
    np.testing.assert_array_equal(fc.pad_backward(np.empty((9, 0)), (5, 4), (-4, 0, 1, 3), "reflect"), np.zeros((5, 4)))


def test_huge_but_empty() -> None:
    x = np.empty((2**20, 2**20, 0, 2, 2, 2), np.float32)
    assert fc.pad(x, (1, 1)).shape == (2**20, 2**20, 0, 2, 2, 4)
    assert fc.pad_backward(np.empty((2**20, 2**20, 0, 2, 2, 4), np.float32), x, (1, 1)).shape == x.shape


def test_none_is_zero() -> None:
    np.testing.assert_array_equal(fc.pad(np.ones(2), (1, 1), value=None), [0, 1, 1, 0])


X = np.ones((2, 3, 5), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, (1, 2, 3)), ValueError, r"pad must have an even number of amounts, got \(1, 2, 3\)"),
        ((X, (1,) * 8), ValueError, r"pad has amounts for 4 axes, but the input has shape \(2, 3, 5\)"),
        ((X, (1.5, 2)), TypeError, "pad must be an integer, got 1.5"),
        ((X, 3), TypeError, "pad must be a flat sequence .* got 3"),
        ((X, (-6, 9)), ValueError, r"pad: \(-6, 9\) on an axis of size 5 crops more than there is"),
        ((X, (-3, -3)), ValueError, "crops more than there is"),
        ((X, (2**62, 2**62)), ValueError, "pad: the size overflows 64 bits"),
        ((X, (2**64, 0)), ValueError, "pad must be an integer of at most 63 bits"),
        ((X, (2**61, 0)), ValueError, "pad: the size overflows 64 bits"),
        ((X, (-5, 3), "circular"), ValueError, "leaves no value for mode='circular' to pad with"),
        ((X[..., :0], (1, 0), "reflect"), ValueError, "leaves no value for mode='reflect' to pad with"),
        ((X[None], (1, 1) * 4, "reflect"), ValueError, "mode='reflect' pads the last three axes only"),
        ((X, (1, 1), "mirror"), ValueError, "mode must be one of .* got 'mirror'"),
        ((X, (1, 1), 3), TypeError, "mode must be one of .* got 3"),
        ((X, (1, 1), "reflect", 2.0), ValueError, r"value is for mode='constant' alone, got value=2.*'reflect'"),
        ((X, {1, 2}), TypeError, r"pad must be a flat sequence of .*, got \{1, 2\}"),
        ((X, (1, 1), "constant", "2"), TypeError, "value must be a number, got '2'"),
        ((X.astype(int), (1, 1)), TypeError, "input has dtype int64; float32 or float64"),
        ((X.reshape((1,) * 6 + X.shape), (1, 1)), ValueError, "input must have at most 8 axes"),
    ],
)
def test_bad_arguments(arguments: tuple[object, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fc.pad(*arguments)  # type: ignore[arg-type]


def test_bad_out_and_gradient() -> None:
    with pytest.raises(ValueError, match=r"out has shape \(2, 3, 5\), but the result has shape \(2, 3, 7\)"):
        fc.pad(X, (1, 1), out=X.copy())
    with pytest.raises(ValueError, match="out shares memory"):
        fc.pad(X, (0, 0), out=X)
    with pytest.raises(TypeError, match="out has dtype float64"):
        fc.pad(X, (1, 1), out=np.empty((2, 3, 7)))
    with pytest.raises(ValueError, match=r"grad_output must have shape \(2, 3, 7\), got \(2, 3, 5\)"):
        fc.pad_backward(X, X, (1, 1))
    with pytest.raises(ValueError, match="input must be at least 0, got -5"):
        fc.pad_backward(X, (2, 3, -5), (1, 1))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("amounts", [(1, 2, 3, 0), (-1, 2, 2, -1), (3, -1, -2, 1), (-1, -1, -1, -2), (4, 4, 3, 3)])
def test_pytorch(amounts: tuple[int, ...], mode: str) -> None:
    torch = pytest.importorskip("torch")
    x = integers((2, 3, 4, 5), np.float64)
    tx = torch.from_numpy(x).requires_grad_()
    ty = torch.nn.functional.pad(tx, amounts, mode=mode)
    y = fc.pad(x, amounts, mode)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    g = integers(y.shape, np.float64, 1)
    ty.backward(torch.from_numpy(g))
    np.testing.assert_array_equal(fc.pad_backward(g, x, amounts, mode), tx.grad.numpy())
