"""Arguments that are no ndarrays but that numpy can view without a copy, and ndarrays of unusual descent."""

from __future__ import annotations

import array
import ctypes
import tracemalloc
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import interop

X = np.arange(2 * 3 * 6 * 7, dtype=np.float32).reshape(2, 3, 6, 7) % 11
W = np.arange(4 * 3 * 3 * 3, dtype=np.float32).reshape(4, 3, 3, 3) % 7
B = np.array([1, -2, 3, 0], np.float32)
EXPECTED = fc.conv2d(X, W, B)


class ArrayOnly:
    def __init__(self, a: Any) -> None:
        self.a = a

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.a


class InterfaceOnly:
    def __init__(self, a: Any) -> None:
        self.keep, self.__array_interface__ = a, a.__array_interface__


class DLPackOnly:
    def __init__(self, a: Any) -> None:
        self.a = a

    def __dlpack__(self, **options: Any) -> Any:
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.a.__dlpack_device__()


class Subclass(np.ndarray[Any, Any]):
    pass


@pytest.mark.parametrize(
    "wrap",
    [memoryview, ArrayOnly, InterfaceOnly, DLPackOnly, lambda a: a.view(Subclass), lambda a: ArrayOnly(a[::-1])],
    ids=["memoryview", "__array__", "__array_interface__", "dlpack", "subclass", "reversed"],
)
def test_things_that_are_arrays(wrap: Any) -> None:
    for x, w, b in ((wrap(X), W, B), (X, wrap(W), B), (X, W, wrap(B)), (wrap(X), wrap(W), wrap(B))):
        plain = [np.asarray(getattr(v, "a", v)) for v in (x, w, b)]
        got = fc.conv2d(x, w, b)
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, fc.conv2d(*plain))


def test_array_array() -> None:
    b = array.array("f", B)
    np.testing.assert_array_equal(fc.conv2d(X, W, b), EXPECTED)


def test_memoryview_of_bytes() -> None:
    x = memoryview(X.tobytes()).cast("f", X.shape)
    np.testing.assert_array_equal(fc.conv2d(x, W, B), EXPECTED)


def test_ctypes() -> None:
    b = (ctypes.c_float * 4)(*B)
    np.testing.assert_array_equal(fc.conv2d(X, W, b), EXPECTED)


def test_memmap(tmp_path: Any) -> None:
    X.tofile(tmp_path / "x")
    x = np.memmap(tmp_path / "x", np.float32, "r", shape=X.shape)
    out = np.memmap(tmp_path / "y", np.float32, "w+", shape=EXPECTED.shape)
    assert fc.conv2d(x, W, B, out=out) is out
    np.testing.assert_array_equal(out, EXPECTED)


def test_fields_of_a_structured_array() -> None:
    """Strides that are no multiple of the element's size, and addresses between elements."""
    for padding in (1, 2, 4, 3):
        records = np.zeros(X.shape, [("skip", f"V{padding}"), ("value", "f4")])
        records["value"] = X
        np.testing.assert_array_equal(fc.conv2d(records["value"], W, B), EXPECTED)


def test_misaligned_buffer() -> None:
    for offset in (1, 2, 3):
        raw = np.zeros(X.nbytes + 4, np.uint8)
        x = raw[offset : offset + X.nbytes].view(np.float32).reshape(X.shape)
        x[...] = X
        np.testing.assert_array_equal(fc.conv2d(x, W, B), EXPECTED)


def test_real_part_of_a_complex_array() -> None:
    z = (X + 1j * 99).astype(np.complex64)
    np.testing.assert_array_equal(fc.conv2d(z.real, W, B), EXPECTED)


def test_native_byte_order_by_name() -> None:
    np.testing.assert_array_equal(fc.conv2d(X.astype(np.dtype("f4").newbyteorder("=")), W, B), EXPECTED)


def test_gradients_take_the_same() -> None:
    g = np.ones_like(EXPECTED)
    expected = fc.conv2d_backward(g, X, W)
    wraps: list[Any] = [memoryview, DLPackOnly, ArrayOnly]
    for wrap in wraps:
        np.testing.assert_array_equal(fc.conv2d_grad_input(wrap(g), wrap(W), X.shape), expected.input)
        np.testing.assert_array_equal(fc.conv2d_grad_weight(wrap(g), wrap(X), 3), expected.weight)
        np.testing.assert_array_equal(fc.conv2d_grad_bias(wrap(g)), expected.bias)


@pytest.mark.parametrize("wrap", [memoryview, ArrayOnly, DLPackOnly])
def test_every_function_takes_the_same(wrap: Any) -> None:
    """Shapes and dtypes are read of anything that is an array to the core, indices too."""
    x, w, g = (wrap(a.astype(np.float64)) for a in (X, W, np.ones_like(EXPECTED)))
    expected = fc.conv2d_backward(np.ones(EXPECTED.shape), X.astype(float), W.astype(float))
    for got, want in zip(fc.conv2d_backward(g, x, w), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    back = fc.pad_backward(wrap(np.ones((2, 3, 6, 9))), x, (1, 1))
    np.testing.assert_array_equal(back, np.ones(X.shape))
    assert fc.global_avg_pool(x).shape == (2, 3, 1, 1)
    assert fc.fractional_max_pool2d(x, 2, 3, seed=1).dtype == np.float64
    y, at = fc.max_pool2d(x, 2, return_indices=True)
    again = fc.max_unpool2d(wrap(y), wrap(at), 2, output_size=X.shape)
    np.testing.assert_array_equal(again, fc.max_unpool2d(y, at, 2, output_size=X.shape))
    assert fc.adaptive_avg_pool2d(x, np.array([2, 1])).shape == (2, 3, 2, 1)
    np.testing.assert_array_equal(fc.unfold(X[0], np.array([3])), fc.unfold(X[0], (3,)))


class Broken:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise ValueError("cannot be had")


def test_an_array_that_fails_has_the_last_word() -> None:
    with pytest.raises(TypeError, match=r"input must be an array, got <class '.*Broken'>: cannot be had") as raised:
        fc.conv2d(Broken(), W)
    assert isinstance(raised.value.__cause__, ValueError)


def test_a_tensor_that_records_gradients() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"weight must be an array, got .*Tensor'>: .*requires grad.*detach"):
        fc.conv2d(X, torch.ones(W.shape, dtype=torch.float64, requires_grad=True))


def test_an_array_of_something_else() -> None:
    with pytest.raises(TypeError, match="input has dtype int64"):
        fc.conv2d(ArrayOnly(X.astype(np.int64)), W)
    with pytest.raises(TypeError, match="input has dtype"):
        fc.conv2d(np.ndarray, W)  # the class, not an array


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    x, w, b = (torch.from_numpy(a.copy()) for a in (X, W, B))
    np.testing.assert_array_equal(fc.conv2d(x, w, b), EXPECTED)
    np.testing.assert_array_equal(fc.conv2d(x.contiguous(memory_format=torch.channels_last), w, b), EXPECTED)
    with pytest.raises(TypeError, match="input has dtype float16"):
        fc.conv2d(x.half(), w, b)


def tensor_of(name: str) -> Any:
    """A function from numpy arrays to arrays of another library."""
    if name == "torch":
        return pytest.importorskip("torch").from_numpy
    if name == "torch subclass":
        torch = pytest.importorskip("torch")
        return lambda a: torch.from_numpy(a).as_subclass(type("Mine", (torch.Tensor,), {}))
    if name == "jax":
        return pytest.importorskip("jax.numpy").asarray
    if name == "array_api_strict":
        return pytest.importorskip("array_api_strict").asarray
    return memoryview


LIBRARIES = ["memoryview", "torch", "torch subclass", "jax", "array_api_strict"]
KINDS = {"torch subclass": "torch"}


@pytest.mark.parametrize("name", LIBRARIES)
def test_results_of_the_callers_kind(name: str) -> None:
    wrap = tensor_of(name)
    kind = type(tensor_of(KINDS.get(name, name))(X))
    y = interop.conv2d(wrap(X), W, B)
    assert type(y) is kind
    np.testing.assert_array_equal(np.asarray(y), EXPECTED)
    pooled, indices = interop.max_pool2d(wrap(X), 2, return_indices=True)
    assert type(pooled) is type(indices) is kind
    np.testing.assert_array_equal(np.asarray(indices), fc.max_pool2d(X, 2, return_indices=True)[1])
    grads = interop.conv2d_backward(wrap(np.ones_like(EXPECTED)), X, W, needs=("weight",))
    assert type(grads) is fc.ConvGrads and grads.input is None
    assert type(grads.weight) is kind
    assert type(interop.as_caller(fc.PackedConv2d(W))(wrap(X))) is kind


def test_numpy_stays_numpy() -> None:
    assert type(interop.conv2d(X, memoryview(W), B)) is np.ndarray
    assert type(interop.conv2d(weight=W, input=memoryview(X))) is np.ndarray  # the first one given counts
    assert type(interop.conv2d(ArrayOnly(X), W, B)) is np.ndarray
    assert interop.explain(X.shape, W.shape) == fc.explain(X.shape, W.shape)


@pytest.mark.parametrize("name", ["memoryview", "torch"])
def test_out_of_the_callers_kind(name: str) -> None:
    memory = np.zeros_like(EXPECTED)
    out = tensor_of(name)(memory)
    assert interop.conv2d(X, W, B, out=out) is out
    np.testing.assert_array_equal(memory, EXPECTED)


def test_out_that_cannot_be_shared() -> None:
    with pytest.raises(TypeError, match="out must share its memory"):
        interop.conv2d(X, W, B, out=EXPECTED.tolist())
    with pytest.raises(ValueError, match="out is read-only"):
        interop.conv2d(X, W, B, out=memoryview(EXPECTED.tobytes()).cast("f", EXPECTED.shape))


@pytest.mark.parametrize("name", ["memoryview", "dlpack", "torch", "jax"])
def test_nothing_is_copied(name: str) -> None:
    """A call allocates its result, a ninth of the input, and little more."""
    x = np.zeros((1, 4, 300, 300), np.float32)
    wrapped = DLPackOnly(x) if name == "dlpack" else tensor_of(name)(x)
    interop.avg_pool2d(wrapped, 3)
    tracemalloc.start()
    try:
        result = interop.avg_pool2d(wrapped, 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert x.nbytes // 9 <= peak < x.nbytes // 4
    assert tuple(result.shape) == (1, 4, 100, 100)


def test_interop_has_every_function() -> None:
    for name in dir(interop):
        assert callable(getattr(interop, name)), name
    assert {"conv3d", "conv_transpose1d_backward", "max_unpool2d", "pad", "unfold"} <= set(dir(interop))
    with pytest.raises(AttributeError, match="no attribute 'PackedConv2d'"):
        interop.__getattr__("PackedConv2d")
