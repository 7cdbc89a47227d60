"""Bad calls: each raises ValueError or TypeError whose message names the argument and shows what was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as fc

X: Any
X, W, G = np.ones((2, 4, 8, 9)), np.ones((6, 4, 3, 3)), np.ones((2, 6, 6, 7))
X1, W1 = np.ones((2, 4, 9)), np.ones((6, 4, 3))
XT, WT = np.ones((2, 4, 5, 6)), np.ones((4, 3, 3, 3))


class Index:
    """An integer by `__index__`, as numpy's are."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class BrokenIndex:
    def __index__(self) -> int:
        raise OSError("no index today")


class BrokenRepr:
    def __repr__(self) -> str:
        raise OSError("no words today")


class SurrogateRepr:
    def __repr__(self) -> str:
        return "\ud800"


def forward(x: Any = X, w: Any = W, b: Any = None, **options: Any) -> Any:
    return fc.conv2d(x, w, b, **options)


def grad_input(g: Any = G, w: Any = W, size: Any = (8, 9), **options: Any) -> Any:
    return fc.conv2d_grad_input(g, w, size, **options)


def grad_weight(g: Any = G, x: Any = X, k: Any = 3, **options: Any) -> Any:
    return fc.conv2d_grad_weight(g, x, k, **options)


def transpose(x: Any = XT, w: Any = WT, b: Any = None, **options: Any) -> Any:
    return fc.conv_transpose2d(x, w, b, **options)


def explain(x: Any = (2, 4, 8, 9), w: Any = (6, 4, 3, 3), **options: Any) -> Any:
    return fc.explain(x, w, **options)


def read_only(a: Any) -> Any:
    a.flags.writeable = False
    return a


Call = Callable[[], Any]
Bad = tuple[Call, type[Exception], str]


def test_the_calls_below_are_good_but_for_what_they_say() -> None:
    for call in (forward, grad_input, grad_weight, transpose):
        assert call().dtype == np.float64


SHAPES: list[Bad] = [
    (lambda: forward(X[0, 0]), ValueError, r"input .*\(8, 9\)"),
    (lambda: forward(X[None]), ValueError, r"input .*\(N, C, H, W\).*\(1, 2, 4, 8, 9\)"),
    (lambda: forward(np.float64(3)), ValueError, r"input .*\(\)"),
    (lambda: forward(w=W[0]), ValueError, r"weight .*\(O, C/groups, kH, kW\).*\(4, 3, 3\)"),
    (lambda: fc.conv1d(X1, W), ValueError, r"weight .*kW.*\(6, 4, 3, 3\)"),
    (lambda: fc.conv3d(X, W), ValueError, r"weight .*kD, kH, kW.*\(6, 4, 3, 3\)"),
    (lambda: forward(X[:, :3]), ValueError, r"weight has 4 channels.*4 channels.*has 3"),
    (lambda: forward(X[:, :0]), ValueError, r"has 0"),
    (lambda: forward(w=W[:, :0]), ValueError, r"weight has 0 channels.*has 4"),
    (lambda: forward(groups=2), ValueError, r"weight has 4 channels a group with groups=2.*8 channels.*has 4"),
    (lambda: forward(w=np.ones((5, 2, 3, 3)), groups=2), ValueError, r"groups=2 does not divide the 5 output"),
    (lambda: forward(w=W[:, :, :, :0]), ValueError, r"weight: the kernel has size 0 on the width"),
    (lambda: forward(b=np.ones(5)), ValueError, r"bias .*\(6,\).*\(5,\)"),
    (lambda: forward(b=np.ones((6, 1))), ValueError, r"bias .*\(6, 1\)"),
    (lambda: forward(b=np.float64(1)), ValueError, r"bias .*\(\)"),
    (lambda: forward(w=np.ones((6, 4, 9, 3))), ValueError, r"weight: the kernel spans 9 .*only 8 on the height"),
    (
        lambda: forward(dilation=(1, 5)),
        ValueError,
        r"weight: the kernel spans 11 \(size 3, dilation 5\).*only 9 on the w",
    ),
    (lambda: forward(w=np.ones((6, 4, 11, 3)), padding=1), ValueError, r"spans 11 .*only 10 on the height"),
    (lambda: forward(X[:, :, :0]), ValueError, r"only 0 on the height"),
    (lambda: fc.conv3d(X[None], np.ones((6, 2, 5, 1, 1))), ValueError, r"only 4 on the depth"),
    (lambda: grad_input(G[0, 0]), ValueError, r"grad_output .*\(6, 7\)"),
    (lambda: grad_input(G[:, :5]), ValueError, r"grad_output .*\(2, 6, 6, 7\).*\(2, 5, 6, 7\)"),
    (lambda: grad_input(size=(9, 9)), ValueError, r"grad_output .*\(2, 6, 7, 7\).*\(2, 6, 6, 7\)"),
    (lambda: grad_input(size=(8,)), ValueError, r"input_size .*\(8,\)"),
    (lambda: grad_input(size=(3, 4, 8, 9)), ValueError, r"input_size has batch 3 .*2"),
    (lambda: grad_input(size=(2, 3, 8, 9)), ValueError, r"has 3"),
    (lambda: grad_input(size=(-8, 9)), ValueError, r"input_size .*-8"),
    (lambda: grad_input(size=()), ValueError, r"input_size .*\(\)"),
    (lambda: grad_weight(G[0]), ValueError, r"grad_output .*\(6, 6, 7\)"),
    (lambda: grad_weight(G[:1]), ValueError, r"grad_output .*\(2, 6, 6, 7\).*\(1, 6, 6, 7\)"),
    (lambda: grad_weight(k=4), ValueError, r"grad_output .*\(2, 6, 5, 6\)"),
    (lambda: grad_weight(k=0), ValueError, r"kernel_size .*0"),
    (lambda: grad_weight(k=(3, 3, 3)), ValueError, r"kernel_size .*\(3, 3, 3\)"),
    (lambda: grad_weight(groups=4), ValueError, r"groups=4 does not divide the 6 output"),
    (lambda: grad_weight(groups=3), ValueError, r"groups=3 does not divide the 4 input"),
    (lambda: fc.conv2d_grad_bias(G[0, 0]), ValueError, r"grad_output .*\(6, 7\)"),
    (lambda: transpose(XT[:, :3]), ValueError, r"weight is for 4 input channels, but input has 3"),
    (lambda: transpose(w=WT[0]), ValueError, r"weight .*\(C, O/groups, kH, kW\).*\(3, 3, 3\)"),
    (lambda: transpose(groups=3), ValueError, r"groups=3 does not divide the 4"),
    (lambda: transpose(b=np.ones(4)), ValueError, r"bias .*\(3,\).*\(4,\)"),
    (lambda: transpose(padding=4), ValueError, r"padding of 4 \+ 4 .*7"),
    (lambda: transpose(XT[:, :, :0]), ValueError, r"input .*\(2, 4, 0, 6\)"),
    (lambda: transpose(output_padding=1), ValueError, r"output_padding .*1"),
    (lambda: transpose(stride=2, output_padding=2), ValueError, r"output_padding .*2"),
    (lambda: transpose(stride=2, padding="same", output_padding=1), ValueError, r"output_padding must be 0 .*1"),
    (
        lambda: fc.conv_transpose2d_backward(np.ones((2, 3, 7, 9)), XT, WT),
        ValueError,
        r"grad_output must have the shape of the output.*\(2, 3, 7, 9\)",
    ),
    (lambda: fc.explain((4, 8), (6, 4, 3, 3)), ValueError, r"input_shape .*\(4, 8\)"),
    (lambda: fc.explain((2, 4, 8, 9), (6, 4)), ValueError, r"weight_shape .*\(6, 4\)"),
    (lambda: fc.explain((2, 4, 8, -9), (6, 4, 3, 3)), ValueError, r"input_shape .*-9"),
    (lambda: fc.explain((2, 4, 8, 9), (6, 5, 3, 3)), ValueError, r"weight has 5 channels"),
]

ARRAYS: list[Bad] = [
    (lambda: forward(X.tolist()), TypeError, r"input must be an array, got <class 'list'>"),
    (lambda: forward(w=None), TypeError, r"weight must be an array, got <class 'NoneType'>"),
    (lambda: forward(b=3), TypeError, r"bias must be an array, got <class 'int'>"),
    (lambda: forward("photo.png"), TypeError, r"input must be an array, got <class 'str'>"),
    (lambda: forward(b"bytes"), TypeError, r"input has dtype"),
    (lambda: forward(X.astype(np.float32)), TypeError, r"input and weight .*float32 and float64"),
    (lambda: forward(w=W.astype(np.float32)), TypeError, r"input and weight .*float64 and float32"),
    (lambda: forward(b=np.ones(6, np.float32)), TypeError, r"input and bias .*float64 and float32"),
    (lambda: grad_input(w=W.astype(np.float32)), TypeError, r"grad_output and weight .*float64 and float32"),
    (lambda: grad_weight(x=X.astype(np.float32)), TypeError, r"grad_output and input .*float64 and float32"),
    (lambda: transpose(w=WT.astype(np.float32)), TypeError, r"input and weight .*float64 and float32"),
    *(
        (lambda k=kind: forward(X.astype(k)), TypeError, rf"input has dtype {text}.*float32 or float64")
        for kind, text in (
            ("i4", "int32"),
            ("i8", "int64"),
            ("u1", "uint8"),
            ("?", "bool"),
            ("f2", "float16"),
            ("c8", "complex64"),
            ("c16", "complex128"),
            (">f4", ">f4"),
            (">f8", ">f8"),
            ("O", "object"),
            ("U3", "<U3"),
            ("M8[s]", "datetime64"),
        )
    ),
    *(
        [(lambda: forward(X.astype(np.longdouble)), TypeError, r"input has dtype (long|float)")]
        if np.dtype(np.longdouble).itemsize > 8
        else []
    ),
    (lambda: forward(w=W.astype("i8")), TypeError, r"weight has dtype int64"),
    (lambda: forward(b=np.ones(6, "i8")), TypeError, r"bias has dtype int64"),
    (lambda: forward(np.zeros((2, 4, 8, 9), [("a", "f4")])), TypeError, r"input has dtype"),
    (lambda: fc.conv2d_grad_bias(G.astype("i8")), TypeError, r"grad_output has dtype int64"),
]

STEPS: list[Bad] = [
    *(
        (lambda n=name, v=value: forward(**{n: v}), ValueError, rf"{name} .*{shown}")
        for name in ("stride", "dilation")
        for value, shown in (
            (0, "at least 1, got 0"),
            (-1, "-1"),
            ((1, 0), "0"),
            ([1, -2], "-2"),
            ((1,), r"\(1,\)"),
            ((1, 1, 1), r"one per axis \(2\), got \(1, 1, 1\)"),
            ((), r"\(\)"),
            (np.array([1, 2, 3]), r"array\(\[1, 2, 3\]\)"),
            (np.array(-3), "-3"),
            (Index(-4), "Index"),
            (2**63, str(2**63)),
            (-(2**200), "-16069"),
        )
    ),
    *(
        (lambda n=name, v=value: forward(**{n: v}), TypeError, rf"{name} .*{shown}")
        for name in ("stride", "dilation")
        for value, shown in (
            (1.0, r"1\.0"),
            (None, "None"),
            (True, "True"),
            ((1, True), "True"),
            ("2", "'2'"),
            ((1, 1.5), r"1\.5"),
            ((1, None), "None"),
            (np.float32(2), r"2\.0"),
            (np.array(2.5), r"2\.5"),
            (np.array([1.0, 2.0]), r"1\.0"),
            (np.array([[1, 1], [1, 1]]), r"1, 1"),
            ({1: 1}, r"\{1: 1\}"),
            (range(1, 3), "range"),
            (1j, "1j"),
            (object(), "object"),
            (BrokenIndex(), "BrokenIndex"),
            (BrokenRepr(), "BrokenRepr"),
            (SurrogateRepr(), "ud800"),
        )
    ),
    (lambda: forward(groups=0), ValueError, r"groups must be at least 1, got 0"),
    (lambda: forward(groups=-1), ValueError, r"groups .*-1"),
    (lambda: forward(groups=2**64), ValueError, r"groups .*18446744073709551616"),
    (lambda: forward(groups=1.0), TypeError, r"groups .*1\.0"),
    (lambda: forward(groups=True), TypeError, r"groups .*True"),
    (lambda: forward(groups=(1, 1)), TypeError, r"groups .*\(1, 1\)"),
    (lambda: forward(groups=None), TypeError, r"groups .*None"),
    (lambda: transpose(output_padding=-1), ValueError, r"output_padding .*-1"),
    (lambda: transpose(output_padding=0.5), TypeError, r"output_padding .*0\.5"),
    (lambda: grad_weight(k=2.0), TypeError, r"kernel_size .*2\.0"),
    (lambda: grad_weight(k="3"), TypeError, r"kernel_size .*'3'"),
    (lambda: grad_input(size=8), TypeError, r"input_size .*8"),
    (lambda: grad_input(size=None), TypeError, r"input_size .*None"),
    (lambda: grad_input(size=(8.0, 9)), TypeError, r"input_size .*8\.0"),
    (lambda: explain(5), TypeError, r"input_shape .*5"),
    (lambda: explain((2, 4, 8.5, 9)), TypeError, r"input_shape .*8\.5"),
]

PADDING: list[Bad] = [
    *(
        (lambda v=value: forward(padding=v), ValueError, rf"padding .*{shown}")
        for value, shown in (
            (-1, "-1"),
            ((0, -1), "-1"),
            (((0, 0), (0, -3)), "-3"),
            ((1,), r"\(1,\)"),
            ((1, 2, 3), r"\(1, 2, 3\)"),
            ((1, 2, 3, 4), r"\(1, 2, 3, 4\)"),
            (((1, 2, 3), 1), r"\(1, 2, 3\)"),
            (((1,), 1), r"\(1,\)"),
            ("SAME", "'SAME'"),
            ("", "''"),
            ("causal", "only in one dimension, got 'causal'"),
            (np.array([[1, 1]]), "array"),
            (2**80, str(2**80)),
            ("é" * 500, "é{100}"),
        )
    ),
    *(
        (lambda v=value: forward(padding=v), TypeError, rf"padding .*{shown}")
        for value, shown in (
            (1.0, r"1\.0"),
            (None, "None"),
            (True, "True"),
            ((1, None), "None"),
            (("same", "same"), "same"),
            (((1, 1.0), 1), r"1\.0"),
            (b"same", "b'same'"),
            ({"h": 1}, "h"),
            ("\ud800", "ud800"),
            (BrokenRepr(), "BrokenRepr"),
        )
    ),
    *(
        (
            lambda m=mode: fc.conv1d(np.ones((2, 3, 0)), np.ones((1, 3, 1)), padding=1, padding_mode=m),
            ValueError,
            rf"'{mode}' .*size 0",
        )
        for mode in ("reflect", "replicate", "circular", "symmetric")
    ),
    (
        lambda: fc.conv1d_grad_input(np.ones((2, 1, 2)), np.ones((1, 3, 1)), (0,), padding=1, padding_mode="reflect"),
        ValueError,
        r"'reflect' .*size 0",
    ),
]

NAMES: list[Bad] = [
    (lambda: forward(padding_mode="mirror"), ValueError, r"padding_mode must be one of 'zeros'.*'mirror'"),
    (lambda: forward(padding_mode="Zeros"), ValueError, r"padding_mode .*'Zeros'"),
    (lambda: forward(padding_mode=("zeros",)), ValueError, r"padding_mode .*\(2\).*\('zeros',\)"),
    (lambda: forward(padding_mode=("zeros", "bad")), ValueError, r"padding_mode .*'bad'"),
    (lambda: forward(padding_mode=None), TypeError, r"padding_mode .*None"),
    (lambda: forward(padding_mode=("zeros", 1)), TypeError, r"padding_mode .*1"),
    (lambda: forward(padding_mode=b"zeros"), TypeError, r"padding_mode .*b'zeros'"),
    (lambda: forward(padding_mode="\ud800"), TypeError, r"padding_mode .*ud800"),
    (lambda: forward(activation="swish"), ValueError, r"activation .*'relu'.*'swish'"),
    (lambda: forward(activation=np.tanh), TypeError, r"activation .*ufunc"),
    (lambda: forward(activation=True), TypeError, r"activation .*True"),
    (lambda: forward(algorithm="gemm"), ValueError, r"algorithm .*'auto'.*'gemm'"),
    (lambda: forward(algorithm=None), TypeError, r"algorithm .*None"),
    (lambda: grad_input(algorithm="gemm"), ValueError, r"algorithm .*'gemm'"),
    (lambda: grad_weight(padding_mode="gemm"), ValueError, r"padding_mode .*'gemm'"),
    (lambda: transpose(activation="gemm"), ValueError, r"activation .*'gemm'"),
    *(
        (lambda v=value: forward(flip=v), TypeError, rf"flip must be True or False, got {shown}")
        for value, shown in (("yes", "'yes'"), (1, "1"), (None, "None"), ([], r"\[\]"))
    ),
    (lambda: explain(direction="back"), ValueError, r"direction .*'grad_input'.*'back'"),
    (lambda: explain(direction=1), TypeError, r"direction .*1"),
    (lambda: explain(dtype=np.int32), TypeError, r"dtype .*int32"),
    (lambda: explain(dtype=">f4"), TypeError, r"dtype .*>f4"),
    (lambda: explain(dtype="what"), TypeError, r"dtype .*'what'"),
    (lambda: explain(dtype=None), TypeError, r"dtype .*None"),
    (lambda: explain(dtype=np.ones(2)), TypeError, r"dtype .*array\(\[1., 1.\]\)"),
    (lambda: fc.nn.Linear(2, 2).to(None), TypeError, r"dtype .*None"),
    (lambda: fc.nn.Linear(2, 2).to("what"), TypeError, r"dtype .*'what'"),
    (lambda: fc.explain((2, 4, 8, 9), np.array(4)), ValueError, r"weight_shape .*4"),
    (lambda: fc.explain((2, 4, 8, 9), 4), ValueError, r"weight_shape .*4"),
    (lambda: fc.conv2d_backward(G, X, W, needs=3), ValueError, r"needs .*3"),
    (lambda: fc.conv2d_backward(G, X, W, needs=np.array(3)), ValueError, r"needs .*array\(3\)"),
    (lambda: fc.conv2d_backward(G, X, W, needs=X), ValueError, r"needs "),
    (lambda: fc.conv2d_backward(G, X, W, needs="input"), ValueError, r"needs .*'input'"),
    (lambda: fc.conv2d_backward(G, X, W, needs=("input", "grad")), ValueError, r"needs .*'grad'"),
    (lambda: fc.conv_transpose2d_backward(G, XT, WT, needs=["output"]), ValueError, r"needs .*'output'"),
]


BACKWARD: list[Bad] = [
    (call, error, message)
    for needs in ((), ("bias",), ("weight",), ("input",))
    for call, error, message in (
        (lambda n=needs: fc.conv2d_backward(G[:, :, :5], X, W, needs=n), ValueError, r"grad_output .*\(2, 6, 5, 7\)"),
        (lambda n=needs: fc.conv2d_backward(G[:1], X, W, needs=n), ValueError, r"grad_output .*\(1, 6, 6, 7\)"),
        (lambda n=needs: fc.conv2d_backward(G.astype("f4"), X, W, needs=n), TypeError, r"grad_output .*float32"),
        (lambda n=needs: fc.conv2d_backward(G, X, W.astype("f4"), needs=n), TypeError, r"weight .*float32"),
        (lambda n=needs: fc.conv2d_backward(G, X, W[:, :3], needs=n), ValueError, r"weight has 3 channels"),
        (lambda n=needs: fc.conv2d_backward(G, X, W, "1", needs=n), TypeError, r"stride .*'1'"),
        (lambda n=needs: fc.conv2d_backward(G, X, W, algorithm="gemm", needs=n), ValueError, r"algorithm .*'gemm'"),
    )
]


PACKED: list[Bad] = [
    (lambda: fc.PackedConv2d(W, np.ones(6, "f4")), TypeError, "weight and bias must have one dtype, got float64 and"),
    (lambda: fc.PackedConv2d(W, np.ones(5)), ValueError, r"bias must have shape \(6,\), got \(5,\)"),
]


class Refuses:
    """An array that will not be one, as PyTorch's tensors that record gradients."""

    def __array__(self, *_: Any) -> Any:
        raise RuntimeError("not today")


REFUSED: list[Bad] = [
    (call, TypeError, rf"{name} must be an array, got <class '.*Refuses'>: not today")
    for call, name in (
        (lambda: forward(Refuses()), "input"),
        (lambda: forward(w=Refuses()), "weight"),
        (lambda: fc.pad_backward(X, Refuses(), (1, 1)), "input"),
        (lambda: fc.global_avg_pool(Refuses()), "input"),
        (lambda: fc.max_unpool2d(X, Refuses(), 2), "indices"),
        (lambda: fc.fractional_max_pool2d(Refuses(), 2, 3), "input"),
    )
]

MASKED = np.ma.masked_array(X, mask=X > 2)
INDICES = np.ma.masked_array(np.zeros((2, 4, 4, 4), np.int64))
MASKS: list[Bad] = [
    (call, TypeError, rf"{name} is a masked array, .*\.filled\(value\)")
    for call, name in (
        (lambda: forward(MASKED), "input"),
        (lambda: forward(w=np.ma.masked_array(W)), "weight"),
        (lambda: forward(b=np.ma.masked_array(np.ones(6))), "bias"),
        (lambda: forward(out=np.ma.masked_array(np.empty_like(G))), "out"),
        (lambda: grad_input(np.ma.masked_array(G)), "grad_output"),
        (lambda: fc.max_pool2d(MASKED, 2), "input"),
        (lambda: fc.max_unpool2d(X[:, :, :4, :4], INDICES, 2), "indices"),
        (lambda: fc.pad(MASKED, (1, 1)), "input"),
        (lambda: fc.unfold(MASKED, 2), "input"),
        (lambda: fc.signal.correlate2d(MASKED[0, 0], W[0, 0]), "in1"),
        (lambda: fc.signal.correlate2d(X[0, 0], np.ma.masked_array(W[0, 0])), "in2"),
        (lambda: fc.ndimage.uniform_filter(MASKED), "input"),
        (lambda: fc.ndimage.correlate(X[0, 0], np.ma.masked_array(W[0, 0])), "weights"),
        (lambda: fc.nn.MSELoss()(X, MASKED), "target"),
        (lambda: fc.nn.Linear(9, 2).to(np.float64)(MASKED), "input"),
        (lambda: fc.train.evaluate(fc.nn.Sequential(), (MASKED, np.ones(2)), "mse"), "data"),
    )
]


def strided(*strides: int) -> Any:
    return np.lib.stride_tricks.as_strided(np.zeros(10_000), (2, 6, 6, 7), strides)


SHARED = np.ones(1000)


def misaligned() -> Any:
    return np.zeros(2 * 6 * 6 * 7 * 8 + 8, np.uint8)[3:-5].view(np.float64).reshape(2, 6, 6, 7)


OUT: list[Bad] = [
    (lambda: forward(out=np.empty((2, 6, 6, 6))), ValueError, r"out has shape \(2, 6, 6, 6\).*\(2, 6, 6, 7\)"),
    (lambda: forward(out=np.empty((6, 6, 7))), ValueError, r"out has shape \(6, 6, 7\)"),
    (lambda: forward(X[0], out=np.empty((1, 6, 6, 7))), ValueError, r"out has shape .*\(6, 6, 7\)"),
    (lambda: forward(out=np.empty((2, 6, 6, 7), np.float32)), TypeError, r"out has dtype float32.*float64"),
    (lambda: forward(out=np.empty((2, 6, 6, 7), np.int64)), TypeError, r"out has dtype int64"),
    (lambda: forward(out=np.empty((2, 6, 6, 7), ">f8")), TypeError, r"out has dtype >f8"),
    (lambda: forward(out=[[0.0]]), TypeError, r"out must be a numpy array, got <class 'list'>"),
    (lambda: forward(out=memoryview(np.empty(504).data)), TypeError, r"out must be a numpy array"),
    (lambda: forward(out=read_only(np.empty((2, 6, 6, 7)))), ValueError, r"out is read-only"),
    (lambda: forward(out=np.broadcast_to(np.empty(7), (2, 6, 6, 7))), ValueError, r"out (is read-only|has elements)"),
    (lambda: forward(out=strided(0, 336, 56, 8)), ValueError, r"out has elements that share memory.*\(0, 336, 56, 8\)"),
    (lambda: forward(out=strided(2016, 336, 48, 8)), ValueError, r"out has elements that share memory"),
    (lambda: forward(out=misaligned()), ValueError, r"out is not aligned"),
    (
        lambda: forward(out=np.lib.stride_tricks.as_strided(X, G.shape, (2016, 336, 56, 8))),
        ValueError,
        r"out shares memory",
    ),
    (
        lambda: forward(w=SHARED[:216].reshape(W.shape), out=SHARED[200:704].reshape(G.shape)),
        ValueError,
        r"out shares",
    ),
    (lambda: grad_input(out=np.empty((2, 4, 8, 8))), ValueError, r"out has shape \(2, 4, 8, 8\).*\(2, 4, 8, 9\)"),
    (lambda: grad_input(out=np.empty((2, 4, 8, 9), np.float32)), TypeError, r"out has dtype float32"),
    (lambda: grad_weight(out=np.empty((6, 4, 3, 2))), ValueError, r"out has shape \(6, 4, 3, 2\).*\(6, 4, 3, 3\)"),
    (lambda: grad_weight(out=read_only(np.empty((6, 4, 3, 3)))), ValueError, r"out is read-only"),
    (lambda: fc.conv2d_grad_bias(G, out=np.empty(5)), ValueError, r"out has shape \(5,\).*\(6,\)"),
    (lambda: fc.conv2d_grad_bias(g := np.ones(G.shape), out=g[0, :, 0, 0]), ValueError, r"out shares memory"),
    (lambda: transpose(out=np.empty((2, 3, 7, 7))), ValueError, r"out has shape \(2, 3, 7, 7\).*\(2, 3, 7, 8\)"),
]

HUGE = 2**40


def endless(*shape: int) -> Any:
    """An array of any size in the memory of one number."""
    return np.broadcast_to(np.float32(1), shape)


SIZES: list[Bad] = [
    (lambda: forward(padding=2**62), ValueError, r"padding: the size overflows"),
    (lambda: forward(padding=2**63 - 1), ValueError, r"padding: the size overflows"),
    (lambda: forward(padding=((0, 2**63 - 1), 0)), ValueError, r"padding: the size overflows"),
    (lambda: forward(dilation=2**62), ValueError, r"dilation: the size overflows"),
    (lambda: forward(dilation=2**63 - 1, padding="full"), ValueError, r"(dilation|padding): the size overflows"),
    (lambda: forward(dilation=2**63 - 1, padding="same"), ValueError, r"(dilation|padding): the size overflows"),
    (lambda: forward(padding=2**61), ValueError, r"output: the size overflows"),
    (
        lambda: fc.conv2d(endless(1, 1, 2**30, 2**30), endless(4, 1, 1, 1), padding=2**31),
        ValueError,
        r"input: the size overflows",
    ),
    (
        lambda: fc.conv1d(endless(HUGE, 1, 1), endless(HUGE, 1, 1)),
        ValueError,
        r"output: the size overflows",
    ),
    (lambda: grad_input(size=(2**63, 9)), ValueError, r"input_size .*9223372036854775808"),
    (lambda: grad_input(size=(2**63 - 1, 9), padding=1), ValueError, r"overflows"),
    (lambda: grad_weight(k=2**62, dilation=4), ValueError, r"overflows"),
    (lambda: transpose(stride=2**62), ValueError, r"stride: the size overflows"),
    (lambda: transpose(dilation=2**62), ValueError, r"dilation: the size overflows"),
    (lambda: transpose(padding=2**63 - 1), ValueError, r"padding"),
    (lambda: transpose(padding=((2**63 - 1, 2**63 - 1), 0)), ValueError, r"padding: the size overflows"),
    (lambda: transpose(stride=2**61, output_padding=2**60), ValueError, r"(stride|output_padding|output): .*overflows"),
    (lambda: transpose(w=endless(4, 3, 1, 1).astype("f8"), groups=2**62), ValueError, r"groups"),
    (lambda: fc.explain((1, 1, 2**62, 2**62), (1, 1, 1, 1)), ValueError, r"input: the size overflows"),
]

TABLES = {
    "shapes": SHAPES,
    "arrays": ARRAYS,
    "steps": STEPS,
    "padding": PADDING,
    "names": NAMES,
    "backward": BACKWARD,
    "masks": MASKS,
    "refused": REFUSED,
    "packed": PACKED,
    "out": OUT,
    "sizes": SIZES,
}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [pytest.param(*bad, id=f"{table}{i}") for table, rows in TABLES.items() for i, bad in enumerate(rows)],
)
def test_bad_call(call: Call, error: type[Exception], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        call()
    assert caught.type is error


def test_a_failed_call_leaves_out_alone() -> None:
    out = np.full((2, 6, 6, 7), 7.0)
    with pytest.raises(ValueError, match="bias"):
        forward(b=np.ones(5), out=out)
    assert (out == 7).all()


def test_out_between_the_input_s_elements() -> None:
    """Halves of the channels of one batch, as dense networks keep them: in each other's bounds, and apart."""
    both = np.zeros((2, 8, 6, 7))
    both[:, :4] = np.arange(2 * 4 * 6 * 7).reshape(2, 4, 6, 7)
    w = np.ones((4, 4, 3, 3))
    want = fc.conv2d(both[:, :4].copy(), w, padding=1)
    assert fc.conv2d(both[:, :4], w, padding=1, out=both[:, 4:]).base is both
    np.testing.assert_array_equal(both[:, 4:], want)
    with pytest.raises(ValueError, match="out shares memory"):
        fc.conv2d(both[:, :4], w, padding=1, out=both[:, 3:7])


def test_strides_larger_than_any_image_are_fine() -> None:
    """Large numbers that do not overflow are not refused."""
    assert forward(stride=2**63 - 1).shape == (2, 6, 1, 1)
    assert forward(stride=2**63 - 1, padding="same").shape == (2, 6, 1, 1)
    assert forward(X[..., :1, :1], np.ones((6, 4, 1, 1)), dilation=2**63 - 1).shape == (2, 6, 1, 1)
    far = fc.conv1d(X1, np.ones((1, 4, 1)), padding=2**40, stride=2**40, padding_mode="circular")
    assert far.shape == (2, 1, 3) and (far == 4).all()
    assert fc.conv1d(X1, np.ones((1, 4, 1)), padding=2**40, stride=2**40).ravel().tolist() == [0, 4, 0] * 2


def test_endless_input_behind_a_large_stride() -> None:
    y = fc.conv2d(endless(1, 2, HUGE, 3), endless(3, 2, 3, 3), stride=HUGE // 2, padding=1)
    assert y.shape == (1, 3, 2, 1) and y.dtype == np.float32
    assert (y[0, 0] == [[8], [12]]).all()
