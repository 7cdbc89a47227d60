"""Long lines of one channel, computed as the rows of an image: exact for integers where the image begins and ends,
under every padding mode, stride and layout, and the same bits on any number of threads and in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Array, assert_exact, assert_same_bits, written
from cases import Case

import fastconv as fc

SHORT = 16 * 112  # outputs inside the line from which on it becomes an image of short rows
LONG = 16 * 1008  # and of long ones
MODES = ["zeros", "reflect", "replicate", "circular", "symmetric"]

CASES = [
    *[Case((SHORT + n,), (3,)) for n in (0, 1, 2, 3, 111, 112, 114)],
    *[Case((LONG + n,), (5,), padding=2) for n in (-1, 3, 4, 5, 1013)],
    *[Case((4000,), (4,), padding=((5, 1),), mode=mode) for mode in MODES],
    *[Case((6000,), (7,), stride, 3, dilation) for stride in (1, 2, 3) for dilation in (1, 4)],
    Case((2000,), (3,), padding=4000, mode="reflect"),
    Case((2500,), (9,), padding=4, ic=3, oc=3, groups=3, batch=2),
    Case((2500,), (5,), padding=2, ic=2, oc=1),
    Case((2500,), (5,), padding=2, ic=4, oc=4),
    Case((1, 2500), (1, 6), padding=(0, 3)),
    Case((1, 1, 2500), (1, 1, 6), padding=(0, 0, 3), batch=2),
    Case((1, 2500), (3, 3), padding=1),
    Case((2500, 1), (6, 1), padding=(3, 0)),
    Case((3, 2500), (1, 6)),
    Case((1, 2500), (1, 6), (3, 1), (0, 3), batch=2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact(case: Case, dtype: Any) -> None:
    """Against the naive kernel: the oracle's matrices of so long an axis would fill the memory."""
    x, w, b, g = case.data(dtype)
    want = case.forward(x, w, b, algorithm="reference")
    assert_exact(case.forward(x, w, b), want, dtype)
    want_dx = case.grad_input(g, w, algorithm="reference")
    assert_exact(case.grad_input(g, w), want_dx, dtype)
    assert_exact(case.grad_weight(g, x), case.grad_weight(g, x, algorithm="reference"), dtype)
    assert_exact(written(case.forward, case.output_shape, (1, -2, *[1] * (case.nd - 1), 3), x, w, b), want, dtype)
    assert_exact(written(case.grad_input, case.input_shape, (1, 2, *[-1] * (case.nd - 1), 2), g, w), want_dx, dtype)


def test_plan() -> None:
    assert "image rows" in fc.explain((1, 1, 100_000), (1, 1, 5), padding=2, stride=2)["kernel"]
    few = fc.explain((1, 1, 50_000), (4, 1, 3), padding=1)
    assert few["isa"] != "v4" or few["kernel"] == "image rows"
    assert "image rows" not in fc.explain((1, 1, 500), (1, 1, 5), padding=2, stride=2)["kernel"]


@pytest.mark.parametrize("stride", [1, 2])
def test_same_bits(dtype: Any, stride: int) -> None:
    draw = np.random.default_rng(5).standard_normal
    x, w, b = (draw(shape).astype(dtype) for shape in ((5, 1, 20_011), (1, 1, 9), (1,)))
    options: dict[str, Any] = {"stride": stride, "padding": 4, "padding_mode": "reflect", "activation": "relu"}

    def both(x: Array) -> tuple[Array, Array]:
        y = fc.conv1d(x, w, b, **options)
        return y, fc.conv1d_grad_input(y, w, x.shape, stride, 4, padding_mode="reflect")

    with fc.threads(1):
        want = both(x)
    with fc.threads(3):
        for got, expected in zip(both(x), want, strict=True):
            assert_same_bits(got, expected)
        for n in (0, 4):
            for got, expected in zip(both(x[n]), want, strict=True):
                assert_same_bits(got, expected[n])
    for arrange in LAYOUTS.values():
        assert_same_bits(fc.conv1d(arrange(x), arrange(w), b, **options), want[0])
