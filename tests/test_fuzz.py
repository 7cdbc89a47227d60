"""Odd Python objects, straight into the compiled core: an answer, ValueError or TypeError, and no crash.

Meant for a build with sanitizers as well: small arrays, nothing imported but numpy and hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastconv import _core

fuzz = settings(
    max_examples=400,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Raises:
    """Every question asked of it fails; type and value errors are its own affair."""

    def __index__(self) -> int:
        raise TypeError("no index")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __bool__(self) -> bool:
        raise TypeError("no truth")

    def __len__(self) -> int:
        raise TypeError("no length")


class Shrinks(list[Any]):
    """A list whose items empty it when they are looked at."""

    def __init__(self, n: int) -> None:
        super().__init__([self.Item(self) for _ in range(n)])

    class Item:
        def __init__(self, owner: list[Any]) -> None:
            self.owner = owner

        def __index__(self) -> int:
            self.owner.clear()
            return 1


class Liar:
    """An object that claims to be an array, and is something else."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.what


# --- arrays of all shapes and strides, in memory of their own ---------------------------------------------------------


@st.composite
def arrays(draw: st.DrawFn, rank: int, code: str) -> Any:
    shape = draw(st.tuples(*[st.integers(0, 4)] * rank))
    kind = draw(st.sampled_from(["plain", "sliced", "broadcast", "transposed", "misaligned", "readonly"]))
    dtype = np.dtype(code)
    if kind == "sliced":
        steps = draw(st.tuples(*[st.sampled_from([-2, -1, 1, 2, 3])] * rank))
        big = np.ones([n * abs(s) for n, s in zip(shape, steps, strict=True)], dtype)
        return big[tuple(slice(None, None, s) for s in steps)]
    if kind == "broadcast" and rank:
        keep = draw(st.tuples(*[st.booleans()] * rank))
        return np.broadcast_to(np.ones([n if k else 1 for n, k in zip(shape, keep, strict=True)], dtype), shape)
    if kind == "transposed":
        return np.ones(shape[::-1], dtype).T
    if kind == "misaligned":
        records = np.zeros(shape, [("pad", "V1"), ("value", dtype)])
        return records["value"]
    a = np.ones(shape, dtype)
    a.flags.writeable = kind != "readonly"
    return a


codes = st.sampled_from(["f4", "f8", "f4", "f8", "f4", "f8", "i4", "f2", ">f4", "c8", "?", "O"])
any_array = st.tuples(st.integers(0, 6), codes).flatmap(lambda how: arrays(*how))
odd = st.sampled_from(
    [None, True, 1.5, "", "same", "reflect", "\ud800", b"x", object(), Raises(), Liar(None), Liar([[1]])]
)
small = st.integers(-1, 4)
whole = small | st.integers(-(2**70), 2**70) | small.map(Index) | small.map(np.int16) | small.map(np.array)
axes = (
    whole
    | st.lists(whole, max_size=4)
    | st.lists(small, max_size=3).map(np.array)
    | st.integers(1, 3).map(Shrinks)
    | odd
)
pads = (
    axes
    | st.lists(st.lists(small, max_size=3) | small, max_size=3)
    | st.sampled_from(["valid", "same_lower", "full", "causal"])
)
one_mode = st.sampled_from(["zeros", "reflect", "replicate", "circular", "symmetric", "edge", "bad"]) | odd
modes = one_mode | st.lists(one_mode, max_size=3)
flags = st.booleans() | odd
algorithms = st.sampled_from(["auto", "direct", "reference", "auto", "direct", "bad"]) | odd
activations = st.none() | st.sampled_from(["relu", "tanh", "bad"]) | odd
outs = st.none() | st.none() | any_array | odd
operands = any_array | any_array | odd
sizes = st.lists(whole, max_size=5) | any_array | odd
nds = st.integers(1, 3)

steps = (axes, pads, axes, whole | odd)
transposed_steps = (axes, pads, axes, whole | odd, axes)
needs = (st.booleans(), st.booleans(), st.booleans())

ARGUMENTS: dict[str, tuple[st.SearchStrategy[Any], ...]] = {
    "conv_forward": (operands, operands, st.none() | operands, *steps, modes, flags, activations, algorithms, outs),
    "conv_grad_input": (operands, operands, sizes, *steps, modes, flags, algorithms, outs),
    "conv_grad_weight": (operands, operands, axes, *steps, modes, flags, algorithms, outs),
    "conv_grad_bias": (operands, outs),
    "conv_backward": (operands, operands, operands, *steps, modes, flags, *needs, algorithms),
    "conv_transpose": (
        *(operands, operands, st.none() | operands),
        *transposed_steps,
        *(modes, flags, activations, algorithms, outs),
    ),
    "conv_transpose_backward": (operands, operands, operands, *transposed_steps, modes, flags, *needs, algorithms),
    "explain": (sizes, sizes, *steps, modes, flags, st.booleans(), algorithms),
}

# Arguments that are right, from which most examples change one or two: examples that are wrong everywhere stop at once.
X, W, G = np.ones((2, 4, 4, 3)), np.ones((2, 2, 2, 3)), np.ones((2, 2, 3, 1))
STEPS: tuple[Any, ...] = (1, 0, 1, 2)
RIGHT: dict[str, tuple[Any, ...]] = {
    "conv_forward": (X, W, None, *STEPS, "zeros", False, None, "auto", None),
    "conv_grad_input": (G, W, (4, 3), *STEPS, "zeros", False, "auto", None),
    "conv_grad_weight": (G, X, (2, 3), *STEPS, "zeros", False, "auto", None),
    "conv_grad_bias": (G, None),
    "conv_backward": (G, X, W, *STEPS, "zeros", False, True, True, True, "auto"),
    "conv_transpose": (G, W, None, 1, 0, 0, 2, 1, "zeros", False, None, "auto", None),
    "conv_transpose_backward": (X, G, W, 1, 0, 0, 2, 1, "zeros", False, True, True, True, "auto"),
    "explain": (X.shape, W.shape, *STEPS, "zeros", "forward", True, "auto"),
}


def call(function: Callable[..., Any], *args: Any) -> None:
    try:
        function(*args)
    except (ValueError, TypeError) as error:
        assert str(error)
    except MemoryError:
        pass  # sizes that fit 63 bits and no machine


def test_the_right_arguments_are_right() -> None:
    for name, args in RIGHT.items():
        getattr(_core, name)(2, *args)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_one_or_two_odd_arguments(name: str) -> None:
    function, right, strategies = getattr(_core, name), RIGHT[name], ARGUMENTS[name]
    assert len(right) == len(strategies)
    changes = st.integers(0, len(right) - 1).flatmap(lambda i: st.tuples(st.just(i), strategies[i]))

    @fuzz
    @given(st.lists(changes, min_size=1, max_size=2))
    def run(changed: list[tuple[int, Any]]) -> None:
        args = list(right)
        for i, value in changed:
            args[i] = value
        call(function, 2, *args)

    run()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_everything_odd(name: str) -> None:
    @settings(fuzz, max_examples=150)
    @given(nds, st.tuples(*ARGUMENTS[name]))
    def run(nd: int, args: tuple[Any, ...]) -> None:
        call(getattr(_core, name), nd, *args)

    run()


@pytest.mark.parametrize("name", RIGHT)
def test_wrong_number_of_arguments(name: str) -> None:
    with pytest.raises(TypeError):
        getattr(_core, name)(2, *RIGHT[name][:-1])
    with pytest.raises(TypeError):
        getattr(_core, name)(2, *RIGHT[name], None)
