"""explain(): what it tells, and that what it tells is so."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from cases import Case, sample

import fastconv as fc

KEYS = {
    "algorithm": str,
    "kernel": str,
    "isa": str,
    "output_shape": tuple,
    "lanes": int,
    "mr": int,
    "nr": int,
    "block_channels": int,
    "block_pixels": int,
    "workspace_bytes": int,
    "shared_bytes": int,
    "threads": int,
    "macs": float,
    "bytes": float,
    "cost": float,
}
DIRECTIONS = ("forward", "grad_input", "grad_weight")

BIG = [
    # input, weight, options
    ((1, 64, 512, 512), (64, 64, 3, 3), {"padding": 1}),
    ((1, 64, 512, 512), (64, 64, 3, 3), {"padding": 1, "padding_mode": "reflect"}),
    ((64, 256, 56, 56), (256, 256, 3, 3), {"padding": 1}),
    ((16, 2048, 7, 7), (2048, 2048, 1, 1), {}),
    ((1, 3, 4096, 4096), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((1, 1, 10_000, 10_000), (1, 1, 31, 31), {}),
    ((8, 512, 112, 112), (512, 1, 3, 3), {"groups": 512, "padding": 1}),
    ((1, 16, 1_000_000), (16, 16, 1001), {"padding": "causal"}),
    ((1, 4096, 3, 3), (4096, 4096, 3, 3), {}),
    ((2, 32, 64, 128, 128), (32, 32, 3, 3, 3), {"padding": 1, "padding_mode": "circular"}),
    ((1, 2, 100, 100), (2, 2, 100, 100), {"padding": "full"}),
    ((100_000, 8, 8, 8), (8, 8, 3, 3), {"dilation": 3, "padding": 3}),
]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", [c for c in sample(61, 20) if not c.flip], ids=str)
def test_keys_and_shapes(case: Case, direction: str, dtype: Any) -> None:
    options = {k: v for k, v in case.options.items() if k != "flip"}
    plan = fc.explain(case.input_shape, case.weight_shape, **options, dtype=dtype, direction=direction)
    assert plan.keys() == KEYS.keys()
    assert {k: type(v) for k, v in plan.items()} == KEYS
    assert plan["output_shape"] == case.output_shape
    assert plan["macs"] == case.macs
    assert plan["isa"] == fc.show_config()["isa"]
    values = prod(case.input_shape) + prod(case.weight_shape) + prod(case.output_shape)
    assert plan["bytes"] == values * np.dtype(dtype).itemsize
    assert plan["cost"] > 0 and plan["threads"] == 1  # all of these are small
    assert plan["workspace_bytes"] >= 0 and plan["shared_bytes"] >= 0


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("x", "w", "options"), BIG, ids=lambda v: "x".join(map(str, v)) if isinstance(v, tuple) else ""
)
def test_workspace_is_bounded(x: Any, w: Any, options: dict[str, Any], direction: str, dtype: Any) -> None:
    for threads in (1, 2, 64):
        with fc.threads(threads):
            plan = fc.explain(x, w, **options, dtype=dtype, direction=direction)
        assert 0 < plan["workspace_bytes"] <= 8 << 20
        assert plan["shared_bytes"] <= 64 << 20
        assert 1 <= plan["threads"] <= threads


def test_threads_are_those_allowed() -> None:
    for n in (1, 2, 3):
        with fc.threads(n):
            assert fc.explain((8, 64, 56, 56), (64, 64, 3, 3))["threads"] == n


def test_lanes_fit_the_dtype() -> None:
    plans = {d: fc.explain((1, 64, 56, 56), (64, 64, 3, 3), dtype=d) for d in ("float32", "float64")}
    assert plans["float32"]["lanes"] == 2 * plans["float64"]["lanes"]


def test_reference_can_be_asked_for() -> None:
    assert fc.explain((1, 2, 5, 5), (3, 2, 3, 3), algorithm="reference")["algorithm"] == "reference"


def test_unbatched() -> None:
    assert fc.explain((3, 32, 32), (6, 3, 5, 5))["output_shape"] == (6, 28, 28)


def test_cost_grows_with_work() -> None:
    small, large = (fc.explain((n, 64, 56, 56), (64, 64, 3, 3))["cost"] for n in (1, 8))
    assert 4 * small < large < 16 * small


def test_large_images_are_read_alone(dtype: Any) -> None:
    """Several at a time would have to be copied."""
    assert fc.explain((2, 96, 2000), (1, 96, 1), dtype=dtype)["block_pixels"] <= 2000


def test_taps_of_long_rows_share_their_values() -> None:
    """A row that is alone ends within a vector, whether or not each tap has its values side by side."""
    with fc.threads(1):
        plan = fc.explain((4, 1, 8000), (128, 1, 80), stride=4)
    if plan["isa"] in ("v3", "v4"):
        assert (plan["kernel"], plan["block_pixels"]) == ("packed", 4 * 1981)


def test_pieces_that_no_tap_meets(dtype: Any) -> None:
    """Columns of dx that are only filled: a plan looks at no tap of theirs."""
    plan = fc.explain((2, 24, 11, 33), (40, 24, 8, 8), stride=4, direction="grad_input", dtype=dtype)
    assert plan["cost"] > 0
    plan = fc.explain((2, 392, 11, 33), (40, 392, 8, 8), stride=4, direction="grad_input", dtype=dtype)
    assert plan["algorithm"] == "direct"
