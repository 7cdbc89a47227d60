"""The same bits for any number of threads, for a sample alone or in a batch, and for any memory layout of the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Array, assert_same_bits
from cases import GRAD_BIAS, Case, sample, transposed

import fastconv as fc

# Large enough for several threads to be woken, with odd sizes so that their shares differ.
LARGE = [
    Case((29, 31), (3, 3), 1, 1, batch=3, ic=17, oc=19),
    Case((61, 67), (3, 3), 1, 1, batch=1, ic=8, oc=8, mode="reflect"),
    Case((41, 43), (3, 3), 2, 1, batch=2, groups=33, mode="circular"),
    Case((23, 29), (1, 1), batch=2, ic=65, oc=33),
    Case((31, 33), (5, 5), (1, 2), "same", 2, batch=2, ic=3, oc=33),
    Case((997,), (7,), 1, "causal", batch=3, ic=11, oc=13),
    Case((9, 13, 11), (3, 3, 3), 1, 1, batch=2, ic=5, oc=7, mode="symmetric"),
    Case((5, 5), (3, 3), 1, 1, batch=1, ic=129, oc=131),
]


def random(case: Case, dtype: Any) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng(7)
    shapes = (case.input_shape, case.weight_shape, case.bias_shape, case.output_shape)
    x, w, b, g = (rng.standard_normal(s).astype(dtype) for s in shapes)
    return x, w, b, g


def everything(case: Case, dtype: Any) -> list[Array]:
    x, w, b, g = random(case, dtype)
    return [case.forward(x, w, b, activation="tanh"), *case.backward(g, x, w)]


@pytest.mark.parametrize("case", [*LARGE, transposed(LARGE[0]), transposed(LARGE[4])], ids=str)
def test_any_number_of_threads(case: Case, dtype: Any) -> None:
    with fc.threads(1):
        expected = everything(case, dtype)
    for n in (2, 3, 5):
        with fc.threads(n):
            for got, alone in zip(everything(case, dtype), expected, strict=True):
                assert_same_bits(got, alone)


@pytest.mark.parametrize("case", LARGE[:3], ids=str)
def test_again_and_again(case: Case, dtype: Any) -> None:
    expected = everything(case, dtype)
    for _ in range(5):
        for got, first in zip(everything(case, dtype), expected, strict=True):
            assert_same_bits(got, first)


@pytest.mark.parametrize("case", [c for c in [*LARGE, *sample(41, 60)] if c.batch is not None and c.batch > 1], ids=str)
def test_a_sample_alone_or_in_a_batch(case: Case, dtype: Any) -> None:
    x, w, b, g = random(case, dtype)
    y, dx = case.forward(x, w, b), case.grad_input(g, w)
    one = Case(**{**vars_of(case), "batch": 1})
    unbatched = Case(**{**vars_of(case), "batch": None})
    for i in range(len(x)):
        assert_same_bits(one.forward(x[i : i + 1], w, b)[0], y[i])
        assert_same_bits(one.grad_input(g[i : i + 1], w)[0], dx[i])
        assert_same_bits(unbatched.forward(x[i], w, b), y[i])
        assert_same_bits(unbatched.grad_input(g[i], w), dx[i])


def vars_of(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in Case.__dataclass_fields__}


@pytest.mark.parametrize("batch", [1, 2, 16, 65])
def test_one_sample_in_batches_of_any_size(batch: int, dtype: Any) -> None:
    """A large batch may be cut into other blocks than a small one."""
    case = Case((7, 9), (3, 3), 1, 1, batch=batch, ic=13, oc=9)
    x, w, b, g = random(Case((7, 9), (3, 3), 1, 1, batch=1, ic=13, oc=9), dtype)
    many_x, many_g = np.repeat(x, batch, axis=0), np.repeat(g, batch, axis=0)
    y, dx = case.forward(many_x, w, b), case.grad_input(many_g, w)
    for i in (0, batch // 2, batch - 1):
        assert_same_bits(y[i], fc.conv2d(x, w, b, padding=1)[0])
        assert_same_bits(dx[i], fc.conv2d_grad_input(g, w, (7, 9), padding=1)[0])


TINY = [
    Case((8, 8), (3, 3), 1, 1, batch=40),
    Case((8, 8), (3, 3), 1, 0, batch=40),
    Case((5, 5), (3, 5), 1, (2, 3), batch=30, oc=3),
    Case((6, 7), (2, 3), 1, 0, 2, batch=50, ic=2, oc=3),
    Case((4, 1), (3, 3), 1, (1, 3), (2, 1), batch=40, groups=5),
    Case((40,), (7,), 1, 3, batch=20, ic=2, oc=3),
    Case((3, 4, 5), (2, 2, 3), 1, 1, batch=30, ic=2, oc=2),
]


@pytest.mark.parametrize("case", TINY, ids=str)
def test_a_tiny_sample_alone_or_in_a_batch(case: Case, dtype: Any) -> None:
    """One such image is summed by plain loops, many are not."""
    x, w, b, g = random(case, dtype)
    one = Case(**{**vars_of(case), "batch": 1})
    assert_same_bits(one.forward(x[:1], w, b)[0], case.forward(x, w, b)[0])
    assert_same_bits(one.grad_input(g[:1], w)[0], case.grad_input(g, w)[0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [*LARGE[1:4], *sample(42, 12)], ids=str)
def test_any_layout_of_the_arrays(case: Case, layout: str, dtype: Any) -> None:
    x, w, b, g = random(case, dtype)
    arrange = LAYOUTS[layout]
    assert_same_bits(case.forward(arrange(x), arrange(w), arrange(b)), case.forward(x, w, b))
    assert_same_bits(case.grad_input(arrange(g), arrange(w)), case.grad_input(g, w))
    assert_same_bits(case.grad_weight(arrange(g), arrange(x)), case.grad_weight(g, x))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [LARGE[1], *sample(42, 3)], ids=str)
def test_any_layout_of_the_bias_gradient(case: Case, layout: str, dtype: Any) -> None:
    *_, g = random(case, dtype)
    bias_gradient = GRAD_BIAS[case.nd]
    assert_same_bits(bias_gradient(LAYOUTS[layout](g)), bias_gradient(g))


@pytest.mark.parametrize("case", [*LARGE[1:4], *sample(43, 12)], ids=str)
def test_any_layout_of_out(case: Case, dtype: Any) -> None:
    x, w, b, _ = random(case, dtype)
    expected = case.forward(x, w, b, activation="sigmoid")
    out = np.empty(case.output_shape[::-1], dtype).T
    assert_same_bits(np.ascontiguousarray(case.forward(x, w, b, activation="sigmoid", out=out)), expected)
