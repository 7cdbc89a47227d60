"""Weights packed beforehand: the bits of a plain call, whatever the image, the kernel and the activation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import assert_same_bits

import fastconv as fc

# Channels, output channels, kernel, options: wide and narrow tiles, odd channels, groups, strides, few channels, lines.
LAYERS: list[tuple[int, int, tuple[int, ...], dict[str, Any]]] = [
    (64, 96, (1, 1), {}),
    (37, 100, (1, 1), {}),
    (40, 33, (7, 1), {"padding": (3, 0)}),
    (29, 47, (5, 5), {"padding": 2, "stride": 2}),
    (24, 50, (3, 3), {"padding": 2, "dilation": 2, "padding_mode": "reflect"}),
    (36, 22, (3, 2), {"groups": 2}),
    (3, 64, (7, 7), {"padding": 3, "stride": 2}),
    (300, 520, (3, 3), {"padding": 1, "stride": 2}),  # more than is packed at a time
    (48, 20, (9,), {"padding": 4}),
    (20, 24, (3, 3, 3), {"padding": 1}),
    (16, 16, (3, 3), {"groups": 16, "padding": 1}),
]
SIZES = [(7, 7, 7), (14, 14, 14), (12, 31, 29), (9, 9, 40)]


@pytest.mark.parametrize("algorithm", ["direct", "auto"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_same_bits(layer: tuple[int, int, tuple[int, ...], dict[str, Any]], algorithm: str, dtype: Any) -> None:
    ic, oc, kernel, options = layer
    if algorithm == "auto" and kernel in ((3, 3), (7, 1), (9,)):
        pytest.skip("what is packed may choose the algorithm")
    nd = len(kernel)
    rng = np.random.default_rng(7)
    w = rng.standard_normal((oc, ic // options.get("groups", 1), *kernel)).astype(dtype)
    b = rng.standard_normal(oc).astype(dtype)
    kind, conv = getattr(fc, f"PackedConv{nd}d"), getattr(fc, f"conv{nd}d")
    packed = kind(w, b, activation="relu", algorithm=algorithm, **options)
    for size in SIZES:
        for n in (1, 3):
            x = rng.standard_normal((n, ic, *size[-nd:])).astype(dtype)
            if x.size > 2_000_000:
                continue
            want = conv(x, w, b, activation="relu", algorithm=algorithm, **options)
            assert_same_bits(packed(x), want)
            with fc.threads(3):
                assert_same_bits(packed(x), want)


def test_rows_of_the_direct_algorithm_are_kept(dtype: Any) -> None:
    w = np.zeros((48, 32, 1, 1), dtype)
    assert fc.PackedConv2d(w).nbytes >= 2 * w.nbytes


@pytest.mark.parametrize(("size", "algorithm"), [(4, "direct"), (5, "direct"), (14, "winograd")])
def test_reading_transformed_weights_is_not_free(size: int, algorithm: str, dtype: Any) -> None:
    """Those of Winograd's algorithm are four times as large: for few pixels they are left alone."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((1, 96, size, size)).astype(dtype)
    w = rng.standard_normal((128, 96, 3, 3)).astype(dtype)
    packed = fc.PackedConv2d(w, padding=1)(x)
    assert_same_bits(packed, fc.conv2d(x, w, padding=1, algorithm=algorithm))
