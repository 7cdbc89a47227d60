"""The whole argument space, valid and not: the oracle's answer, or ValueError or TypeError, and nothing else."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import oracle
from arrays import assert_exact, integers
from cases import CONV, TRANSPOSE, Case, TransposedCase
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

modest = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

dtypes = st.sampled_from([np.float32, np.float64])


def steps(nd: int, low: int, high: int) -> st.SearchStrategy[Any]:
    one = st.integers(low, high)
    return one | st.tuples(*[one] * nd) | st.lists(one, min_size=nd, max_size=nd)


def paddings(nd: int, low: int = 0) -> st.SearchStrategy[Any]:
    side = st.integers(low, 5) | st.integers(low, 25)
    names = ["valid", "same", "same_lower", "full"] + ["causal"] * (nd == 1)
    return steps(nd, low, 4) | st.tuples(*[st.tuples(side, side)] * nd) | st.sampled_from(names)


def modes(nd: int) -> st.SearchStrategy[Any]:
    one = st.sampled_from(oracle.MODES)
    return one | st.tuples(*[one] * nd)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Arguments of the right form; sizes need not fit."""
    nd = draw(st.integers(1, 3))
    size = st.integers(0, {1: 40, 2: 11, 3: 5}[nd])
    case = Case(
        sizes=draw(st.tuples(*[size] * nd)),
        kernel=draw(st.tuples(*[st.integers(1, 5)] * nd)),
        stride=draw(steps(nd, 1, 4)),
        padding=draw(paddings(nd)),
        dilation=draw(steps(nd, 1, 3)),
        mode=draw(modes(nd)),
        batch=draw(st.none() | st.integers(0, 3)),
        groups=draw(st.integers(1, 5)),
        ic=draw(st.integers(0, 6)),
        oc=draw(st.integers(0, 6)),
        flip=draw(st.booleans()),
    )
    assume(case.macs < 300_000)
    return case


@modest
@given(cases(), dtypes, st.sampled_from(["auto", "direct", "reference"]))
def test_convolution(case: Case, dtype: Any, algorithm: str) -> None:
    rng = np.random.default_rng(0)
    x, w = integers(rng, case.input_shape, dtype), integers(rng, case.weight_shape, dtype)
    if not case.valid:
        event("sizes do not fit")
        with np.testing.assert_raises(ValueError):
            case.forward(x, w, algorithm=algorithm)
        return
    x, w, b, g = case.data(dtype)
    assert_exact(case.forward(x, w, b, algorithm=algorithm), case.expected_output(x, w, b), dtype)
    assert_exact(case.grad_input(g, w, algorithm=algorithm), case.expected_grad_input(g, w), dtype)
    assert_exact(case.grad_weight(g, x, algorithm=algorithm), case.expected_grad_weight(g, x), dtype)


@st.composite
def transposed_cases(draw: st.DrawFn) -> TransposedCase:
    plain = draw(cases())
    case = TransposedCase(
        **{name: getattr(plain, name) for name in Case.__dataclass_fields__},
        output_padding=draw(steps(plain.nd, 0, 3)),
    )
    assume(all(a.n < 60 for a in case.axes) and prod(max(a.n, 0) for a in case.axes) < 5_000)
    return case


def extra_fits(case: TransposedCase) -> bool:
    options = (oracle.per_axis(v, case.nd) for v in (case.output_padding, case.stride, case.dilation))
    named = isinstance(case.padding, str) and case.padding.startswith("same")
    return all(e == 0 or (e < max(s, d) and not named) for e, s, d in zip(*options, strict=True))


@modest
@given(transposed_cases(), dtypes)
def test_transposed_convolution(case: TransposedCase, dtype: Any) -> None:
    fits = (
        extra_fits(case)
        and all(m > 0 for m in case.sizes)
        and all(a.n > 0 or (a.n == 0 and (a.mode == "zeros" or a.before + a.after == 0)) for a in case.axes)
    )
    if not fits:
        event("sizes do not fit")
        rng = np.random.default_rng(0)
        x, w = integers(rng, case.input_shape, dtype), integers(rng, case.weight_shape, dtype)
        with np.testing.assert_raises(ValueError):
            case.forward(x, w)
        return
    x, w, b, g = case.data(dtype)
    assert_exact(case.forward(x, w, b), case.expected_output(x, w, b), dtype)
    grads = case.backward(g, x, w)
    assert_exact(grads.input, case.expected_grad_input(g, w), dtype)
    assert_exact(grads.weight, case.expected_grad_weight(g, x), dtype)


# --- arguments of any form --------------------------------------------------------------------------------------------

numbers = st.integers() | st.integers(-3, 6) | st.floats() | st.booleans() | st.none()
words = st.sampled_from(["same", "full", "valid", "causal", "zeros", "reflect", "wrap", "relu", "auto"]) | st.text(
    max_size=9
)
anything = st.recursive(
    numbers | words | st.binary(max_size=3) | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.integers(0, 2), inner, max_size=2)
    ),
    max_leaves=6,
)
OPTIONS = ("stride", "padding", "dilation", "groups", "padding_mode", "flip", "activation", "algorithm", "out")


@settings(modest, max_examples=600)
@given(
    st.sampled_from(list(CONV.values()) + list(TRANSPOSE.values())),
    st.dictionaries(st.sampled_from(OPTIONS), anything, max_size=3),
    dtypes,
)
def test_options_of_any_form(function: Any, options: dict[str, Any], dtype: Any) -> None:
    nd = int(function.__name__[-2])
    x, w = np.ones((2, 4, 7, 6, 5)[: nd + 2], dtype), np.ones((4, 4, 3, 2, 3)[: nd + 2], dtype)
    try:
        y = function(x, w, **options)
    except (ValueError, TypeError) as error:
        assert str(error)  # says something
        event("refused")
    except MemoryError:
        event("a result too large for this machine")
    else:
        assert y.dtype == dtype and y.ndim == nd + 2


shapes = st.lists(st.integers(0, 4), max_size=6).map(tuple)
all_dtypes = st.sampled_from("f4 f8 f4 f8 f2 i4 u8 ? c8 >f4 O".split())


@settings(modest, max_examples=600)
@given(
    st.sampled_from(list(CONV.values()) + list(TRANSPOSE.values())),
    shapes,
    shapes,
    st.none() | shapes,
    all_dtypes,
    all_dtypes,
)
def test_arrays_of_any_shape(function: Any, x: Any, w: Any, b: Any, x_dtype: str, w_dtype: str) -> None:
    try:
        y = function(np.ones(x, x_dtype), np.ones(w, w_dtype), None if b is None else np.ones(b, w_dtype), padding=1)
    except (ValueError, TypeError) as error:
        assert str(error)
        event("refused")
    else:
        assert y.ndim == len(x)
