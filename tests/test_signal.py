"""fastconv.signal gives what scipy.signal gives: modes, boundaries, dtypes, sizes, its own examples; and its errors."""

from __future__ import annotations

import doctest
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, integers, numbers

import fastconv
from fastconv import signal

scipy_signal = pytest.importorskip("scipy.signal")

MODES = ["full", "same", "valid"]
DTYPES = ["b1", "i1", "u1", "i2", "u4", "i8", "f4", "f8", "c8", "c16"]
SHAPES = [  # of in1 and in2
    ((7,), (3,)),
    ((3,), (8,)),
    ((1,), (1,)),
    ((4,), (4,)),
    ((31,), (2,)),
    ((5, 7), (3, 3)),
    ((5, 7), (2, 4)),
    ((2, 3), (5, 4)),
    ((1, 1), (3, 2)),
    ((3, 8), (4, 3)),
    ((6, 1), (1, 3)),
    ((4, 3, 5), (2, 3, 2)),
    ((2, 2, 2), (3, 4, 5)),
    ((3, 2, 4), (1, 3, 1)),
]


def agree(ours: Any, theirs: Any, *args: Any, **options: Any) -> None:
    """Both give the same array, or both refuse."""
    try:
        expected = theirs(*args, **options)
    except ValueError:
        with pytest.raises(ValueError):
            ours(*args, **options)
        return
    got = ours(*args, **options)
    assert np.asarray(got).dtype == expected.dtype and np.shape(got) == expected.shape
    if expected.dtype.kind in "fc":
        largest = np.abs(expected).max(initial=1, where=np.isfinite(expected))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * largest)
    else:
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
def test_convolve_and_correlate(rng: np.random.Generator, name: str, method: str) -> None:
    for (n, k), mode, dtype in product(SHAPES, MODES, ["i4", "f4", "f8", "c8", "c16"]):
        a, b = numbers(rng, n, dtype), numbers(rng, k, dtype)
        agree(getattr(signal, name), getattr(scipy_signal, name), a, b, mode, method)


@pytest.mark.parametrize("name", ["fftconvolve", "oaconvolve"])
def test_fourier(rng: np.random.Generator, name: str) -> None:
    for (n, k), mode, dtype in product(SHAPES, MODES, ["f4", "f8", "c8"]):
        a, b = numbers(rng, n, dtype), numbers(rng, k, dtype)
        if mode == "valid" and not (all(map(int.__ge__, n, k)) or all(map(int.__le__, n, k))):
            continue  # there an axis of one element is broadcast, not convolved
        agree(getattr(signal, name), getattr(scipy_signal, name), a, b, mode)
    whole = integers(rng, (6, 5), np.int16)
    agree(getattr(signal, name), getattr(scipy_signal, name), whole, whole)
    agree(getattr(signal, name), getattr(scipy_signal, name), whole, whole.astype(np.float16))


@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
@pytest.mark.parametrize("boundary", ["fill", "wrap", "symm", "circular", "symmetric", "pad"])
def test_planes(rng: np.random.Generator, name: str, boundary: str) -> None:
    for (n, k), mode, dtype in product([s for s in SHAPES if len(s[0]) == 2], MODES, ["i4", "f4", "f8", "c16"]):
        a, b = numbers(rng, n, dtype), numbers(rng, k, dtype)
        if name == "correlate2d" and mode == "valid" and dtype == "c16" and all(map(int.__le__, n, k)):
            continue  # there SciPy conjugates the other operand than everywhere else
        agree(getattr(signal, name), getattr(scipy_signal, name), a, b, mode, boundary)


@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
@pytest.mark.parametrize("fillvalue", [2, -1, 1e6, np.inf])
def test_fillvalue(rng: np.random.Generator, name: str, fillvalue: float) -> None:
    for (n, k), mode in product([s for s in SHAPES if len(s[0]) == 2], MODES):
        a, b = integers(rng, n, np.float64), integers(rng, k, np.float64, 1, 3)
        agree(getattr(signal, name), getattr(scipy_signal, name), a, b, mode, fillvalue=fillvalue)


@pytest.mark.parametrize("kernel", [(11, 0), (0, 3)])
def test_a_kernel_without_elements(kernel: tuple[int, int]) -> None:
    for mode in ("full", "same"):
        for fillvalue in (0, 1.5):
            got = signal.convolve2d(np.ones((1, 12)), np.ones(kernel), mode, "fill", fillvalue)
            want = scipy_signal.convolve2d(np.ones((1, 12)), np.ones(kernel), mode, "fill", fillvalue)
            np.testing.assert_array_equal(got, want, strict=True)


def test_a_large_fillvalue_leaves_the_inside_alone(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((9, 9)).astype(np.float32), np.ones((3, 3), np.float32)
    got = signal.convolve2d(x, w, "same", fillvalue=1e20)
    np.testing.assert_array_equal(got[1:-1, 1:-1], signal.convolve2d(x, w, "valid"))


@pytest.mark.parametrize(("one", "two"), list(product(DTYPES, DTYPES)))
def test_dtypes(rng: np.random.Generator, one: str, two: str) -> None:
    a, b = numbers(rng, (5, 4), one), numbers(rng, (2, 3), two)
    dtype = np.result_type(a, b)
    wide = np.complex128 if dtype.kind == "c" else np.int64 if dtype.kind in "biu" else np.float64
    expected = scipy_signal.convolve2d(a.astype(wide), b.astype(wide))
    for function in (signal.convolve2d, signal.convolve):
        got = function(a, b)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected.astype(dtype))


@pytest.mark.parametrize("dtype", ["i8", "u8", "i4", "u1"])
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
def test_integers_are_exact_to_their_width(rng: np.random.Generator, dtype: str, method: str) -> None:
    info = np.iinfo(dtype)
    for bits in (8, 20, 31, 47, 63):
        low, high = max(int(info.min), -(2**bits)), min(int(info.max), 2**bits)
        a = rng.integers(low, high, (9, 8), dtype=dtype, endpoint=True)
        b = rng.integers(low, high, (4, 3), dtype=dtype, endpoint=True)
        full = np.zeros((12, 10), object)
        for i, j in np.ndindex(b.shape):
            full[i : i + 9, j : j + 8] += a.astype(object) * int(b[i, j])
        wrapped = (full - int(info.min)) % 2 ** (8 * a.itemsize) + int(info.min)
        assert (signal.convolve(a, b, method=method).astype(object) == wrapped).all()


def test_large_integers_by_fourier_transforms(rng: np.random.Generator) -> None:
    a, b = rng.integers(-100, 100, (90, 80)), rng.integers(-100, 100, (40, 33))
    np.testing.assert_array_equal(signal.convolve(a, b), scipy_signal.convolve2d(a, b))
    np.testing.assert_array_equal(signal.correlate(a, b, "same", "fft"), scipy_signal.correlate(a, b, "same", "direct"))


@pytest.mark.parametrize("mode", MODES)
def test_several_images_and_kernels(rng: np.random.Generator, mode: str) -> None:
    images, kernels = integers(rng, (4, 9, 8), np.float32), integers(rng, (3, 3, 2), np.float32)
    got = signal.correlate(images[:, None], kernels, mode, axes=(-2, -1))
    planes = signal.correlate2d(images[:, None], kernels, mode, "wrap", axes=(-2, -1))
    for n, k in np.ndindex(4, 3):
        np.testing.assert_array_equal(got[n, k], scipy_signal.correlate(images[n], kernels[k], mode))
        np.testing.assert_array_equal(planes[n, k], scipy_signal.correlate2d(images[n], kernels[k], mode, "wrap"))


def test_axes_broadcast_in_pairs_and_in_any_order(rng: np.random.Generator) -> None:
    a, b = integers(rng, (5, 3, 2, 6), np.float64), integers(rng, (3, 3, 1, 2), np.float64)
    for mode in MODES:
        agree(signal.fftconvolve, scipy_signal.fftconvolve, a, b, mode, axes=(3, 0))
        agree(signal.oaconvolve, scipy_signal.oaconvolve, a, b, mode, axes=[-1, 0])
        agree(signal.fftconvolve, scipy_signal.fftconvolve, a, b[:1], mode, axes=3)
    image = integers(rng, (2, 3, 4, 5, 6), np.float64)
    agree(signal.fftconvolve, scipy_signal.fftconvolve, image, integers(rng, (1, 1, 3, 2, 2), np.float64), "same")


def test_complex_groups(rng: np.random.Generator) -> None:
    a, b = numbers(rng, (2, 3, 7), "c16"), numbers(rng, (1, 3, 4), "c16")
    agree(signal.fftconvolve, scipy_signal.fftconvolve, a, b, "full", axes=2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(rng: np.random.Generator, layout: str) -> None:
    a, b = integers(rng, (6, 7), np.float32), integers(rng, (3, 2), np.float32)
    expected = scipy_signal.convolve2d(a, b)
    np.testing.assert_array_equal(signal.convolve2d(LAYOUTS[layout](a), LAYOUTS[layout](b)), expected)


def test_numbers_lists_and_byte_orders() -> None:
    assert signal.convolve(3.0, 2.0) == 6.0
    assert signal.correlate(3, 2j) == -6j
    assert signal.convolve([1, 2], [3]).tolist() == [3, 6]
    swapped = np.arange(4.0).astype(">f8")
    np.testing.assert_array_equal(signal.convolve(swapped, swapped), np.convolve(swapped, swapped))


def test_without_elements() -> None:
    for n, k, mode in product([(0, 3), (3, 3), (3, 0)], [(2, 2), (0, 2)], MODES):
        if (n, k) == ((3, 3), (2, 2)) or (n, k) == ((0, 3), (0, 2)):
            continue
        agree(signal.convolve2d, scipy_signal.convolve2d, np.zeros(n), np.ones(k), mode)
        agree(signal.fftconvolve, scipy_signal.fftconvolve, np.zeros(n), np.ones(k), mode)
    assert signal.convolve(np.zeros((0, 3)), np.ones((2, 2))).shape == (1, 4)
    assert signal.correlate(np.zeros((0, 3)), np.ones((2, 2)), "same").shape == (0, 3)
    assert signal.convolve(np.zeros((0, 4, 4)), np.ones((1, 2, 2)), axes=(1, 2)).shape == (0, 5, 5)


ERRORS = [
    (ValueError, "mode must be one of 'full', 'same', 'valid', got 'fill'", ([1.0], [1.0], "fill"), {}),
    (ValueError, "method must be .* got 'slow'", ([1.0], [1.0], "full", "slow"), {}),
    (ValueError, "mode must be one of .* got array", (np.ones(2), np.ones(2), np.array(["full", "same"])), {}),
    (ValueError, "method must be one of .* got array", (np.ones(2), np.ones(2), "full", np.array(["fft", "auto"])), {}),
    (ValueError, r"as many axes, got shapes \(1,\) and \(1, 1\)", ([1.0], [[1.0]]), {}),
    (ValueError, r"1 to 3 axes can be convolved, got 4", (np.ones((2,) * 4), np.ones((2,) * 4)), {}),
    (ValueError, "axes must be different axes .* got 3", (np.ones((2, 2)), np.ones((2, 2))), {"axes": 3}),
    (ValueError, "axes must be different axes .* got 'a'", (np.ones((2, 2)), np.ones((2, 2))), {"axes": "a"}),
    (ValueError, "axes must be different axes", (np.ones((2, 2)), np.ones((2, 2))), {"axes": (0, -2)}),
    (ValueError, "axis 0 does not broadcast", (np.ones((2, 2)), np.ones((3, 2))), {"axes": 1}),
    (ValueError, r"mode='valid' .* got \(2, 3\) and \(3, 2\)", (np.ones((2, 3)), np.ones((3, 2)), "valid"), {}),
    (TypeError, "in1 has dtype float16", (np.ones(3, np.float16), np.ones(3)), {}),
    (TypeError, "in2 has dtype object", (np.ones(3), np.ones(3, object)), {}),
]


@pytest.mark.parametrize(("error", "message", "args", "options"), ERRORS)
def test_errors(error: type[Exception], message: str, args: Any, options: Any) -> None:
    for function in (signal.convolve, signal.correlate):
        with pytest.raises(error, match=message):
            function(*args, **options)


def test_errors_of_planes() -> None:
    plane = np.ones((3, 3))
    with pytest.raises(ValueError, match="boundary must be one of .* got 'mirror'"):
        signal.convolve2d(plane, plane, boundary="mirror")
    with pytest.raises(ValueError, match=r"two axes each.*\(3, 3\) and \(3,\)"):
        signal.correlate2d(plane, plane[0])
    with pytest.raises(ValueError, match="axes must be two axes, got 0"):
        signal.convolve2d(plane, plane, axes=0)
    with pytest.raises(ValueError, match="fillvalue must be a number"):
        signal.convolve2d(plane, plane, fillvalue=plane)
    with pytest.raises(ValueError, match="fillvalue must be a number, got 'a'"):
        signal.convolve2d(plane, plane, fillvalue="a")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_kernels_as_large_as_the_image(rng: np.random.Generator, dtype: str) -> None:
    for n, k in [
        ((300, 281), (280, 277)),
        ((90000,), (70001,)),
        ((20, 30, 41), (19, 30, 40)),
        ((270, 300), (300, 301)),
    ]:
        a, b = rng.standard_normal(n).astype(dtype), rng.standard_normal(k).astype(dtype)
        for mode in MODES:
            for name in ("convolve", "correlate"):
                expected = getattr(scipy_signal, name)(a.astype("f8"), b.astype("f8"), mode, "fft")
                got = getattr(signal, name)(a, b, mode)
                assert got.dtype == dtype and got.shape == expected.shape
                largest = np.linalg.norm(a) * np.linalg.norm(b)
                np.testing.assert_allclose(got, expected, atol=largest * 10 * np.finfo(dtype).eps, rtol=0)


def test_method_that_is_chosen(rng: np.random.Generator) -> None:
    small, large = rng.standard_normal((16, 16)), rng.standard_normal((300, 300))
    assert signal.choose_conv_method(large, small[:3, :3]) == "direct"
    assert signal.choose_conv_method(large, large) == "fft"
    assert signal.choose_conv_method(small, large, "valid") in ("direct", "fft")
    best, seconds = signal.choose_conv_method(large, small, measure=True)
    assert best in seconds and set(seconds) == {"direct", "fft"}


class _Redirected:
    """A module whose functions are ours where we have them: each result is compared with SciPy's."""

    def __init__(self, theirs: Any, ours: Any) -> None:
        self.theirs, self.ours = theirs, ours
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        theirs, ours = getattr(self.theirs, name), getattr(self.ours, name, None)
        if name not in self.ours.__all__ or name == "choose_conv_method":
            return theirs

        def both(*args: Any, **options: Any) -> Any:
            self.calls += 1
            expected, got = theirs(*args, **options), ours(*args, **options)
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
            return got

        return both


@pytest.mark.parametrize("name", [n for n in signal.__all__ if n != "choose_conv_method"])
def test_examples_of_scipy(name: str) -> None:
    """The statements of SciPy's docstring with our functions; those that draw or download are left out."""
    example = doctest.DocTestFinder(recurse=False).find(getattr(scipy_signal, name), name)[0]
    module = _Redirected(scipy_signal, signal)
    ndimage = pytest.importorskip("scipy.ndimage")
    face = np.random.default_rng(0).integers(0, 256, (512, 960), np.uint8)
    names: dict[str, Any] = {"signal": module, "np": np, "ndimage": ndimage, name: getattr(module, name)}
    pictures = {"face": face, "ascent": face[:90, :100]}
    names["datasets"] = type("datasets", (), {n: staticmethod(lambda p=p, **_: p) for n, p in pictures.items()})
    for part in example.examples:
        if not re.search(r"plt|fig|ax_|^from scipy|^import", part.source):
            exec(compile(part.source, name, "exec"), names)
    assert module.calls > 0


def test_is_a_part_of_the_package() -> None:
    assert fastconv.signal is signal
    outcome = doctest.testmod(signal.convolution)
    assert outcome.attempted > 5 and outcome.failed == 0
