"""Transposed convolution, forward and backward, against the oracle and against the convolution it is the adjoint of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Guarded, assert_exact, integers
from cases import (
    GRAD_INPUT,
    MODE_CASES,
    TRANSPOSE,
    UGLY,
    Case,
    TransposedCase,
    sample_transposed,
    transposed,
)
from test_conv import ACTIVATIONS, assert_close_to_activation

import fastconv as fc

ALL = [
    *(t for t in map(transposed, [*UGLY, *MODE_CASES]) if t.valid and t.macs < 400_000),
    *sample_transposed(21, 200),
    transposed(Case((4, 5), (3, 3), 2, 1, batch=0, ic=2, oc=3)),
    transposed(Case((4, 5), (3, 3), 2, 1, batch=2, ic=0, oc=3)),
    transposed(Case((4, 5), (3, 3), 2, 1, batch=2, ic=3, oc=0)),
    transposed(Case((4,), (3,), 1, 0, 5), output_padding=4),  # output_padding between stride and dilation
]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_forward(case: TransposedCase, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    assert_exact(case.forward(x, w, b), case.expected_output(x, w, b), dtype)


@pytest.mark.parametrize("case", ALL[::2], ids=str)
def test_backward(case: TransposedCase, dtype: Any) -> None:
    x, w, _, g = case.data(dtype)
    grads = case.backward(g, x, w)
    assert_exact(grads.input, case.expected_grad_input(g, w), dtype)
    assert_exact(grads.weight, case.expected_grad_weight(g, x), dtype)
    assert_exact(grads.bias, case.expected_grad_bias(g), dtype)


@pytest.mark.parametrize("needs", [(), ("input",), ("weight",), ("bias",), ("weight", "bias")], ids=repr)
def test_backward_computes_what_is_needed(needs: tuple[str, ...]) -> None:
    case = transposed(Case((4, 5), (3, 3), 2, 1, ic=2, oc=3))
    x, w, _, g = case.data(np.float64)
    grads = case.backward(g, x, w, needs=needs)
    assert [name for name in grads._fields if getattr(grads, name) is not None] == list(needs)


@pytest.mark.parametrize("case", sample_transposed(22, 60), ids=str)
def test_gradients_are_exact_adjoints(case: TransposedCase) -> None:
    x, w, _, g = case.data(np.float64, seed=1)
    product, grads = (case.forward(x, w) * g).sum(), case.backward(g, x, w)
    assert product == (x * grads.input).sum() == (w * grads.weight).sum()


@pytest.mark.parametrize("case", [c for c in sample_transposed(23, 60) if c.output_padding == 0], ids=str)
def test_it_is_the_input_gradient_of_a_convolution(case: TransposedCase, dtype: Any) -> None:
    x, w, _, _ = case.data(dtype)
    options = {k: v for k, v in case.options.items() if k != "output_padding"}
    assert_exact(case.forward(x, w), GRAD_INPUT[case.nd](x, w, case.output_shape, **options), dtype)


@pytest.mark.parametrize("padding", [0, 1, ((2, 0),), "same", "full", "valid", "causal"], ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_output_size(stride: int, padding: Any) -> None:
    n, k, d = 7, 3, 2
    pads = {"same": 0, "full": 8, "valid": 0, "causal": 4}.get(padding) if isinstance(padding, str) else None
    if pads is None:
        pads = 2 * padding if isinstance(padding, int) else sum(padding[0])
    y = fc.conv_transpose1d(np.ones((1, 1, n)), np.ones((1, 1, k)), stride=stride, padding=padding, dilation=d)
    expected = n * stride if padding == "same" else (n - 1) * stride - pads + d * (k - 1) + 1
    assert y.shape == (1, 1, expected)


def test_output_that_padding_takes_away_whole(dtype: Any) -> None:
    y = fc.conv_transpose1d(np.ones((2, 1, 1), dtype), np.ones((1, 3, 2), dtype), np.ones(3, dtype), padding=1)
    assert y.shape == (2, 3, 0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "case",
    [
        transposed(Case((7, 9), (3, 3), 2, 1, batch=2, ic=3, oc=5), output_padding=1),
        transposed(Case((5, 17), (3, 2), 1, 1, batch=1, groups=4, mode="reflect")),
    ],
    ids=str,
)
def test_any_layout_of_the_arguments(case: TransposedCase, layout: str, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    arrange = LAYOUTS[layout]
    assert_exact(case.forward(arrange(x), arrange(w), arrange(b)), case.expected_output(x, w, b), dtype)
    grads = case.backward(arrange(g), arrange(x), arrange(w))
    assert_exact(grads.input, case.expected_grad_input(g, w), dtype)
    assert_exact(grads.weight, case.expected_grad_weight(g, x), dtype)


@pytest.mark.parametrize("steps", [1, 2, -1])
@pytest.mark.parametrize("case", sample_transposed(24, 20), ids=str)
def test_out(case: TransposedCase, steps: int, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    out = Guarded(case.output_shape, dtype, [steps] * len(case.output_shape))
    assert case.forward(x, w, b, out=out.view) is out.view
    np.testing.assert_array_equal(out.view, case.expected_output(x, w, b))
    out.assert_intact()


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_activation(mode: str, name: str, dtype: Any) -> None:
    case = transposed(Case((7, 19), (3, 3), 2, 1, mode=mode, batch=2, ic=5, oc=3))
    x, w, b, _ = case.data(dtype)
    for bias in (b, None):
        sums = case.expected_output(x, w, bias)
        assert (sums < 0).any() and (sums > 6).any()
        assert_close_to_activation(case.forward(x, w, bias, activation=name), sums, name)


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_unbatched_is_a_batch_of_one(nd: int, dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (3, 2, 4, 3)[: nd + 1], dtype), integers(rng, (3, 4, 2, 3, 3)[: nd + 2], dtype)
    np.testing.assert_array_equal(TRANSPOSE[nd](x, w, stride=2), TRANSPOSE[nd](x[None], w, stride=2)[0])
