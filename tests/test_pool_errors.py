"""Bad arguments of the pools: the exception names the argument and shows its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as fc

X = np.ones((2, 4, 6, 8), np.float32)
Y, AT = np.ones((2, 4, 3, 4), np.float32), np.zeros((2, 4, 3, 4), np.int64)
READ_ONLY = np.ones((2, 4, 3, 4), np.float32)
READ_ONLY.flags.writeable = False

Call = Callable[[], Any]
VALUE_ERRORS: dict[str, tuple[Call, str]] = {
    "rank": (lambda: fc.max_pool2d(X[0, 0], 2), r"input must have shape \(N, C, H, W\) or \(C, H, W\), got \(6, 8\)"),
    "kernel 0": (lambda: fc.max_pool2d(X, 0), "kernel_size must be at least 1, got 0"),
    "kernel axes": (lambda: fc.avg_pool2d(X, (2, 2, 2)), r"kernel_size .* got \(2, 2, 2\)"),
    "kernel too big": (lambda: fc.max_pool2d(X, 7), "kernel_size: the window spans 7 but the padded input has only 6"),
    "kernel huge": (lambda: fc.max_pool2d(X, 2**62, padding=2**61), "kernel_size|padding"),
    "stride": (lambda: fc.avg_pool2d(X, 2, -1), "stride must be at least 1, got -1"),
    "dilation": (lambda: fc.max_pool2d(X, 2, dilation=0), "dilation must be at least 1, got 0"),
    "dilation huge": (lambda: fc.max_pool2d(X, 3, dilation=2**62), "dilation"),
    "padding negative": (lambda: fc.max_pool2d(X, 2, padding=-1), "padding must be at least 0, got -1"),
    "padding large": (
        lambda: fc.max_pool2d(X, 2, padding=2),
        r"padding .* extent 2 .* got \(2, 2\) on the height axis",
    ),
    "padding pair": (
        lambda: fc.max_pool2d(X, 3, padding=((0, 0), (0, 3))),
        r"padding .* got \(0, 3\) on the width axis",
    ),
    "padding name": (lambda: fc.avg_pool2d(X, 2, padding="sane"), "padding .* got 'sane'"),
    "empty window": (
        lambda: fc.max_pool1d(X[0, :, :, :1], 2, 1, 2, 3),
        "dilation 3 .* leaves window 0 without an element",
    ),
    "empty axis": (lambda: fc.max_pool2d(X[:, :, :0], 1), "input has size 0 on the height axis"),
    "divisor": (lambda: fc.avg_pool2d(X, 2, divisor_override=0), "divisor_override must be at least 1, got 0"),
    "norm": (lambda: fc.lp_pool2d(X, 0, 2), "norm_type must be larger than 0, got 0"),
    "norm nan": (lambda: fc.lp_pool2d(X, np.nan, 2), "norm_type must be larger than 0, got nan"),
    "output size": (lambda: fc.adaptive_avg_pool2d(X, (2, 3, 4)), r"output_size .* got \(2, 3, 4\)"),
    "output size negative": (lambda: fc.adaptive_max_pool2d(X, (2, -3)), "output_size must be at least 0, got -3"),
    "output size huge": (lambda: fc.adaptive_max_pool2d(X, 2**40), "output: the size overflows 64 bits"),
    "out shape": (
        lambda: fc.max_pool2d(X, 2, out=X),
        r"out has shape \(2, 4, 6, 8\), but the result has shape \(2, 4, 3, 4\)",
    ),
    "out read-only": (lambda: fc.max_pool2d(X, 2, out=READ_ONLY), "out is read-only"),
    "out shared": (lambda: fc.max_pool2d(X, 1, out=X), "out shares memory with an input"),
    "grad shape": (
        lambda: fc.max_pool2d_backward(X, X, 2),
        r"grad_output must have shape \(2, 4, 3, 4\), the output's, got",
    ),
    "indices shape": (
        lambda: fc.max_pool2d_backward(Y, X, 2, indices=AT[:1]),
        r"indices must have shape \(2, 4, 3, 4\), got",
    ),
    "indices beyond": (lambda: fc.max_pool2d_backward(Y, X, 2, indices=AT + 48), r"indices holds 48, .* \[0, 48\)"),
    "indices negative": (lambda: fc.max_unpool2d(Y, AT - 1, 2), r"indices holds -1, .* \[0, 48\)"),
    "unpool backward": (lambda: fc.max_unpool2d_backward(X, Y, AT + 99, 2), "indices holds 99"),
    "unpool size": (
        lambda: fc.max_unpool2d(Y, AT, 2, output_size=(6, 10)),
        r"output_size .* 8: from 7 to 9 .* got \(6, 10\)",
    ),
    "unpool padding huge": (lambda: fc.max_unpool2d(Y, AT, 2, padding=2**63 - 1), "padding: the size overflows"),
    "unpool stride huge": (lambda: fc.max_unpool2d(Y, AT, 2, stride=2**61), "stride: the size overflows"),
    "unpool size axes": (lambda: fc.max_unpool2d(Y, AT, 2, output_size=(6,)), r"output_size .* got \(6,\)"),
    "fractional size": (lambda: fc.fractional_max_pool2d(X, 2, (6, 8)), "kernel_size 2 and output_size 6 do not fit"),
    "fractional both": (lambda: fc.fractional_max_pool2d(X, 2, 3, 0.5), "one of output_size and output_ratio"),
    "fractional none": (lambda: fc.fractional_max_pool2d(X, 2), "one of output_size and output_ratio"),
    "fractional ratio": (lambda: fc.fractional_max_pool2d(X, 2, output_ratio=1.5), "output_ratio .* got 1.5"),
    "fractional ratios": (
        lambda: fc.fractional_max_pool2d(X, 2, output_ratio=(0.5,) * 3),
        r"output_ratio .*\(0.5, 0.5, 0.5",
    ),
    "fractional words": (lambda: fc.fractional_max_pool2d(X, 2, output_ratio="half"), "output_ratio .* got 'half'"),
    "samples shape": (
        lambda: fc.fractional_max_pool2d(X, 2, 3, samples=np.zeros((2, 4, 3), np.float32)),
        r"samples must have shape \(2, 4, 2\), got \(2, 4, 3\)",
    ),
    "samples range": (
        lambda: fc.fractional_max_pool2d(X, 2, 3, samples=np.ones((2, 4, 2), np.float32)),
        r"samples must be in \[0, 1\), got 1",
    ),
    "samples and seed": (
        lambda: fc.fractional_max_pool2d(X, 2, 3, seed=1, samples=np.zeros((2, 4, 2), np.float32)),
        "seed=1 has no use when samples are given",
    ),
    "seed": (lambda: fc.fractional_max_pool2d(X, 2, 3, seed=-1), "seed must be .*, got -1"),
    "fractional backward": (lambda: fc.fractional_max_pool2d_backward(Y, X, 2, (3, 4)), "seed, samples or indices"),
    "pieces": (lambda: fc.channel_max_pool(X, 3), "pieces=3 does not divide the 4 channels"),
    "pieces 0": (lambda: fc.channel_max_pool(X, 0), "pieces must be at least 1, got 0"),
    "channel indices": (
        lambda: fc.channel_max_pool_backward(X[:, :2], X, 2, indices=np.zeros((2, 2, 6, 8), np.int64)),
        r"indices holds 0 for output channel 1, whose channels are \[2, 4\)",
    ),
    "global rank": (lambda: fc.global_avg_pool(X[0, 0]), r"input has shape \(6, 8\).* dims="),
    "global dims": (lambda: fc.global_max_pool(X, dims=4), "dims=4"),
}
TYPE_ERRORS: dict[str, tuple[Call, str]] = {
    "input dtype": (lambda: fc.max_pool2d(X.astype(np.int32), 2), "input has dtype int32"),
    "input list": (lambda: fc.max_pool2d([[1.0]], 2), "input must be an array"),
    "kernel": (lambda: fc.max_pool2d(X, 2.5), "kernel_size .* got 2.5"),
    "norm": (lambda: fc.lp_pool2d(X, "two", 2), "norm_type must be a number, got 'two'"),
    "grad dtype": (
        lambda: fc.avg_pool2d_backward(Y.astype(float), X, 2),
        "input and grad_output .* float32 and float64",
    ),
    "indices dtype": (
        lambda: fc.max_pool2d_backward(Y, X, 2, indices=AT.astype(np.int32)),
        "indices .* int64 .* int32",
    ),
    "indices none": (lambda: fc.max_unpool2d(Y, None, 2), "indices must be an array, got <class 'NoneType'>"),
    "ceil mode": (lambda: fc.max_pool2d(X, 2, ceil_mode=1), "ceil_mode must be True or False, got 1"),
    "return indices": (
        lambda: fc.max_pool2d(X, 2, return_indices="y"),
        "return_indices must be True or False, got 'y'",
    ),
    "adaptive return": (lambda: fc.adaptive_max_pool2d(X, 2, None), "return_indices must be True or False, got None"),
    "count": (lambda: fc.avg_pool2d(X, 2, count_include_pad=0), "count_include_pad must be True or False, got 0"),
    "mean": (lambda: fc.lp_pool2d(X, 2, 2, mean=[]), r"mean must be True or False, got \[\]"),
    "unpool size": (lambda: fc.max_unpool2d(Y, AT, 2, output_size=6), "output_size must be a sequence of sizes, got 6"),
    "global dims": (lambda: fc.global_avg_pool(X, dims=2.0), "dims must be None or an integer, got 2.0"),
    "channel dims": (lambda: fc.channel_max_pool(X, 2, dims=True), "dims must be None or an integer, got True"),
    "out dtype": (lambda: fc.max_pool2d(X, 2, out=Y.astype(float)), "out has dtype float64, but the result is float32"),
    "samples dtype": (lambda: fc.fractional_max_pool2d(X, 2, 3, samples=np.zeros((2, 4, 2))), "samples .* float64"),
}


@pytest.mark.parametrize("name", VALUE_ERRORS)
def test_value_errors(name: str) -> None:
    call, message = VALUE_ERRORS[name]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", TYPE_ERRORS)
def test_type_errors(name: str) -> None:
    call, message = TYPE_ERRORS[name]
    with pytest.raises(TypeError, match=message):
        call()


def test_every_pool_has_a_gradient_and_a_docstring() -> None:
    names = [n for n in dir(fc) if "_pool" in n or "_unpool" in n]
    names = [n for n in names if callable(getattr(fc, n))]
    assert len(names) == 46
    for name in names:
        doc = getattr(fc, name).__doc__
        assert "Returns" in doc and "Raises" in doc
        assert getattr(fc, name).__name__ == name
        if not name.endswith("_backward"):
            assert f"{name}_backward" in names
