"""fastconv.ndimage gives what scipy.ndimage gives: modes, origins, dtypes, sizes, axes, its examples; and errors."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from itertools import product
from typing import Any

import arrays
import numpy as np
import pytest
from arrays import LAYOUTS, integers

import fastconv
from fastconv import ndimage

scipy_ndimage = pytest.importorskip("scipy.ndimage")

MODES = ["reflect", "mirror", "nearest", "wrap", "constant", "grid-mirror", "grid-wrap", "grid-constant"]
DTYPES = ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
SHAPES = [(1,), (2,), (7,), (1, 1), (5, 6), (1, 8), (9, 2), (3, 4, 5), (2, 1, 3), (2, 3, 2, 3)]


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    return arrays.numbers(rng, shape, dtype, -40, 100)


def agree(name: str, *args: Any, **options: Any) -> None:
    expected = getattr(scipy_ndimage, name)(*args, **options)
    got = getattr(ndimage, name)(*args, **options)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    if got.dtype.kind in "fc":
        largest = max(np.abs(args[0]).max(initial=1), np.abs(expected).max(initial=1))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=(1e-12 if got.dtype.char in "dD" else 2e-6) * largest)
    else:
        np.testing.assert_array_equal(got, expected)


def origins(size: int) -> list[int]:
    return sorted({-(size // 2), 0, (size - 1) // 2})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["correlate", "convolve"])
def test_kernels(rng: np.random.Generator, name: str, mode: str) -> None:
    for shape, size, dtype in product(SHAPES[:-1], [1, 2, 3, 4, 7], ["f4", "f8", "i4", "u1"]):
        kernel = tuple(max(1, size - i) for i in range(len(shape)))
        for origin in origins(min(kernel)):
            x, w = numbers(rng, shape, dtype), integers(rng, kernel, np.float64)
            agree(name, x, w, mode=mode, cval=3, origin=origin)
            agree(name, x, w, mode=mode, cval=2.5, origin=origin)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["correlate1d", "convolve1d"])
def test_lines(rng: np.random.Generator, name: str, mode: str) -> None:
    for shape, size, dtype in product(SHAPES, [1, 2, 5, 8], ["f4", "i2"]):
        for axis, origin in product(range(len(shape)), origins(size)):
            x, w = numbers(rng, shape, dtype), integers(rng, (size,), np.float64)
            agree(name, x, w, axis, mode=mode, cval=-2.0, origin=origin)


@pytest.mark.parametrize("mode", MODES)
def test_uniform(rng: np.random.Generator, mode: str) -> None:
    for shape, size, dtype in product(SHAPES, [1, 2, 3, 6, 13, 16, 21], ["f4", "f8", "i4", "u1"]):
        for origin in origins(size):
            x = numbers(rng, shape, dtype)
            agree("uniform_filter", x, size, mode=mode, cval=7.0, origin=origin)
            agree("uniform_filter1d", x, size, len(shape) - 1, mode=mode, cval=0.0, origin=origin)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["maximum_filter", "minimum_filter"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1"])
def test_extremes(rng: np.random.Generator, name: str, mode: str, dtype: str) -> None:
    for shape, size in product(SHAPES, [1, 2, 3, 4, 9, 14, 30]):
        for origin in origins(size):
            x = numbers(rng, shape, dtype)
            agree(name, x, size, mode=mode, cval=20, origin=origin)
            agree(name + "1d", x, size, 0, mode=mode, cval=50, origin=origin)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["maximum_filter", "minimum_filter"])
def test_footprints(rng: np.random.Generator, name: str, mode: str) -> None:
    for shape, size, dtype in product(SHAPES, [2, 3, 5], ["f4", "f8", "i4", "u1", "b1"]):
        footprint = rng.random((size, *(size - 1 for _ in shape[1:]))) < 0.5
        footprint.flat[-1] = True
        x = numbers(rng, shape, dtype)
        for origin in origins(size - 1):
            cval = 1 if dtype == "b1" else 20
            agree(name, x, footprint=footprint, mode=mode, cval=cval, origin=origin)
    disk = np.hypot(*np.mgrid[-7:8, -7:8]) < 7.5
    agree(name, numbers(rng, (20, 23), "f4"), footprint=disk, mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
def test_gaussian(rng: np.random.Generator, mode: str, dtype: str) -> None:
    for shape in SHAPES:
        x = numbers(rng, shape, dtype)
        for sigma, order in product([0.6, 2.3], [0, 1, 2, 3]):
            agree("gaussian_filter", x, sigma, order, mode=mode, cval=4.0)
        agree("gaussian_filter", x, [0.5 + i for i in range(x.ndim)], [i % 3 for i in range(x.ndim)], mode=mode)
        agree("gaussian_filter1d", x, 1.5, 0, 1, mode=mode, radius=2)
        agree("gaussian_filter", x, 1.0, mode=mode, truncate=2.5)
        agree("gaussian_filter", x, 0, mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u1", "i1"])
def test_derivatives(rng: np.random.Generator, mode: str, dtype: str) -> None:
    for shape in SHAPES:
        x = numbers(rng, shape, dtype)
        for axis, name in product(range(len(shape)), ["sobel", "prewitt"]):
            agree(name, x, axis, mode=mode, cval=0)
            agree(name, x, axis, mode=mode, cval=2)
        agree("laplace", x, mode=mode, cval=2)
        if dtype[0] == "f":
            agree("gaussian_laplace", x, 1.2, mode=mode, cval=2)
            agree("gaussian_gradient_magnitude", x, [1.0] * x.ndim, mode=mode, cval=2, truncate=3.0)
    with np.errstate(invalid="ignore"):
        agree("laplace", numbers(rng, (6, 7), dtype), np.float64, mode=mode)


@pytest.mark.parametrize("mode", ["reflect", "constant"])
@pytest.mark.parametrize("name", ["sobel", "prewitt", "laplace"])
def test_derivatives_as_integers(rng: np.random.Generator, name: str, mode: str) -> None:
    """SciPy cuts off the fractions of every step, not those of the result alone."""
    for shape in SHAPES:
        x = 5 * rng.standard_normal(shape)
        for output in ("i2", "i4"):
            agree(name, x, output=np.dtype(output), mode=mode)
        agree(name, numbers(rng, shape, "i2"), mode=mode, cval=1.5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(rng: np.random.Generator, dtype: str) -> None:
    x, signed = numbers(rng, (6, 7), dtype), np.array([[1, -2, 1], [3, 0, -5], [1, 1, 1]])
    for output in [None, *("i2", "u1", "f4", "f8")]:
        if output is None and dtype in ("b1", "u8"):
            continue  # SciPy stores numbers other than 0 and 1 in its booleans, and zeros in uint64 for negative ones
        agree("correlate", x, signed, output)
        agree("correlate", x, signed * 0.25, output)
        agree("convolve1d", x, signed[0], 0, output)
        agree("uniform_filter", x, 3, output)
        agree("gaussian_filter1d", x, 1.0, output=output)
        agree("maximum_filter", np.abs(x) if x.dtype.kind != "b" else x, 3, None, output)
        agree("sobel", x, 0, output)
    assert ndimage.correlate(x, signed).dtype == dtype
    if dtype == "b1":
        np.testing.assert_array_equal(ndimage.correlate(x, signed), scipy_ndimage.correlate(x, signed, np.int64) != 0)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
def test_images_that_go_block_by_block(rng: np.random.Generator, dtype: str) -> None:
    for shape in ((300, 301), (20, 70, 61)):
        x = numbers(rng, shape, dtype)
        for output in (None, np.float64):
            agree("uniform_filter", x, 5, output, cval=3.0, mode="constant")
            agree("gaussian_filter", x, 1.0, 0, output, mode="mirror")
            agree("uniform_filter1d", x, 20, 0, output, mode="wrap")
    agree("gaussian_filter", x.reshape(-1), 1.0)


def test_large_integers_are_exact() -> None:
    x = np.array([2**62 + 1, 2**62 + 3, 2**62 - 1, -(2**62) - 1])
    np.testing.assert_array_equal(ndimage.maximum_filter(x, 2), [x[0], x[1], x[1], x[2]])
    np.testing.assert_array_equal(ndimage.correlate1d(x, [0, 1, 0]), x)
    agree("correlate1d", x, [3, 4, 5], output=np.float64)


@pytest.mark.parametrize("mode", MODES)
def test_complex(rng: np.random.Generator, mode: str) -> None:
    for one, two in [("c8", "f8"), ("c16", "c16"), ("f8", "c16"), ("f4", "c8"), ("i4", "c16")]:
        x, w = numbers(rng, (5, 7), one), numbers(rng, (3, 2), two)
        for name in ("correlate", "convolve"):
            agree(name, x, w, mode=mode)
            agree(name, x, w, mode=mode, cval=2.0)
            agree(name + "1d", x, w[:, 0], mode=mode)
    x = numbers(rng, (5, 7), "c16")
    agree("uniform_filter", x, 3, mode=mode, cval=1 - 2j)
    agree("laplace", x, mode=mode)


@pytest.mark.parametrize("name", ["correlate", "convolve", "uniform_filter", "gaussian_filter", "maximum_filter"])
def test_axes(rng: np.random.Generator, name: str) -> None:
    x = numbers(rng, (4, 5, 6, 3), "f4")
    for axes in [1, (0,), (-1,), (0, 2), (2, 3), (1, -2), (0, 1, 3), (1, 2, 3)]:
        count = 1 if isinstance(axes, int) else len(axes)
        what: Any = integers(rng, (3, 2, 2)[:count], np.float64) if name in ("correlate", "convolve") else 2
        agree(name, x, what, axes=axes)
        agree(name, x, what, axes=axes, mode="constant", cval=1.0)
    agree("laplace", x, axes=(0, 2))
    agree("gaussian_laplace", x, 1.0, axes=(0, 2))
    agree("minimum_filter", x, footprint=[[1, 0, 1], [0, 1, 0]], axes=(1, 3))


def test_axes_in_any_order(rng: np.random.Generator) -> None:
    x, w = numbers(rng, (4, 5, 6), "f8"), integers(rng, (3, 2), np.float64)
    expected = scipy_ndimage.correlate(x, w.T, axes=(0, 2))
    np.testing.assert_allclose(ndimage.correlate(x, w, axes=(2, 0)), expected, atol=1e-12)
    footprint = rng.random((3, 4)) < 0.4
    footprint[1, 1] = True
    expected = scipy_ndimage.maximum_filter(x, footprint=footprint.T, axes=(0, 2), origin=(-1, 1))
    got = ndimage.maximum_filter(x, footprint=footprint, axes=(2, 0), origin=(1, -1))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["uniform_filter", "maximum_filter", "minimum_filter"])
@pytest.mark.parametrize(("size", "origin"), [((3, 1), 1), ((1, 4), (5, -2)), (1, -1)])
def test_origin_of_a_box_of_one_element(rng: np.random.Generator, name: str, size: Any, origin: Any) -> None:
    """It leaves its axis as it is, so that one origin does for a box that is long on one axis alone."""
    agree(name, numbers(rng, (5, 7), "f4"), size, origin=origin)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "c8"])
def test_channels_of_pictures(rng: np.random.Generator, mode: str, dtype: str) -> None:
    for shape, axis, size in product([(37, 41, 3), (3, 700, 2), (900, 6), (4200, 1)], [0, -2], [3, 8]):
        x, w, kind = numbers(rng, shape, dtype), integers(rng, (size,), np.float64), np.dtype(dtype).kind
        agree("correlate1d", x, w, axis, mode=mode, cval=3.0, origin=-1)
        agree("convolve1d", x, w, axis, mode=mode, cval=0.0)
        if kind != "u":  # which is rounded after sums of another order
            agree("gaussian_filter1d", x, 1.3, axis, mode=mode, cval=2.0)
        if kind != "c":
            agree("maximum_filter1d", x, size, axis, mode=mode, cval=9, origin=1)
        if kind != "c" or mode not in ("constant", "grid-constant"):
            agree("uniform_filter1d", x, size, axis, mode=mode, cval=2.0, origin=-1)


def test_batches_of_edges(rng: np.random.Generator) -> None:
    images = numbers(rng, (3, 6, 7), "f4")
    got = ndimage.gaussian_gradient_magnitude(images, 1.0, axes=(1, 2))  # SciPy smooths across the batch
    expected = [scipy_ndimage.gaussian_gradient_magnitude(image, 1.0) for image in images]
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    for name in ("sobel", "prewitt"):
        got = getattr(ndimage, name)(images, 1, axes=(1, 2))
        np.testing.assert_allclose(got, [getattr(scipy_ndimage, name)(image, 0) for image in images], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["f4", "i4", "c16"])
def test_several_kernels(rng: np.random.Generator, dtype: str) -> None:
    x, kernels = numbers(rng, (3, 6, 7), dtype), integers(rng, (4, 3, 2), np.float64)
    got = ndimage.correlate(x, kernels, mode="mirror", axes=(1, 2))
    lines = ndimage.convolve1d(x, kernels[:, :, 0], axis=1)
    assert got.shape == lines.shape == (4, 3, 6, 7)
    for k, image in np.ndindex(4, 3):
        np.testing.assert_allclose(got[k, image], scipy_ndimage.correlate(x[image], kernels[k], mode="mirror"))
        np.testing.assert_allclose(lines[k, image], scipy_ndimage.convolve1d(x[image], kernels[k, :, 0], 0))
    out = np.empty((4, 3, 6, 7), dtype)
    assert ndimage.correlate(x, kernels, out, axes=(1, 2)) is out


def test_modes_by_axis(rng: np.random.Generator) -> None:
    x, modes = numbers(rng, (5, 6), "f4"), ["wrap", "constant"]
    for name in ("uniform_filter", "maximum_filter", "gaussian_filter"):
        agree(name, x, 3, mode=modes, cval=2.0)
    for name in ("sobel", "laplace", "prewitt"):
        agree(name, x, mode=modes, cval=2.0)
    w = integers(rng, (3, 3), np.float64)
    wide = np.pad(np.pad(x, ((1, 1), (0, 0)), "wrap"), ((0, 0), (1, 1)), constant_values=2.0)
    expected = scipy_ndimage.correlate(wide, w)[1:-1, 1:-1]
    np.testing.assert_allclose(ndimage.correlate(x, w, mode=modes, cval=2.0), expected, rtol=1e-6)


def test_outputs(rng: np.random.Generator) -> None:
    x = numbers(rng, (6, 7), "f4")
    for name, args in [
        ("correlate", (np.eye(3),)),
        ("uniform_filter", (3,)),
        ("maximum_filter", (2,)),
        ("sobel", (0,)),
    ]:
        function = getattr(ndimage, name)
        expected = function(x, *args)
        for output in (np.empty((6, 7), np.float32), np.empty((7, 6), np.float32).T, x.copy()):
            source = output if output.flags.c_contiguous and (output == x).all() else x
            assert function(source, *args, output=output) is output
            np.testing.assert_array_equal(output, expected)
        assert function(x, *args, output="float64").dtype == np.float64
    untouched = ndimage.uniform_filter(x, 1)
    assert untouched is not x and not np.may_share_memory(untouched, x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["correlate", "gaussian_filter", "uniform_filter", "maximum_filter", "sobel"])
def test_any_layout(rng: np.random.Generator, layout: str, name: str) -> None:
    x = numbers(rng, (6, 9), "f4")
    argument: Any = integers(rng, (3, 3), np.float32) if name == "correlate" else 1
    expected = getattr(ndimage, name)(x.copy(), argument)
    np.testing.assert_array_equal(getattr(ndimage, name)(LAYOUTS[layout](x), argument), expected)


def test_cval_that_is_not_a_number_stays_at_the_border(rng: np.random.Generator) -> None:
    x = rng.standard_normal((8, 9)).astype(np.float32)
    for cval in (np.nan, np.inf, 1e30):
        got = ndimage.correlate(x, np.ones((3, 3)), mode="constant", cval=cval)
        inside = ndimage.correlate(x, np.ones((3, 3)))[1:-1, 1:-1]
        np.testing.assert_array_equal(got[1:-1, 1:-1], inside)
        assert not (np.abs(got[0]) < 1e29).any()


@pytest.mark.parametrize("name", ["maximum_filter", "minimum_filter"])
@pytest.mark.parametrize(("dtype", "cval"), [("u1", 300), ("u2", -2), ("i2", 1.5), ("b1", 3), ("i4", -np.inf)])
def test_extremes_of_integers_with_a_cval_of_no_integer(name: str, dtype: str, cval: float) -> None:
    x = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
    if np.isfinite(cval):
        agree(name, x, 3, output=np.float32, mode="constant", cval=cval)
        agree(name, x, (1, 3), mode="grid-constant", cval=cval)
    # SciPy takes the cval of a footprint with gaps modulo 2 to the power of the input's width.
    options: dict[str, Any] = {"footprint": [[1, 0, 1], [0, 1, 0]], "mode": "constant", "cval": cval}
    got = getattr(ndimage, name)(x, output=np.float64, **options)
    np.testing.assert_array_equal(got, getattr(ndimage, name)(x.astype(np.float64), **options))


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_derivatives_of_a_gaussian_of_one_weight(order: int) -> None:
    x = np.arange(20.0).reshape(4, 5) ** 2
    agree("gaussian_filter", x, 0.05, order)
    agree("gaussian_filter", x, [1.0, 0.7], (0, order), radius=0)
    agree("gaussian_filter1d", x, 1.5, order=order, radius=0)


def test_nan_wins() -> None:
    x = np.ones((9, 9), np.float32)
    x[4, 4] = np.nan
    for function in (ndimage.maximum_filter, ndimage.minimum_filter):
        for size, count in ((3, 9), (5, 25)):
            assert np.isnan(function(x, size)).sum() == count
        assert np.isnan(function(x, footprint=[[1, 0, 1]])).sum() == 2


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", ["maximum_filter", "minimum_filter"])
def test_nan_wins_in_wide_rows_and_infinity_does_not(rng: np.random.Generator, name: str, dtype: str) -> None:
    x = rng.choice(
        [np.nan, -np.nan, np.inf, -np.inf, 0.0, 1.0, 2.0], (12, 301), p=[0.01, 0.01, 0.1, 0.1, 0.3, 0.3, 0.18]
    )
    x = x.astype(dtype)
    for size in ((3, 3), (1, 6), (5, 1), (17, 2)):
        pad = [(n // 2, (n - 1) // 2) for n in size]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, pad, "symmetric"), size)
        want = (np.max if name == "maximum_filter" else np.min)(windows, axis=(2, 3))
        np.testing.assert_array_equal(getattr(ndimage, name)(x, size), want)


@pytest.mark.parametrize("shape", [(24, 1024), (11, 512)])  # of rows that are copied
def test_rows_that_are_4096_bytes_apart(rng: np.random.Generator, shape: tuple[int, int]) -> None:
    x = numbers(rng, shape, "f4" if shape[1] == 1024 else "f8")
    for size in (5, 8, 13):
        agree("uniform_filter1d", x, size, 0, mode="reflect")
        agree("correlate1d", x, integers(rng, (size,), np.float64), 0, mode="constant", cval=3.0, origin=1)
        agree("maximum_filter", x, (size, 3), mode="wrap")


def test_large_windows_are_as_exact_as_small_ones(rng: np.random.Generator) -> None:
    x = rng.random((200, 150)) + 1000
    for size in (51, 100, 149):
        expected = scipy_ndimage.uniform_filter(x.astype(np.longdouble).astype(np.float64), size)
        np.testing.assert_allclose(ndimage.uniform_filter(x, size), expected, rtol=1e-13)
        np.testing.assert_allclose(ndimage.uniform_filter(x.astype(np.float32), size), expected, rtol=1e-6)
        np.testing.assert_array_equal(ndimage.maximum_filter(x, size), scipy_ndimage.maximum_filter(x, size))


def test_without_elements() -> None:
    x = np.zeros((0, 3), np.float32)
    for name, args in [
        ("correlate", (np.ones((3, 3)),)),
        ("convolve1d", ([1, 2],)),
        ("uniform_filter", (3,)),
        ("gaussian_filter", (1,)),
        ("maximum_filter", (3,)),
        ("laplace", ()),
        ("sobel", ()),
    ]:
        agree(name, x, *args)
    agree("minimum_filter", x, footprint=[[1, 0, 1]])


PLANE = np.ones((4, 5))
ERRORS = [
    (ValueError, "mode must be one of 'reflect'.* got 'same'", "correlate", (PLANE, PLANE), {"mode": "same"}),
    (ValueError, r"weights must have as many axes .*\(2\).* got shape \(3,\)", "correlate", (PLANE, [1, 1, 1]), {}),
    (ValueError, r"weights must have elements, got shape \(0, 2\)", "convolve", (PLANE, np.ones((0, 2))), {}),
    (ValueError, "origin must be from -1 to 1 for a size of 3, got 2", "correlate", (PLANE, np.eye(3)), {"origin": 2}),
    (ValueError, "origin must be from -2 to 1 for a size of 4, got 2", "convolve", (PLANE, np.eye(4)), {"origin": 2}),
    (ValueError, "weights must be a line", "correlate1d", (PLANE, 3), {}),
    (ValueError, "axis must be an axis of an input with 2 axes, got 2", "correlate1d", (PLANE, [1]), {"axis": 2}),
    (ValueError, "axes must be different, got", "uniform_filter", (PLANE,), {"axes": (0, -2)}),
    (ValueError, "size must be at least 1, got 0", "uniform_filter", (PLANE, 0), {}),
    (ValueError, "size must be at least 1, got nan", "maximum_filter", (PLANE, np.nan), {}),
    (ValueError, "size must be at least 1, got inf", "uniform_filter", (PLANE, np.inf), {}),
    (ValueError, "origin must be from -1 to 1 for a size of 3, got 0.5", "uniform_filter", (PLANE,), {"origin": 0.5}),
    (
        ValueError,
        "origin must be from -1 to 1 for a size of 3, got 'a'",
        "convolve",
        (PLANE, np.eye(3)),
        {"origin": "a"},
    ),
    (ValueError, "cval must be a number, got 'a'", "uniform_filter", (PLANE,), {"mode": "constant", "cval": "a"}),
    (ValueError, "cval must be a number, got 'a'", "gaussian_filter", (PLANE, 1), {"mode": "constant", "cval": "a"}),
    (ValueError, "cval must be a number, got 'a'", "minimum_filter", (PLANE, 2), {"mode": "constant", "cval": "a"}),
    (ValueError, "cval must be a number, got 'a'", "correlate", (PLANE, PLANE), {"mode": "constant", "cval": "a"}),
    (ValueError, "cval must be a number, got 'a'", "minimum_filter", (PLANE, 2), {"cval": "a"}),
    (ValueError, "cval must be a number, got 'a'", "sobel", (PLANE,), {"cval": "a"}),
    (ValueError, "cval must be a number, got None", "convolve1d", (PLANE, [1, 2]), {"cval": None}),
    (ValueError, "sigma must be at least 0, got nan", "gaussian_filter", (PLANE, np.nan), {}),
    (ValueError, "sigma must be at least 0, got inf", "gaussian_filter1d", (PLANE, np.inf), {}),
    (ValueError, "sigma must be a number, got 'a'", "gaussian_laplace", (PLANE, "a"), {}),
    (ValueError, "truncate must be at least 0, got -1", "gaussian_filter", (PLANE, 1), {"truncate": -1}),
    (ValueError, "truncate must be a number, got 'a'", "gaussian_filter", (PLANE, 1), {"truncate": "a"}),
    (TypeError, "output must be an array, a dtype or None, got 'zz'", "sobel", (PLANE,), {"output": "zz"}),
    (TypeError, r"output must be an array or a dtype of numbers, got \[\]", "laplace", (PLANE,), {"output": []}),
    (TypeError, "output must be an array or a dtype of numbers, got 'S3'", "correlate", (PLANE,) * 2, {"output": "S3"}),
    (ValueError, r"size must be one value or one per axis \(2\)", "maximum_filter", (PLANE, [1, 2, 3]), {}),
    (ValueError, "one of size and footprint", "maximum_filter", (PLANE,), {}),
    (ValueError, "footprint must have 2 axes.*an element that", "minimum_filter", (PLANE,), {"footprint": [[0]]}),
    (
        ValueError,
        "cval must fit .* int64, got -inf",
        "maximum_filter",
        (np.ones(3, np.int64), 3, None, None, "constant", -np.inf),
        {},
    ),
    (ValueError, "sigma must be at least 0, got -1", "gaussian_filter", (PLANE, -1), {}),
    (ValueError, "order must be an integer", "gaussian_filter", (PLANE, 1, -1), {}),
    (ValueError, "radius must be an integer", "gaussian_filter", (PLANE, 1), {"radius": 1.5}),
    (ValueError, r"output has shape \(2, 2\), but .* \(4, 5\)", "sobel", (PLANE,), {"output": np.ones((2, 2))}),
    (ValueError, "output is read-only", "sobel", (PLANE,), {"output": np.broadcast_to(0.0, (4, 5))}),
    (ValueError, "output must have a complex dtype", "correlate", (PLANE * 1j, PLANE), {"output": np.ones((4, 5))}),
    (ValueError, "axes must hold the axis 0", "sobel", (PLANE, 0), {"axes": (1,)}),
    (ValueError, "up to 3 axes", "correlate", (np.ones((2,) * 4), np.ones((2,) * 4)), {}),
    (TypeError, "input has dtype float16", "uniform_filter", (PLANE.astype(np.float16),), {}),
    (TypeError, "input must be real", "maximum_filter", (PLANE * 1j, 3), {}),
]


@pytest.mark.parametrize(("error", "message", "name", "args", "options"), ERRORS)
def test_errors(error: type[Exception], message: str, name: str, args: Any, options: Any) -> None:
    with pytest.raises(error, match=message):
        getattr(ndimage, name)(*args, **options)


def test_size_beside_a_footprint_warns() -> None:
    with pytest.warns(UserWarning, match="size is not used"):
        ndimage.maximum_filter(PLANE, 3, [[1, 1]])


class _Compared:
    """Our functions under SciPy's name: each result is compared with SciPy's."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        theirs = getattr(scipy_ndimage, name)
        if name not in ndimage.__all__:
            return theirs

        def both(*args: Any, **options: Any) -> Any:
            self.calls += 1
            expected, got = theirs(*args, **options), getattr(ndimage, name)(*args, **options)
            # What falls short of a whole number by a rounding is cut to the one below.
            cut = np.asarray(expected).dtype.kind in "iu"
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=max(cut, 1e-6 * np.abs(expected).max()))
            return got

        return both


@pytest.mark.parametrize("name", ndimage.__all__)
def test_examples_of_scipy(name: str) -> None:
    """The statements of SciPy's docstring with our functions; those that draw or import are left out."""
    found = doctest.DocTestFinder(recurse=False).find(getattr(scipy_ndimage, name), name)[0].examples
    module = _Compared()
    picture = np.random.default_rng(0).integers(0, 256, (96, 128), np.uint8)
    datasets = type("datasets", (), {"ascent": staticmethod(lambda: picture.astype(float))})
    names: dict[str, Any] = {"ndimage": module, "np": np, "datasets": datasets}
    names.update({n: getattr(module, n) for n in ndimage.__all__})
    for part in found:
        if not re.search(r"plt|fig|\bax(e?s|\d)?\b|^from|^import", part.source):
            exec(compile(part.source, name, "exec"), names)
    assert module.calls > 0 or not found


def test_is_a_part_of_the_package() -> None:
    assert fastconv.ndimage is ndimage
    for part in ("linear", "smooth", "derivative", "extreme"):
        outcome = doctest.testmod(import_module(f"fastconv.ndimage.{part}"))
        assert outcome.attempted > 3 and outcome.failed == 0
