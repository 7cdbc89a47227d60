"""Convolution problems for tests: a value that knows its arguments and its oracle, and a sampler of odd ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from math import prod
from random import Random
from typing import Any

import numpy as np
from arrays import Array, assert_exact, assert_same_bits, integers, written
from oracle import (
    MODES,
    Axis,
    conv,
    flipped,
    grad_bias,
    grad_input,
    grad_weight,
    make_axes,
    out_sizes,
    per_axis,
    transposed_axes,
)

import fastconv as fc

# Whether the oldest rung runs, which knows Winograd's F(4x4, 3x3) in float32 and no other of its tiles.
OLDEST = fc.explain((1, 1, 5), (1, 1, 1))["isa"] == "v2"

CONV: dict[int, Callable[..., Any]] = {1: fc.conv1d, 2: fc.conv2d, 3: fc.conv3d}
GRAD_INPUT: dict[int, Callable[..., Any]] = {1: fc.conv1d_grad_input, 2: fc.conv2d_grad_input, 3: fc.conv3d_grad_input}
GRAD_WEIGHT: dict[int, Callable[..., Any]] = {
    1: fc.conv1d_grad_weight,
    2: fc.conv2d_grad_weight,
    3: fc.conv3d_grad_weight,
}
GRAD_BIAS: dict[int, Callable[..., Any]] = {1: fc.conv1d_grad_bias, 2: fc.conv2d_grad_bias, 3: fc.conv3d_grad_bias}
BACKWARD: dict[int, Callable[..., Any]] = {1: fc.conv1d_backward, 2: fc.conv2d_backward, 3: fc.conv3d_backward}
TRANSPOSE: dict[int, Callable[..., Any]] = {1: fc.conv_transpose1d, 2: fc.conv_transpose2d, 3: fc.conv_transpose3d}
TRANSPOSE_BACKWARD: dict[int, Callable[..., Any]] = {
    1: fc.conv_transpose1d_backward,
    2: fc.conv_transpose2d_backward,
    3: fc.conv_transpose3d_backward,
}


@dataclass(frozen=True)
class Case:
    """One convolution; `ic` and `oc` count the channels of one group. batch None is an unbatched call."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    mode: Any = "zeros"
    batch: int | None = 1
    groups: int = 1
    ic: int = 1
    oc: int = 1
    flip: bool = False

    @property
    def nd(self) -> int:
        return len(self.sizes)

    @cached_property
    def axes(self) -> list[Axis]:
        return make_axes(self.sizes, self.kernel, self.stride, self.padding, self.dilation, self.mode)

    @property
    def valid(self) -> bool:
        return all(a.valid for a in self.axes)

    @property
    def macs(self) -> int:
        taps, pixels = prod(self.kernel), prod(max(n, 1) for n in out_sizes(self.axes))
        return max(self.batch or 1, 1) * self.groups * self.oc * self.ic * taps * pixels

    @property
    def lead(self) -> tuple[int, ...]:
        return () if self.batch is None else (self.batch,)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (*self.lead, self.groups * self.ic, *self.sizes)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.groups * self.oc, self.ic, *self.kernel)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.groups * self.oc,)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (*self.lead, self.groups * self.oc, *out_sizes(self.axes))

    @property
    def options(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "padding_mode": self.mode,
            "flip": self.flip,
        }

    def data(self, dtype: Any, seed: int = 0) -> tuple[Array, Array, Array, Array]:
        """input, weight, bias and grad_output, of small integers."""
        rng = np.random.default_rng([seed, *self.input_shape])
        shapes = (self.input_shape, self.weight_shape, self.bias_shape, self.output_shape)
        x, w, b, g = (integers(rng, shape, dtype) for shape in shapes)
        return x, w, b, g

    def _batched(self, a: Array) -> Array:
        return a[None] if self.batch is None else a

    def _as_called(self, a: Array) -> Array:
        return a[0] if self.batch is None else a

    def _oriented(self, w: Array) -> Array:
        return flipped(w) if self.flip else w

    def expected_output(self, x: Array, w: Array, b: Array | None = None) -> Array:
        return self._as_called(conv(self._batched(x), self._oriented(w), self.axes, self.groups, b))

    def expected_grad_input(self, g: Array, w: Array) -> Array:
        return self._as_called(grad_input(self._batched(g), self._oriented(w), self.axes, self.groups))

    def expected_grad_weight(self, g: Array, x: Array) -> Array:
        return self._oriented(grad_weight(self._batched(g), self._batched(x), self.axes, self.groups))

    def expected_grad_bias(self, g: Array) -> Array:
        return grad_bias(self._batched(g))

    def forward(self, x: Array, w: Array, b: Array | None = None, **more: Any) -> Any:
        return CONV[self.nd](x, w, b, **self.options, **more)

    def grad_input(self, g: Array, w: Array, **more: Any) -> Any:
        return GRAD_INPUT[self.nd](g, w, self.input_shape, **self.options, **more)

    def grad_weight(self, g: Array, x: Array, **more: Any) -> Any:
        return GRAD_WEIGHT[self.nd](g, x, self.kernel, **self.options, **more)

    def backward(self, g: Array, x: Array, w: Array, **more: Any) -> Any:
        return BACKWARD[self.nd](g, x, w, **self.options, **more)

    def __str__(self) -> str:
        def text(v: Any) -> str:
            return "x".join(map(text, v)) if isinstance(v, (tuple, list)) else str(v)

        parts = [f"n{text(self.sizes)}", f"k{text(self.kernel)}"]
        for letter, value, usual in (
            ("s", self.stride, 1),
            ("p", self.padding, 0),
            ("d", self.dilation, 1),
            ("", self.mode, "zeros"),
            ("b", self.batch, 1),
            ("g", self.groups, 1),
            ("c", self.ic, 1),
            ("o", self.oc, 1),
        ):
            if value != usual:
                parts.append(letter + text(value))
        return "-".join(parts + ["flip"] * self.flip)


@dataclass(frozen=True)
class TransposedCase(Case):
    """One transposed convolution, which is the input gradient of the convolution that `axes` describe."""

    output_padding: Any = 0

    @cached_property
    def axes(self) -> list[Axis]:
        steps = (self.stride, self.padding, self.output_padding, self.dilation, self.mode)
        return transposed_axes(self.sizes, self.kernel, *steps)

    @property
    def valid(self) -> bool:
        return all(a.n >= 1 for a in self.axes) and 0 not in self.sizes

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.groups * self.ic, self.oc, *self.kernel)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (*self.lead, self.groups * self.oc, *(a.n for a in self.axes))

    @property
    def options(self) -> dict[str, Any]:
        return super().options | {"output_padding": self.output_padding}

    def expected_output(self, x: Array, w: Array, b: Array | None = None) -> Array:
        y = super().expected_grad_input(x, w)
        return y if b is None else y + b.reshape(-1, *(1 for _ in self.axes))

    def expected_grad_input(self, g: Array, w: Array) -> Array:
        return super().expected_output(g, w)

    def expected_grad_weight(self, g: Array, x: Array) -> Array:
        return super().expected_grad_weight(x, g)

    def forward(self, x: Array, w: Array, b: Array | None = None, **more: Any) -> Any:
        return TRANSPOSE[self.nd](x, w, b, **self.options, **more)

    def backward(self, g: Array, x: Array, w: Array, **more: Any) -> Any:
        return TRANSPOSE_BACKWARD[self.nd](g, x, w, **self.options, **more)

    def __str__(self) -> str:
        return super().__str__() + (f"-op{self.output_padding}" if self.output_padding else "")


def transposed(case: Case, output_padding: Any = 0) -> TransposedCase:
    return TransposedCase(**{f.name: getattr(case, f.name) for f in fields(case)}, output_padding=output_padding)


def _padding(r: Random, nd: int, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> Any:
    kind = r.choice(["none", "int", "axes", "pairs", "pairs", "far", "valid", "same", "same_lower", "full", "causal"])
    if kind == "none" or (kind == "causal" and nd > 1):
        return 0
    if kind == "int":
        return r.randint(1, 3)
    if kind == "axes":
        return tuple(r.randint(0, 3) for _ in range(nd))
    if kind == "pairs":
        return tuple((r.randint(0, 4), r.randint(0, 4)) for _ in range(nd))
    if kind == "far":  # several wraps and bounces on one axis
        pads = [(0, 0)] * nd
        axis = r.randrange(nd)
        pads[axis] = (r.randint(0, 3 * sizes[axis] + 2), r.randint(0, 3 * sizes[axis] + 2))
        return tuple(pads)
    return kind


def random_case(r: Random, max_macs: int = 200_000) -> Case:
    """A valid problem with everything at odd values at once."""
    while True:
        nd = r.choice([1, 2, 2, 2, 3])
        longest = {1: 97, 2: 19, 3: 7}[nd]
        sizes = tuple(r.choice([1, 2, 3, r.randint(1, longest), r.randint(1, longest)]) for _ in range(nd))
        kernel = tuple(r.choice([1, 2, 3, 3, 4, 5, 7]) for _ in range(nd))
        groups = r.choice([1, 1, 1, 2, 3, 5, 8, 16])
        case = Case(
            sizes,
            kernel,
            stride=r.choice([1, 1, 2, tuple(r.randint(1, 4) for _ in range(nd))]),
            padding=_padding(r, nd, sizes, kernel),
            dilation=r.choice([1, 1, 1, 2, tuple(r.randint(1, 3) for _ in range(nd))]),
            mode=r.choice([*MODES, tuple(r.choice(MODES) for _ in range(nd))]),
            batch=r.choice([None, 1, 1, 2, 3]),
            groups=groups,
            ic=1 if groups > 3 else r.choice([1, 2, 3, 4, 5, 7, 8, 13, 16, 17]),
            oc=r.choice([1, 1, 2, 3]) if groups > 3 else r.choice([1, 2, 3, 4, 5, 8, 9, 11, 16, 17, 33]),
            flip=r.random() < 0.25,
        )
        if case.valid and case.macs <= max_macs:
            return case


def sample(seed: int, count: int) -> list[Case]:
    r = Random(seed)
    return [random_case(r) for _ in range(count)]


def random_transposed(r: Random) -> TransposedCase:
    while True:
        case = random_case(r)
        strides, dilations = per_axis(case.stride, case.nd), per_axis(case.dilation, case.nd)
        extra = tuple(r.randrange(max(s, d)) for s, d in zip(strides, dilations, strict=True))
        named = isinstance(case.padding, str) and case.padding.startswith("same")
        made = transposed(case, 0 if named else r.choice([0, extra]))
        if made.valid and prod(made.output_shape) <= 20_000:
            return made


def sample_transposed(seed: int, count: int) -> list[TransposedCase]:
    r = Random(seed)
    return [random_transposed(r) for _ in range(count)]


# Sizes at which tails go wrong: one less and one more than whole vectors and register tiles, primes, single pixels.
WIDTHS = (1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 97)
CHANNELS = (*range(1, 18), 23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65)

UGLY = [
    *(
        Case((3, w), k, s, p, d, ic=2, oc=3)
        for w in WIDTHS
        for k, s, p, d in (
            ((1, 1), 1, 0, 1),
            ((3, 3), 1, 1, 1),
            ((3, 3), 2, 1, 1),
            ((2, 5), (1, 3), (1, 4), (1, 2)),
            ((3, 2), (2, 1), "same", 1),
        )
    ),
    *(Case((w,), (3,), 1, 1, ic=5, oc=7) for w in WIDTHS),
    *(Case((2, 3, w), (2, 3, 3), 1, (0, 1, 1), ic=2, oc=2) for w in WIDTHS[::2]),
    *(Case((4, 5), (3, 3), 1, 1, ic=c, oc=CHANNELS[-1 - i]) for i, c in enumerate(CHANNELS)),
    *(Case((2, 3), (1, 1), ic=c, oc=CHANNELS[(5 * i + 3) % len(CHANNELS)]) for i, c in enumerate(CHANNELS)),
    *(Case((5, 6), (3, 3), 1, 1, groups=c) for c in CHANNELS),  # depthwise
    *(Case((5, 17), (3, 3), 2, 1, groups=c, oc=2) for c in (1, 2, 3, 7, 16, 33)),  # with a multiplier
    *(Case((6, 7), (3, 3), 1, 1, groups=g, ic=c, oc=o) for g, c, o in ((2, 3, 5), (3, 8, 16), (4, 17, 1), (5, 1, 9))),
    Case((1, 1), (1, 1)),
    Case((1, 1), (3, 3), 1, 1, mode="reflect"),
    Case((1, 1), (7, 5), 1, "full", mode="symmetric", ic=3, oc=2),
    Case((1, 1, 1), (3, 3, 3), 1, 4, mode="circular", ic=2, oc=2),
    Case((2, 2), (5, 5), 1, 2, ic=3, oc=3),  # kernel larger than the image
    Case((3, 2), (2, 3), 2, 9, mode="reflect", ic=2, oc=2),  # padding larger than the image
    Case((4,), (2,), 3, ((17, 0),), mode="symmetric", ic=2, oc=2),
    Case((5,), (3,), 7, ((0, 23),), mode="circular", ic=2, oc=2),
    Case((7, 5), (3, 3), 9, 1, ic=2, oc=2),  # stride larger than the image
    Case((13,), (3,), 1, "causal", 4, ic=3, oc=2, mode="replicate"),
    Case((11, 13), (11, 13), ic=2, oc=3),  # kernel as large as the image
    Case((31, 37), (3, 3), 1, 1, batch=2, ic=3, oc=5),
    Case((19, 97), (7, 7), 2, 3, ic=3, oc=4),
    *(
        Case((9, 33 * s + 5), (s, s), s, p, ic=3, oc=17) for s in (2, 3, 4, 5, 9) for p in (0, 1)
    ),  # windows side by side
    *(Case((7, 70), (1, 2), (1, s), ic=5, oc=20) for s in (2, 3, 4)),
    Case((3, 23, 23), (5, 5, 5), 2, (2, 0, 0), ic=3, oc=130),  # few outputs deep, many of whose taps meet but padding
    *(Case((5, 31, 60), (7, 7, 5), 2, (3, 3, 2), ic=ic, oc=oc) for ic, oc in ((1, 20), (2, 3))),
    Case((5, 29, 37), (5, 3, 3), 1, (4, 1, 1), ic=2, oc=17),
    Case((1, 97), (1, 31), 1, "same", ic=2, oc=2),
    Case((97, 1), (31, 1), 1, "same", ic=2, oc=2),
    Case((9, 10), (3, 3), 1, 8, mode="zeros", ic=1, oc=1),  # whole output rows see only padding
]

EMPTY = [
    Case((5, 6), (3, 3), batch=0, ic=3, oc=2),
    Case((5, 6), (3, 3), batch=0, groups=4, mode="circular", padding=1),
    Case((5, 6), (3, 3), batch=2, ic=0, oc=2),
    Case((5, 6), (3, 3), batch=2, ic=3, oc=0),
    Case((5, 6), (3, 3), batch=None, ic=0, oc=3, padding=1),
    Case((5, 7), (1, 1), 2, batch=2, ic=3, oc=0),
    Case((0, 6), (3, 3), batch=1, padding=2, ic=2, oc=2),
    Case((0,), (2,), batch=2, padding=((1, 2),), ic=1, oc=3),
    Case((3, 0, 2), (1, 2, 1), batch=1, padding=(0, 1, 0), ic=2, oc=2),
]

MODE_CASES = [
    *(
        Case(sizes, kernel, stride, padding, mode=mode, ic=2, oc=2)
        for mode in MODES
        for sizes, kernel, stride, padding in (
            ((7,), (3,), 1, 1),
            ((7,), (3,), 1, 6),
            ((7,), (3,), 2, 7),
            ((7,), (4,), 1, ((0, 22),)),
            ((2,), (3,), 1, 13),
            ((1,), (3,), 1, 5),
            ((5, 6), (3, 3), 1, 1),
            ((5, 6), (3, 3), 1, ((1, 0), (0, 2))),
            ((5, 6), (3, 4), (2, 1), ((4, 5), (12, 1))),
            ((33, 35), (3, 3), 1, 1),
            ((17, 16), (5, 5), 1, 2),
            ((17, 16), (3, 3), 2, 1),
            ((4, 3, 5), (3, 2, 3), 1, 2),
            ((3, 4, 2), (3, 3, 3), (1, 2, 1), (1, 9, 4)),
        )
    ),
    *(Case((6, 5), (3, 3), 1, 3, mode=(a, b), ic=2, oc=3) for a in MODES for b in MODES if a != b),
    *(
        Case((4, 5, 6), (3, 2, 3), 1, 2, mode=modes)
        for modes in (("zeros", "reflect", "circular"), ("symmetric", "replicate", "zeros"))
    ),
    *(Case((9, 7), (3, 3), 1, 1, 2, mode=mode, groups=8, batch=2) for mode in MODES),
]

# Whose arguments are laid out in all ways.
LAYOUT_CASES = [
    Case((7, 19), (3, 3), 1, 1, batch=2, ic=3, oc=5),
    Case((7, 18), (3, 2), 2, ((1, 3), (0, 9)), mode=("reflect", "circular"), batch=2, groups=2, ic=2, oc=3),
    Case((9, 17), (3, 3), 1, 1, batch=1, groups=6),
    Case((9, 17), (1, 1), batch=2, ic=17, oc=9),
    Case((35,), (5,), 1, "same", batch=2, ic=4, oc=3),
    Case((3, 5, 7), (3, 3, 3), 1, 1, mode="symmetric", batch=None, ic=2, oc=3, flip=True),
]


def assert_exact_weight_gradient(case: Case, dtype: Any) -> tuple[Array, Array, Array]:
    """Of the direct algorithm, returned and written to arrays of other strides. Returns x, the output's gradient and
    what is expected."""
    x, _, _, g = case.data(dtype)
    want = case.expected_grad_weight(g, x)
    assert_exact(case.grad_weight(g, x, algorithm="direct"), want, dtype)
    for steps in ((1, 1), (1, 2), (-1, 1)):
        got = written(case.grad_weight, case.weight_shape, (*steps, *(1,) * case.nd), g, x, algorithm="direct")
        assert_exact(got, want, dtype)
    return x, g, want


def assert_writes_the_output_alone(case: Case, steps: tuple[int, ...], dtype: Any, algorithm: str) -> None:
    """That results written to arrays of other strides are those returned, with nothing written in between."""
    x, w, b, g = case.data(dtype)
    calls: tuple[tuple[Callable[..., Any], tuple[int, ...], tuple[Array, ...]], ...] = (
        (case.forward, case.output_shape, (x, w, b)),
        (case.grad_input, case.input_shape, (g, w)),
        (case.grad_weight, case.weight_shape, (g, x)),
    )
    for call, shape, args in calls:
        assert_same_bits(written(call, shape, steps, *args, algorithm=algorithm), call(*args, algorithm=algorithm))


def assert_takes_winograd(told: dict[str, Any], kernel: str, oldest: str) -> None:
    """That a plan takes such tiles; on the oldest rung its only ones, for three by three taps alone."""
    if OLDEST and "3x3" not in kernel:
        assert told["algorithm"] != "winograd"
    else:
        assert told["algorithm"] == "winograd" and told["kernel"] == (oldest if OLDEST else kernel)
