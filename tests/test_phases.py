"""Input gradients of a stride, whose phases are computed together, or spread between each other or zeros, or zipped:
exact for integers, the same bits for any number of threads and alone as in a batch, into any memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from arrays import assert_exact, assert_same_bits, written
from cases import Case

import fastconv as fc

CASES = [
    Case((23, 37), (3, 3), 2, 1, batch=2, ic=24, oc=40),
    Case((24, 38), (3, 3), 2, 1, batch=1, ic=33, oc=31),
    Case((40, 150), (4, 4), 2, 1, ic=17, oc=20),
    Case((30, 31), (5, 5), 2, 2, batch=2, groups=2, ic=19, oc=11),
    Case((27, 300), (2, 3), (1, 2), 0, ic=20, oc=40),
    Case((26, 40), (2, 2), 2, ic=32, oc=64, batch=3),
    Case((33, 35), (1, 1), 2, ic=40, oc=50, batch=2),
    Case((28, 30), (1, 1), 2, ic=20, oc=25, groups=2, batch=3),
    Case((9, 131), (1, 1), 2, ic=48, oc=600),
    Case((13, 54), (1, 1), 2, ic=1, oc=300),
    Case((16, 2), (1, 1), 2, ic=64, oc=32, batch=2),
    Case((1, 77), (1, 1), 2, ic=33, oc=40),
    Case((201,), (1,), 2, ic=24, oc=200),
    Case((31, 33), (3, 3), 2, 1, ic=20, oc=30, mode="reflect"),
    Case((29, 30), (3, 3), 2, 2, 2, ic=20, oc=30),
    Case((7, 18, 21), (3, 3, 3), 2, 1, ic=18, oc=24),
    Case((500,), (9,), 2, 4, ic=24, oc=40, batch=2),
    Case((20, 1), (3, 1), 2, (1, 0), ic=40, oc=40, batch=9),
    Case((41, 59), (4, 4), 2, 1, ic=30, oc=4, batch=2),  # few channels to many: depthwise tiles
    Case((37, 64), (2, 5), 2, (0, 2), ic=46, oc=6, groups=2, mode="symmetric"),
    Case((9, 18, 21), (2, 2, 2), 2, ic=19, oc=3),
]
ZIPPED = [
    Case((9, 67), (3, 3), 3, 1, batch=2, ic=17, oc=19),
    Case((12, 30), (3, 3), 3, ic=48, oc=40, batch=17),
    Case((10, 149), (5, 7), (2, 3), 2, groups=2, ic=18, oc=26),
    Case((13, 43), (4, 4), 4, (0, 3), ic=40, oc=33, batch=3),
    Case((11, 95), (7, 5), 4, 2, ic=35, oc=21),
    Case((8, 100), (2, 2), 2, 1, ic=35, oc=18, batch=2),
    Case((64,), (6,), 4, 1, ic=34, oc=34),
    Case((4, 6, 41), (3, 3, 3), (1, 2, 3), 1, ic=34, oc=18),
    Case((12, 45), (3, 3), 3, 2, ic=34, oc=18, mode="reflect"),
    Case((9, 64), (3, 5), (2, 3), 3, (2, 2), ic=34, oc=18),
    Case((10, 99), (3, 3), 4, 1, ic=34, oc=18, batch=2),  # phases without taps
    Case((11, 62), (3, 3), 2, 2, 2, ic=18, oc=34, batch=2),
    Case((9, 70), (2, 2), 3, 1, groups=2, ic=18, oc=20),
    Case((6, 8, 44), (3, 2, 2), 2, 4, (2, 4, 2), ic=18, oc=20),
    Case((7, 15), (3, 3), 2, 1, ic=34, oc=18, batch=3),  # lines shorter than a vector
    Case((5, 9, 17), (3, 3, 3), 2, 1, ic=34, oc=20, batch=2),
    Case((1, 7, 25), (2, 3, 3), (1, 2, 3), (1, 0, 1), groups=3, ic=36, oc=19),
    Case((23,), (5,), 2, 2, ic=35, oc=20, batch=2),
    Case((5, 26), (1, 3), 2, (0, 1), groups=3, ic=16, oc=3),  # rows without taps
]
CASES += ZIPPED


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    _, w, _, g = case.data(dtype)
    want = case.expected_grad_input(g, w)
    assert_exact(case.grad_input(g, w, algorithm="direct"), want, dtype)
    for steps in ((1,) * case.nd, (*(1,) * (case.nd - 1), 2), (*(1,) * (case.nd - 1), -1)):
        assert_exact(written(case.grad_input, case.input_shape, (1, 1, *steps), g, w, algorithm="direct"), want, dtype)


@pytest.mark.parametrize("case", CASES[:9] + ZIPPED, ids=str)
def test_same_bits(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    g, w = (rng.standard_normal(shape).astype(dtype) for shape in (case.output_shape, case.weight_shape))
    want = case.grad_input(g, w)
    with fc.threads(3):
        assert_same_bits(case.grad_input(g, w), want)
    assert_same_bits(written(case.grad_input, case.input_shape, (1, 1, *(1,) * (case.nd - 1), 2), g, w), want)
    alone = replace(case, batch=1)
    for n in range(len(g)):
        assert_same_bits(alone.grad_input(g[n : n + 1], w), want[n : n + 1])


def test_activation(dtype: Any) -> None:
    rng = np.random.default_rng(4)
    x, w, b = (rng.integers(-3, 4, shape).astype(dtype) for shape in ((1, 40, 17, 20), (40, 24, 3, 3), (24,)))
    options: dict[str, Any] = {"stride": 2, "padding": 1}
    plain = fc.conv_transpose2d(x, w, **options) + b[:, None, None]
    assert_same_bits(fc.conv_transpose2d(x, w, b, activation="relu6", **options), np.clip(plain, 0, 6))


def test_phases_without_taps_are_zipped() -> None:
    """Where most phases of the width have taps, those of all are kept side by side."""
    plan = fc.explain((1, 34, 10, 99), (18, 34, 3, 3), 4, 1, direction="grad_input")
    assert plan["shared_bytes"] > 4 * 34 * 3 * 99


@pytest.mark.parametrize(
    ("x", "w", "options", "algorithm"),
    [
        ((1, 8, 16, 16), (2, 8, 3, 3), {"padding": 1}, "depthwise"),
        ((1, 6, 28, 28), (3, 6, 5, 5), {"padding": 6, "dilation": 3}, "depthwise"),
        ((1, 32, 16, 16), (16, 32, 3, 3), {"padding": 1}, "direct"),
    ],
)
def test_two_phases_in_turn_are_weighed_against_pieces(x: Any, w: Any, options: Any, algorithm: str) -> None:
    """Sums of few channels of dy, both phases of the width at once, cost less than pieces that are written in steps."""
    assert fc.explain(x, w, 2, direction="grad_input", **options)["algorithm"] == algorithm


def test_weights_of_few_pixels_are_read_where_they_stand() -> None:
    """Also where a vector is a part of a cache line; more pixels repay packing them."""
    for pixels, rows, w, stride in ((4, 256, (1, 1), 1), (10, 64, (3, 3), 2)):
        plan = fc.explain((1, 256, pixels, pixels), (rows, 256, *w), stride, w[0] // 2, direction="grad_input")
        assert plan["isa"] not in ("v3", "v4") or plan["shared_bytes"] == 0


def test_short_lines_of_phases_are_zipped() -> None:
    plan = fc.explain((1, 34, 15, 17), (20, 34, 3, 3), 2, 1, direction="grad_input")
    assert plan["shared_bytes"] > 4 * 34 * 15 * 17


def test_scratch_memory_is_kept() -> None:
    resource = pytest.importorskip("resource")
    case = Case((64, 200), (4, 4), 4, (0, 3), ic=40, oc=33)
    _, w, _, g = case.data(np.float32)
    out = np.zeros(case.input_shape, np.float32)
    with fc.threads(1):
        case.grad_input(g, w, out=out)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            case.grad_input(g, w, out=out)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < out.nbytes // 4096
