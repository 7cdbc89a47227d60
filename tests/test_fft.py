"""Convolution by Fourier transforms: within a stated bound of the exact sums, in every direction with every option."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Array, assert_same_bits
from cases import (
    EMPTY,
    MODE_CASES,
    OLDEST,
    UGLY,
    Case,
    assert_writes_the_output_alone,
    sample,
    sample_transposed,
    transposed,
)

import fastconv as fc

# Bytes of a thread, and of what all threads share.
WORKSPACE, SHARED = 13 << 20, 32 << 20

# The largest error, as multiples of epsilon times the largest sum of |x| |w|. Measured over the cases of this file and
# random values: 2 in either dtype.
BOUND = 8

# Kernels that want tiles of many shapes, several tiles an axis, an odd tile left over, and several terms.
LARGE = [
    Case((100, 90), (15, 15)),
    Case((150, 60), (31, 31), padding="same", mode="reflect"),
    Case((61, 200), (9, 41), padding="same", mode=("circular", "symmetric"), batch=2),
    Case((20, 20), (60, 60), padding="full"),  # kernel larger than the image
    Case((600, 20), (590, 4), (3, 1), "full"),  # a kernel cut into runs of taps
    Case((70, 65), (9, 11), 1, 4, batch=2, ic=3, oc=4),
    Case((90, 97), (8, 7), (2, 3), 3, ic=2, oc=3, groups=2),
    Case((80, 85), (7, 6), 1, 9, (3, 4), mode="replicate", ic=2, oc=2),
    Case((33, 40), (9, 9), 1, 4, groups=17),
    Case((9, 40, 37), (3, 9, 9), (2, 1, 1), (1, 4, 4), batch=2, ic=2, oc=3, mode="circular"),
    Case((5000,), (257,), ic=2, oc=3, batch=2),
    Case((3000,), (100,), 3, "causal", 5, mode="reflect"),
    Case((4100,), (1001,), padding="same", groups=3),
    Case((3, 2000), (1, 301), padding="same", ic=2),
    Case((3, 2000), (3, 301), padding="same"),
    Case((1500, 3), (201, 1), padding="same"),
    Case((45, 46), (13, 13), flip=True, ic=2, oc=2),
    Case((12, 20, 19), (7, 5, 6), padding="same", ic=2, oc=3, mode="reflect"),  # planes kept while depths pass
    Case((17, 20, 12), (5, 6, 7), (1, 2, 1), (8, 1, 3), (2, 1, 1), batch=2, mode="circular"),
    Case((16, 20, 12), (4, 6, 7), (2, 1, 1), (3, 1, 3), (1, 2, 1), groups=2, mode="replicate"),
    Case((19, 20, 12), (3, 6, 7), (2, 1, 1), (6, 1, 3), (3, 1, 1)),
    Case((75, 9, 8), (70, 3, 3), padding="same", ic=40),  # more planes than are kept
    Case((100, 830), (16, 800)),  # few outputs of a kernel that fills the longest tile
    Case((9000,), (7000,), padding="full"),
    transposed(Case((40, 41), (15, 15), 2, 7, ic=2, oc=3), 1),
    Case((56, 56), (31, 31), padding="same", groups=3),  # the last outputs wrap into the zeros before the first
    Case((90, 47), (45, 21), 1, (25, 9), ic=2),
    Case((130, 230), (13, 31), padding="same", batch=2),  # factors of 3 and 5
    Case((60, 49), (40, 21), padding="full", ic=3, oc=2),  # tiles one by one, as real ones
    Case((52, 60), (13, 15), 1, (24, 28), (4, 4), groups=2),
    Case((3, 52, 60), (2, 25, 21), padding="same", mode="circular", oc=2),
]


def assert_close(got: Array, expected: Array, scale: Array, dtype: Any) -> None:
    assert got.dtype == dtype and got.shape == expected.shape
    if expected.size:
        limit = BOUND * np.finfo(dtype).eps * max(float(np.max(scale)), 1e-300)
        assert float(np.max(np.abs(got.astype(np.float64) - expected))) <= limit


def check(case: Case, dtype: Any, **exact: Any) -> None:
    """Against the oracle, or against another algorithm in float64: small integers make either exact."""
    x, w, b, g = case.data(dtype)
    y = case.forward(x, w, b, algorithm="fft")
    dx, dw, _ = case.backward(g, x, w, algorithm="fft")
    signed = [a.astype(np.float64) for a in (x, w, b, g)]
    (y0, dx0, dw0), scales = (sums(case, *arrays, **exact) for arrays in (signed, map(np.abs, signed)))
    for got, expected, scale in zip((y, dx, dw), (y0, dx0, dw0), scales, strict=True):
        assert_close(got, expected, scale, dtype)


def sums(case: Case, x: Array, w: Array, b: Array, g: Array, **exact: Any) -> tuple[Array, Array, Array]:
    if not exact:
        return case.expected_output(x, w, b), case.expected_grad_input(g, w), case.expected_grad_weight(g, x)
    dx, dw, _ = case.backward(g, x, w, **exact)
    return case.forward(x, w, b, **exact), dx, dw


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_large_kernels(case: Case, dtype: Any) -> None:
    check(case, dtype, algorithm="direct")


@pytest.mark.parametrize(
    "case", [*UGLY[::5], *EMPTY, *MODE_CASES[::3], *sample(81, 40), *sample_transposed(82, 15)], ids=str
)
def test_every_option(case: Case, dtype: Any) -> None:
    check(case, dtype)


@pytest.mark.parametrize(
    "case",
    [
        Case((6, 5), (10, 1), 1, ((17, 14), 0), (4, 1)),
        Case((1, 30), (13, 3), 1, ((13, 12), 1), (2, 1), ic=2),
        Case((6, 5), (60, 2), 1, ((90, 100), (2, 1)), (3, 3), oc=2),
        Case((3,), (150,), 1, ((300, 300),), (4,)),
        Case((4, 4), (40, 45), 1, ((90, 70), (99, 80)), (4, 4)),
    ],
    ids=str,
)
def test_taps_that_a_tile_has_no_place_for(case: Case, dtype: Any) -> None:
    """Most of them read zeros alone; a tile that holds the input need not hold them."""
    poison = np.full((2, 4, 60, 60), 1e9, dtype)
    fc.conv2d(poison, poison[:, :, :31, :31], algorithm="fft", padding=3)  # what scratch memory holds then
    check(case, dtype, algorithm="direct")


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_error_of_random_values(case: Case) -> None:
    rng = np.random.default_rng(5)
    shapes = (case.input_shape, case.weight_shape, case.bias_shape, case.output_shape)
    x, w, b, g = (rng.standard_normal(s).astype(np.float32) for s in shapes)
    dx, dw, _ = case.backward(g, x, w, algorithm="fft")
    wide = [a.astype(np.float64) for a in (x, w, b, g)]
    expected, scales = (sums(case, *arrays, algorithm="direct") for arrays in (wide, map(np.abs, wide)))
    for got, e, scale in zip((case.forward(x, w, b, algorithm="fft"), dx, dw), expected, scales, strict=True):
        assert_close(got, e, scale, np.float32)


@pytest.mark.parametrize("case", [LARGE[i] for i in (1, 5, 9, 10, 17, -3, -1)], ids=str)
def test_bits(case: Case, dtype: Any) -> None:
    """The same bits for any number of threads, alone or in a batch, and for any layout of the arrays."""
    rng = np.random.default_rng(6)
    many = Case(**{**{n: getattr(case, n) for n in Case.__dataclass_fields__}, "batch": 5})
    one = Case(**{**{n: getattr(case, n) for n in Case.__dataclass_fields__}, "batch": 1})
    x, w, b, g = (
        rng.standard_normal(s).astype(dtype)
        for s in (many.input_shape, many.weight_shape, many.bias_shape, many.output_shape)
    )
    with fc.threads(1):
        expected = [many.forward(x, w, b, algorithm="fft"), *many.backward(g, x, w, algorithm="fft")]
    for threads in (2, 3):
        with fc.threads(threads):
            got = [many.forward(x, w, b, algorithm="fft"), *many.backward(g, x, w, algorithm="fft")]
        for a, e in zip(got, expected, strict=True):
            assert_same_bits(a, e)
    for i in (0, 4):
        assert_same_bits(one.forward(x[i : i + 1], w, b, algorithm="fft")[0], expected[0][i])
        assert_same_bits(one.grad_input(g[i : i + 1], w, algorithm="fft")[0], expected[1][i])
    for arrange in LAYOUTS.values():
        assert_same_bits(many.forward(arrange(x), arrange(w), arrange(b), algorithm="fft"), expected[0])
        assert_same_bits(many.grad_weight(arrange(g), arrange(x), algorithm="fft"), expected[2])


@pytest.mark.parametrize("steps", [(1, 1, 1, 1), (2, 1, -1, 3), (1, -2, 3, -1)])
@pytest.mark.parametrize("case", [LARGE[0], LARGE[5], LARGE[13]], ids=str)
def test_writes_the_output_and_nothing_else(case: Case, steps: tuple[int, ...], dtype: Any) -> None:
    assert_writes_the_output_alone(case, steps, dtype, "fft")


def test_a_phase_without_taps_is_written(dtype: Any) -> None:
    """All taps of an even dilation meet the same inputs of a stride of two: the others have a gradient of zero."""
    case = Case((100, 102), (15, 15), 2, 1, 2, oc=4)
    _, w, _, g = case.data(dtype)
    dx = np.full(case.input_shape, np.nan, dtype)
    case.grad_input(g, w, out=dx)
    np.testing.assert_allclose(dx, case.grad_input(g, w, algorithm="reference"), rtol=0, atol=1e-3)


@pytest.mark.parametrize("activation", ["relu", "relu6", "leaky_relu", "tanh"])
def test_activations(activation: str, dtype: Any) -> None:
    x, w, b, _ = LARGE[5].data(dtype)
    plain = LARGE[5].forward(x, w, b, algorithm="fft")
    got = LARGE[5].forward(x, w, b, algorithm="fft", activation=activation)
    formulas: dict[str, Callable[[Array], Array]] = {
        "relu": lambda v: np.maximum(v, 0),
        "relu6": lambda v: np.clip(v, 0, 6),
        "leaky_relu": lambda v: np.where(v > 0, v, v * dtype(0.01)),
        "tanh": np.tanh,
    }
    np.testing.assert_allclose(got, formulas[activation](plain), rtol=8 * float(np.finfo(dtype).eps), atol=0)


@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
@pytest.mark.parametrize(
    ("x", "w", "options", "chosen"),
    [
        ((1, 1, 1024, 1024), (1, 1, 15, 15), {"padding": 7}, "fft"),
        ((1, 1, 1024, 1024), (1, 1, 31, 31), {}, "fft"),
        ((8, 1, 1024, 1024), (1, 1, 127, 127), {"padding": "same"}, "fft"),
        ((1, 1, 1_000_000), (1, 1, 1001), {}, "fft"),
        ((1, 64, 56, 56), (64, 64, 31, 31), {"padding": 15}, "fft"),
        ((1, 96, 56, 56), (96, 1, 31, 31), {"padding": 15, "groups": 96}, "fft"),
        ((1, 64, 56, 56), (64, 64, 5, 5), {"padding": 2}, "winograd"),
        ((1, 1, 1024, 1024), (1, 1, 7, 7), {}, "depthwise"),
        ((1, 3, 256, 256), (16, 3, 16, 16), {"stride": 16}, "direct"),
        ((64, 1, 28, 28), (6, 1, 5, 5), {}, "depthwise or direct"),
        ((1, 192, 28, 28), (192, 1, 7, 7), {"padding": 3, "groups": 192}, "depthwise"),
    ],
    ids=str,
)
def test_choice(x: Any, w: Any, options: dict[str, Any], chosen: str, direction: str, dtype: Any) -> None:
    plan = fc.explain(x, w, **options, direction=direction, dtype=dtype)
    if OLDEST and chosen == "winograd":  # has no squares of five taps
        chosen = "direct"
    assert plan["algorithm"] in chosen.split(" or ")
    one = fc.explain((1, *x[1:]), w, **options, direction=direction, dtype=dtype)
    assert (one["algorithm"], one["kernel"]) == (plan["algorithm"], plan["kernel"])
    if chosen == "fft":
        assert plan["kernel"].split()[0] == ("line" if len(x) == 3 else "plane")
        assert plan["workspace_bytes"] <= WORKSPACE and plan["shared_bytes"] <= SHARED


@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
def test_single_tiles_are_real(direction: str, dtype: Any) -> None:
    plan = fc.explain((1, 96, 56, 56), (96, 1, 31, 31), padding=15, groups=96, direction=direction, dtype=dtype)
    assert plan["kernel"].endswith(", real") and plan["block_pixels"] == 56 * 56


@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
@pytest.mark.parametrize("case", [c for c in LARGE if type(c) is Case and c.mode == "zeros"], ids=str)
def test_workspace_is_bounded(case: Case, direction: str, dtype: Any) -> None:
    options = {k: v for k, v in case.options.items() if k != "flip"}
    asked = {"algorithm": "fft", "direction": direction, "dtype": dtype}
    plan = fc.explain(case.input_shape, case.weight_shape, **options, **asked)
    assert plan["algorithm"] == "fft"
    assert 0 < plan["workspace_bytes"] <= WORKSPACE and plan["shared_bytes"] <= SHARED


@pytest.mark.parametrize("direction", ["forward", "grad_input"])
def test_long_lines_under_many_taps(direction: str, dtype: Any) -> None:
    def plan(channels: int, n: int, k: int, groups: int) -> Any:
        shapes = (1, channels, n), (channels, channels // groups, k)
        return fc.explain(*shapes, groups=groups, direction=direction, dtype=dtype)["algorithm"]

    assert plan(1, 100_000, 500, 1) == plan(16, 20_000, 500, 16) == plan(8, 50_000, 47, 1) == "fft"
    assert plan(1, 2_000, 64, 1) != "fft" != plan(16, 2_000, 31, 1)


@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
def test_planning_does_not_grow_with_the_kernel(direction: str, dtype: Any) -> None:
    def seconds() -> float:
        start = perf_counter()
        plan = fc.explain((1, 1, 10_000), (1, 1, 10_000), padding=5_000, direction=direction, dtype=dtype)
        assert plan["algorithm"] == "fft"
        return perf_counter() - start

    assert min(seconds() for _ in range(5)) < 5e-3  # 45 ms if every candidate length looks at every tap


@pytest.mark.parametrize(("mode", "most"), [("circular", 1.0), ("reflect", 1.3), ("symmetric", 1.3)])
def test_padding_modes_cost_input_gradients_little(mode: str, most: float, dtype: Any) -> None:
    def plan(mode: str) -> Any:
        shapes = (1, 1, 1024, 1024), (1, 1, 31, 31)
        return fc.explain(*shapes, padding=15, padding_mode=mode, direction="grad_input", dtype=dtype)

    assert plan(mode)["algorithm"] == plan("zeros")["algorithm"] == "fft"
    assert plan(mode)["cost"] <= most * plan("zeros")["cost"]


@pytest.mark.parametrize("case", [Case((16000,), (400,), 2, ic=1, oc=32), Case((9000,), (301,), 3, 7, batch=2, oc=40)])
def test_gradients_with_a_stride(case: Case, dtype: Any) -> None:
    """Each residue of the stride is a correlation of its own, whatever patches would take."""
    shapes = (case.input_shape, case.weight_shape)
    assert fc.explain(*shapes, case.stride, case.padding, direction="grad_input", dtype=dtype)["algorithm"] == "fft"
    _, w, _, g = case.data(dtype)
    expected = case.grad_input(g, w, algorithm="direct")
    np.testing.assert_allclose(case.grad_input(g, w), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
