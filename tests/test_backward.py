"""Gradients: against the oracle exactly, as adjoints exactly, and by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, combinations
from typing import Any

import numpy as np
import oracle
import pytest
from arrays import LAYOUTS, Array, Guarded, assert_exact
from cases import EMPTY, GRAD_BIAS, LAYOUT_CASES, MODE_CASES, UGLY, Case, sample

import fastconv as fc

ALL = [*UGLY, *EMPTY, *MODE_CASES, *sample(11, 200)]

NEEDS = [c for c in chain.from_iterable(combinations(("input", "weight", "bias"), n) for n in range(4))]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_grad_input(case: Case, dtype: Any) -> None:
    _, w, _, g = case.data(dtype)
    assert_exact(case.grad_input(g, w), case.expected_grad_input(g, w), dtype)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_grad_weight(case: Case, dtype: Any) -> None:
    x, _, _, g = case.data(dtype)
    assert_exact(case.grad_weight(g, x), case.expected_grad_weight(g, x), dtype)


@pytest.mark.parametrize("case", [*EMPTY, *sample(12, 40)], ids=str)
def test_grad_bias(case: Case, dtype: Any) -> None:
    *_, g = case.data(dtype)
    assert_exact(GRAD_BIAS[case.nd](g), case.expected_grad_bias(g), dtype)


@pytest.mark.parametrize("case", [*MODE_CASES, *sample(13, 60)], ids=str)
def test_gradients_are_exact_adjoints(case: Case) -> None:
    """<conv(x, w), g> = <x, grad_input(g, w)> = <w, grad_weight(g, x)>, with no oracle in between."""
    x, w, _, g = case.data(np.float64, seed=1)
    product = (case.forward(x, w) * g).sum()
    assert product == (x * case.grad_input(g, w)).sum()
    assert product == (w * case.grad_weight(g, x)).sum()


@pytest.mark.parametrize("algorithm", ["auto", "direct", "reference"])
@pytest.mark.parametrize("case", [*sample(14, 15), MODE_CASES[8]], ids=str)
def test_algorithms(case: Case, algorithm: str, dtype: Any) -> None:
    x, w, _, g = case.data(dtype)
    assert_exact(case.grad_input(g, w, algorithm=algorithm), case.expected_grad_input(g, w), dtype)
    assert_exact(case.grad_weight(g, x, algorithm=algorithm), case.expected_grad_weight(g, x), dtype)


@pytest.mark.parametrize("case", [Case((9, 13), (3, 3), 1, 1, batch=97, ic=3, oc=2), Case((301,), (5,), 2, 7, batch=9)])
def test_weight_gradient_of_long_sums(case: Case, dtype: Any) -> None:
    x, _, _, g = case.data(dtype)
    assert_exact(case.grad_weight(g, x), case.expected_grad_weight(g, x), dtype)


# Dots of every count of rows and taps: lines of whole vectors and parts, images of more rows than stay in the cache.
@pytest.mark.parametrize("oc", [*range(1, 15), 16, 18])
@pytest.mark.parametrize(
    "case", [Case((9, 21), (3, 5), padding=1, batch=2), Case((70, 40), (2, 2), (1, 2), ic=3)], ids=str
)
def test_weight_gradient_by_dots(case: Case, oc: int, dtype: Any) -> None:
    case = replace(case, oc=oc)
    x, _, _, g = case.data(dtype)
    assert_exact(case.grad_weight(g, x, algorithm="direct"), case.expected_grad_weight(g, x), dtype)


# --- sizes that do not divide -----------------------------------------------------------------------------------------


# More pixels than a panel and a block hold, rows of every height, one to four vectors of outputs, x read in place and
# from a padded copy, lines of dy that are one and that are not.
PANELS = [
    Case((41, 43), (1, 1), batch=2, ic=23, oc=50),
    Case((67, 35), (1, 1), 2, ic=11, oc=33),
    Case((67, 35), (1, 1), 2, 1, ic=5, oc=17),
    Case((39, 45), (3, 2), (1, 2), batch=2, ic=4, oc=35),
    Case((39, 45), (3, 3), 2, 1, 2, "circular", ic=3, oc=20),
    Case((1301,), (7,), 1, 3, 3, "reflect", ic=2, oc=65),
    Case((2500,), (3,), 5, ic=7, oc=16),
    Case((7, 13, 19), (2, 3, 3), (1, 2, 1), 1, ic=3, oc=40),
    Case((7, 7), (3, 3), 1, 0, batch=61, ic=5, oc=19),
    Case((4, 4), (4, 4), batch=200, groups=2, ic=3, oc=24),
]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", PANELS, ids=str)
def test_weight_gradient_of_many_panels(case: Case, layout: str, threads: int, dtype: Any) -> None:
    x, _, _, g = case.data(dtype)
    with fc.threads(threads):
        got = case.grad_weight(LAYOUTS[layout](g), LAYOUTS[layout](x), algorithm="direct")
    assert_exact(got, case.expected_grad_weight(g, x), dtype)


@pytest.mark.parametrize(
    "case", [Case((30, 300), (5, 1), 1, (2, 0), ic=40, oc=24), Case((8000,), (9,), 1, 4, ic=128, oc=16)]
)
def test_weight_gradient_of_blocks_in_place_and_copied(case: Case) -> None:
    """Of two blocks as large, one stands in x, the other, at the border, is a copy with strides of its own."""
    x, _, _, g = case.data(np.float32)
    got = case.grad_weight(g, x, algorithm="direct")
    assert_exact(got, case.grad_weight(g, x, algorithm="reference"), np.float32)


def test_weight_gradient_of_channels_far_apart() -> None:
    """Farther than an offset of 32 bits reaches."""
    try:
        memory = np.empty(2**31 + 4096, np.float32)  # hardly any of it is touched
    except MemoryError:
        pytest.skip("no such address space")
    case = Case((9, 11), (2, 2), ic=2, oc=20)
    x, _, _, g = case.data(np.float32)
    far = np.lib.stride_tricks.as_strided(memory, x.shape, (0, 2**33, 44, 4))
    far[:] = x
    assert_exact(case.grad_weight(g, far, algorithm="direct"), case.expected_grad_weight(g, x), np.float32)


@pytest.mark.parametrize("channels", [(1, 1, 1), (1, 3, 40), (2, 17, 9), (1, 64, 70)], ids=str)
@pytest.mark.parametrize("height", [1, 2, 5, 14])
@pytest.mark.parametrize("width", [1, 2, 3, 15, 16, 31, 32, 33, 66, 111])
def test_zeros_between_the_pixels_of_a_strided_pointwise_kernel(
    width: int, height: int, channels: tuple[int, int, int], dtype: Any
) -> None:
    groups, ic, oc = channels
    case = Case((height, width), (1, 1), 2, batch=2, groups=groups, ic=ic, oc=oc)
    _, w, _, g = case.data(dtype)
    for algorithm in ("auto", "direct"):
        out = np.full(case.input_shape, np.nan, dtype)
        assert_exact(case.grad_input(g, w, out=out, algorithm=algorithm), case.expected_grad_input(g, w), dtype)


@pytest.mark.parametrize("mode", oracle.MODES)
@pytest.mark.parametrize("n", [8, 11, 12])
def test_pixels_that_no_kernel_reaches_get_no_gradient(n: int, mode: str, dtype: Any) -> None:
    """(n + 2p - k) is not a multiple of the stride: the last inputs are never read."""
    case = Case((n, n), (3, 3), 4, 1, mode=mode, batch=2, ic=2, oc=3)
    _, w, _, g = case.data(dtype)
    dx = case.grad_input(g, abs(w) + 1)
    assert_exact(dx, case.expected_grad_input(g, abs(w) + 1), dtype)
    covered = (case.output_shape[-1] - 1) * 4 + 3 - 1  # by the kernel's last position
    assert covered < n
    if mode == "zeros":
        assert not dx[..., covered:].any() and not dx[..., covered:, :].any() and dx[..., covered - 1].any()


def test_input_size_settles_what_the_output_cannot(dtype: Any) -> None:
    g, w = np.ones((1, 1, 3), dtype), np.ones((1, 1, 3), dtype)
    for n in (7, 8):
        dx = fc.conv1d_grad_input(g, w, (n,), stride=2)
        assert dx.ravel().tolist() == [1, 1, 2, 1, 2, 1, 1, 0][:n]
        np.testing.assert_array_equal(dx, fc.conv1d_grad_input(g, w, (1, 1, n), stride=2))
        np.testing.assert_array_equal(dx[0], fc.conv1d_grad_input(g[0], w, [1, n], stride=2))


# --- memory of the arguments ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=str)
def test_any_layout_of_the_arguments(case: Case, layout: str, dtype: Any) -> None:
    x, w, _, g = case.data(dtype)
    arrange = LAYOUTS[layout]
    for a, b in ((arrange(g), w), (g, arrange(w)), (arrange(g), arrange(w))):
        assert_exact(case.grad_input(a, b), case.expected_grad_input(g, w), dtype)
    for a, b in ((arrange(g), x), (g, arrange(x)), (arrange(g), arrange(x))):
        assert_exact(case.grad_weight(a, b), case.expected_grad_weight(g, x), dtype)
    assert_exact(GRAD_BIAS[case.nd](arrange(g)), case.expected_grad_bias(g), dtype)


@pytest.mark.parametrize("case", LAYOUT_CASES, ids=str)
def test_gradient_of_a_sum(case: Case, dtype: Any) -> None:
    """What a mean or a sum sends back: one number, broadcast, all strides zero."""
    x, w, _, _ = case.data(dtype)
    g = np.broadcast_to(dtype(2), case.output_shape)
    assert_exact(case.grad_input(g, w), case.expected_grad_input(g, w), dtype)
    assert_exact(case.grad_weight(g, x), case.expected_grad_weight(g, x), dtype)
    assert_exact(GRAD_BIAS[case.nd](g), case.expected_grad_bias(g), dtype)


@pytest.mark.parametrize("steps", [1, 2, -1, -3])
@pytest.mark.parametrize("case", [*LAYOUT_CASES, *EMPTY, *sample(15, 20)], ids=str)
def test_out(case: Case, steps: int, dtype: Any) -> None:
    x, w, _, g = case.data(dtype)
    dx = Guarded(case.input_shape, dtype, [steps] * len(case.input_shape))
    assert case.grad_input(g, w, out=dx.view) is dx.view
    np.testing.assert_array_equal(dx.view, case.expected_grad_input(g, w))
    dx.assert_intact()
    dw = Guarded(case.weight_shape, dtype, [steps] * len(case.weight_shape))
    assert case.grad_weight(g, x, out=dw.view) is dw.view
    np.testing.assert_array_equal(dw.view, case.expected_grad_weight(g, x))
    dw.assert_intact()
    db = Guarded(case.weight_shape[:1], dtype, [steps])
    assert GRAD_BIAS[case.nd](g, out=db.view) is db.view
    np.testing.assert_array_equal(db.view, case.expected_grad_bias(g))
    db.assert_intact()


@pytest.mark.parametrize("case", LAYOUT_CASES, ids=str)
def test_arguments_are_left_alone(case: Case, dtype: Any) -> None:
    x, w, _, g = case.data(dtype)
    before = [a.copy() for a in (x, w, g)]
    case.backward(g, x, w)
    for now, then in zip((x, w, g), before, strict=True):
        np.testing.assert_array_equal(now, then)


# --- conv*_backward ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("needs", NEEDS, ids=lambda n: "+".join(n) or "nothing")
@pytest.mark.parametrize("case", sample(16, 6), ids=str)
def test_backward_computes_what_is_needed(case: Case, needs: tuple[str, ...], dtype: Any) -> None:
    x, w, _, g = case.data(dtype)
    grads = case.backward(g, x, w, needs=needs)
    assert isinstance(grads, fc.ConvGrads)
    for name, got, expected in zip(
        grads._fields,
        grads,
        (case.expected_grad_input(g, w), case.expected_grad_weight(g, x), case.expected_grad_bias(g)),
        strict=True,
    ):
        if name in needs:
            assert_exact(got, expected, dtype)
        else:
            assert got is None


@pytest.mark.parametrize(
    "needs", [["weight"], {"weight"}, ("weight", "weight"), iter(["weight"])], ids=lambda n: type(n).__name__
)
def test_needs_may_be_any_collection(needs: Any) -> None:
    x, w = np.ones((1, 2, 5)), np.ones((3, 2, 3))
    grads = fc.conv1d_backward(np.ones((1, 3, 3)), x, w, needs=needs)
    assert grads.input is None and grads.bias is None and grads.weight.shape == w.shape


# --- finite differences -----------------------------------------------------------------------------------------------


def numeric_gradient(f: Callable[[Array], float], at: Array, h: float = 1e-5) -> Array:
    gradient = np.empty_like(at)
    for i in np.ndindex(at.shape):
        there = at.copy()
        there[i] += h
        up = f(there)
        there[i] -= 2 * h
        gradient[i] = (up - f(there)) / (2 * h)
    return gradient


@pytest.mark.parametrize(
    "case",
    [
        Case((4, 5), (3, 2), (1, 2), ((1, 2), (0, 3)), mode=("reflect", "circular"), batch=2, ic=2, oc=3),
        Case((6,), (3,), 2, 2, 2, "symmetric", batch=None, groups=2, ic=1, oc=2),
        Case((3, 3, 2), (2, 2, 2), 1, 1, mode="replicate", ic=2, oc=1, flip=True),
    ],
    ids=str,
)
def test_finite_differences(case: Case, rng: np.random.Generator) -> None:
    x, w, g = (rng.standard_normal(s) for s in (case.input_shape, case.weight_shape, case.output_shape))

    def loss(x: Array, w: Array) -> float:
        return float((case.forward(x, w) ** 2 * g).sum())

    back = 2 * case.forward(x, w) * g
    close: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(case.grad_input(back, w), numeric_gradient(lambda v: loss(v, w), x), **close)
    np.testing.assert_allclose(case.grad_weight(back, x), numeric_gradient(lambda v: loss(x, v), w), **close)


@pytest.mark.parametrize("shape", [(1, 3, 5, 0), (2, 3, 0, 4), (0, 3, 5, 4), (3, 0, 5, 4)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_images_without_elements_have_gradients(shape: tuple[int, ...], stride: int) -> None:
    x, w = np.ones(shape, np.float32), np.ones((4, shape[1], 2, 3), np.float32)
    y = fc.conv2d(x, w, None, stride, 3)
    grads = fc.conv2d_backward(np.ones_like(y), x, w, stride, 3)
    assert grads.input.shape == shape and grads.input.size == 0
    assert_exact(grads.weight, np.zeros_like(w), np.float32)
