"""Convolution and correlation with SciPy's signatures: which part of the full result, of what, and how."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from fastconv import _core
from fastconv._sliding import correlate_blocks, crop_or_empty, pad_constant
from fastconv.functional import Array
from fastconv.signal import fourier
from fastconv.signal.operands import Axes, as_numbers, make_blocks, normalized_axes

_SMALL_KERNEL = 1 << 12  # elements: larger ones may be left to one transform of everything
_MODES = ("full", "same", "valid")
_METHODS = ("auto", "direct", "fft")
_BOUNDARIES = {
    "fill": "zeros",
    "pad": "zeros",
    "wrap": "circular",
    "circular": "circular",
    "symm": "symmetric",
    "symmetric": "symmetric",
}


def _chosen(name: str, value: Any, options: Any) -> Any:
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
    return options[value] if isinstance(options, dict) else value


def _must_swap(mode: str, n: tuple[int, ...], k: tuple[int, ...]) -> bool:
    """Whether the second operand is the larger one of a valid convolution; it must not be so on some axes only."""
    if mode != "valid" or all(i >= j for i, j in zip(n, k, strict=True)):
        return False
    if all(i <= j for i, j in zip(n, k, strict=True)):
        return True
    raise ValueError(f"mode='valid' needs one input at least as large as the other on every axis, got {n} and {k}")


def _window(mode: str, n: int, k: int, late: bool) -> tuple[int, int]:
    """Where the result begins in the full convolution of sizes n and k, and how long it is.

    ``late``: ``same`` leaves the odd element out at the beginning, and not at the end.
    """
    if mode == "full":
        return 0, n + k - 1
    if mode == "same":
        return (k if late else k - 1) // 2, n
    return min(n, k) - 1, abs(n - k) + 1


def _correlate(x: Array, w: Array, pads: list[tuple[int, int]], boundary: str, flip: bool, algorithm: str) -> Array:
    """:func:`correlate_blocks` with padding that may be negative and a result that may be empty."""
    cropped, amounts, empty = crop_or_empty(x, w, pads)
    if empty:
        sizes = (max(n + sum(pair) - k + 1, 0) for n, k, pair in zip(x.shape[2:], w.shape[2:], pads, strict=True))
        return np.zeros((len(x), len(w), *sizes), x.dtype)
    if boundary == "zeros" and algorithm != "direct" and fourier.pays(x, w):
        return fourier.transformed(x, w, pads, flip)
    return correlate_blocks(cropped, w, amounts, boundary, flip, algorithm)


def _combine(
    in1: Array,
    in2: Array,
    mode: str,
    axes: tuple[int, ...],
    algorithm: str,
    conjugate: bool,
    boundary: str = "zeros",
    fillvalue: Any = 0,
    late: bool = False,
) -> Array:
    """The convolution, or with ``conjugate`` the correlation, of arrays with one number of axes."""
    if len(axes) > 3:  # kernels of one element leave an axis as it is
        axes = tuple(a for a in axes if in2.shape[a] != 1) or axes[:1]
    if not 1 <= len(axes) <= 3:
        raise ValueError(f"axes: 1 to 3 axes can be convolved, got {len(axes)} of shapes {in1.shape} and {in2.shape}")
    dtype = np.result_type(in1, in2)
    wide = np.dtype(np.int64) if dtype.kind in "biu" else dtype
    a, b = in1.astype(wide, copy=False), in2.astype(wide, copy=False)
    n, k = (tuple(m.shape[i] for i in sorted(axes)) for m in (a, b))
    windows = [_window(mode, i, j, late) for i, j in zip(n, k, strict=True)]
    flip = not conjugate
    if conjugate and wide.kind == "c":
        b = b.conj()
    if _must_swap(mode, n, k) or (boundary == "zeros" and fillvalue == 0 and all(map(int.__lt__, n, k))):
        if conjugate:  # with its kernel reversed a correlation is a convolution, and those commute
            b = b[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(b.ndim))]
        a, b, n, k, flip = b, a, k, n, True
    blocks = make_blocks(a, b, axes)
    x = blocks.images
    pads = [(j - 1 - begin, begin + length - i) for (begin, length), i, j in zip(windows, n, k, strict=True)]
    if fillvalue != 0 and b.size:
        x = pad_constant(x, pads, fillvalue)
        pads = [(0, 0)] * len(pads)
    y = blocks.unblock(_correlate(x, blocks.kernels, pads, boundary, flip, algorithm))
    return (y != 0) if dtype.kind == "b" else y.astype(dtype, copy=False)


def _same_rank(a: Array, b: Array) -> tuple[Array, Array]:
    """Both with as many axes, by axes of one element in front."""
    if a.ndim < b.ndim:
        a = a.reshape((1,) * (b.ndim - a.ndim) + a.shape)
    return a, b.reshape((1,) * (a.ndim - b.ndim) + b.shape)


def _nd(in1: Any, in2: Any, mode: str, method: str, conjugate: bool, axes: Axes) -> Array:
    if axes is None:
        plain = _plain(in1, in2, mode, "zeros", conjugate, False, method)
        if plain is not None:
            return plain
    _chosen("method", method, _METHODS)
    a, b = as_numbers(in1, "in1"), as_numbers(in2, "in2")
    _chosen("mode", mode, _MODES)
    if axes is not None:
        a, b = _same_rank(a, b)
    if a.ndim != b.ndim:
        raise ValueError(f"in1 and in2 must have as many axes, got shapes {a.shape} and {b.shape}")
    if a.ndim == 0:
        return np.asarray(a * (b.conj() if conjugate else b))[()]
    return _combine(a, b, mode, normalized_axes(axes, a.ndim), method, conjugate)


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto", *, axes: Axes = None) -> Array:
    """The convolution of two arrays of 1 to 3 axes, with zeros around them: ``scipy.signal.convolve``.

    ``full[p] = sum over t of in1[p - t] * in2[t]``

    in1, in2: arrays with as many axes each.
    mode: ``"full"`` (every position where they meet, ``n + k - 1`` an axis), ``"same"`` (the middle of it, of the shape
        of ``in1``), ``"valid"`` (one inside the other, ``abs(n - k) + 1``; neither is smaller on some axes only).
    method: ``"direct"`` (sums of products), ``"fft"`` (Fourier transforms of tiles) or ``"auto"`` (the faster one; see
        :func:`choose_conv_method`). Fourier transforms round relative to the largest sum of their tile, and a NaN or an
        infinity spreads over it. Integers are exact with any of them.
    axes: the axes that are convolved, an int or several; None is all. The others broadcast as in numpy (the array with
        fewer axes gets them in front): ``images[:, None]`` and ``kernels`` give every image under every kernel.

    Returns an array of numpy's promoted dtype. Raises ValueError for shapes, axes or names that do not fit, TypeError
    for a dtype that cannot be convolved.

    >>> from fastconv import signal
    >>> signal.convolve([1, 2, 3], [0, 1, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])
    """
    return _nd(in1, in2, mode, method, False, axes)


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto", *, axes: Axes = None) -> Array:
    """The cross-correlation of two arrays of 1 to 3 axes, with zeros around them: ``scipy.signal.correlate``.

    ``full[p] = sum over t of in1[p + t - (k - 1)] * conj(in2[t])``, the convolution with ``in2`` reversed.

    Arguments, result and errors are those of :func:`convolve`.

    >>> from fastconv import signal
    >>> signal.correlate([1, 2, 3], [0, 1, 0.5])
    array([0.5, 2. , 3.5, 3. , 0. ])
    """
    return _nd(in1, in2, mode, method, True, axes)


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Axes = None) -> Array:
    """:func:`convolve` for large operands, with the signature of ``scipy.signal.fftconvolve``.

    Fourier transforms are used where they pay. As in SciPy integers give float64, float16 gives float32, an operand
    without elements gives an array without elements, and axes that are not convolved broadcast.

    >>> from fastconv import signal
    >>> signal.fftconvolve([1, 2, 3], [0, 1])
    array([0., 1., 2., 3.])
    """
    a, b = (m.astype(np.float64) if m.dtype.kind in "biu" else m for m in _float_pair(in1, in2))
    if a.ndim == b.ndim and 0 in (a.size, b.size):
        return np.array([])
    if a.ndim != b.ndim:
        raise ValueError(f"in1 and in2 must have as many axes, got shapes {a.shape} and {b.shape}")
    return _nd(a, b, mode, "auto", False, axes)


def oaconvolve(in1: Any, in2: Any, mode: str = "full", axes: Axes = None) -> Array:
    """:func:`fftconvolve`, with the signature of ``scipy.signal.oaconvolve``.

    Both work tile by tile, so operands of very different sizes need nothing special.

    >>> from fastconv import signal
    >>> signal.oaconvolve([1, 2, 3], [0, 1], mode="same")
    array([0., 1., 2.])
    """
    return fftconvolve(in1, in2, mode, axes)


def _float_pair(in1: Any, in2: Any) -> tuple[Array, Array]:
    return as_numbers(in1, "in1", half=True), as_numbers(in2, "in2", half=True)


_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def _plain(a: Any, b: Any, mode: Any, boundary: str, conjugate: bool, late: bool, method: Any) -> Array | None:
    """The common case without detours: floats, one of the operands small. None where it is not.

    Small operands are as quick as this is short: :func:`_window` is written out.
    """
    if type(a) is not np.ndarray or type(b) is not np.ndarray or type(mode) is not str or type(method) is not str:
        return None
    dtype, other, nd = a.dtype, b.dtype, a.ndim
    if dtype not in _FLOATS or other not in _FLOATS:
        return None
    if dtype is not other and dtype != other:  # the former is quick
        a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    if nd != b.ndim or not 1 <= nd <= 3 or mode not in _MODES or method not in _METHODS:
        return None
    if a.size < b.size and mode != "same" and boundary == "zeros":  # convolutions commute
        a, b, conjugate = (b[(slice(None, None, -1),) * nd] if conjugate else b), a, False
    if not 0 < b.size <= _SMALL_KERNEL or a.size == 0:
        return None
    pads: list[tuple[int, int]] = []
    for n, k in zip(a.shape, b.shape):  # noqa: B905
        if k > n and mode == "valid":
            return None
        begin = 0 if mode == "full" else k - 1 if mode == "valid" else (k if late else k - 1) // 2
        pads.append((k - 1 - begin, k - 1 if mode == "full" else 0 if mode == "valid" else begin))
    y = _core.conv_forward(nd, a[None], b[None, None], None, 1, pads, 1, 1, boundary, not conjugate, None, method, None)
    return y[0]  # type: ignore[no-any-return]


def _plane(in1: Any, in2: Any, mode: str, boundary: str, fillvalue: Any, axes: Axes, conjugate: bool) -> Array:
    if axes is None and np.ndim(in1) == 2 and type(boundary) is str and type(fillvalue) is int and fillvalue == 0:
        known = _BOUNDARIES.get(boundary)
        plain = _plain(in1, in2, mode, known, conjugate, conjugate, "auto") if known else None
        if plain is not None:
            return plain
    a, b = as_numbers(in1, "in1"), as_numbers(in2, "in2")
    _chosen("mode", mode, _MODES)
    padding = _chosen("boundary", boundary, _BOUNDARIES)
    if axes is None and not a.ndim == b.ndim == 2:
        raise ValueError(f"in1 and in2 must have two axes each, or axes= be given; got shapes {a.shape} and {b.shape}")
    if np.ndim(fillvalue) != 0 or np.asarray(fillvalue).dtype.kind not in "biufc":
        raise ValueError(f"fillvalue must be a number, got {fillvalue!r}")
    a, b = _same_rank(a, b)
    both = normalized_axes(axes, a.ndim)
    if len(both) != 2:
        raise ValueError(f"axes must be two axes, got {axes!r}")
    fill = fillvalue if padding == "zeros" else 0
    return _combine(a, b, mode, both, "auto", conjugate, padding, fill, late=conjugate)


def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0, *, axes: Axes = None
) -> Array:
    """The convolution of two images: ``scipy.signal.convolve2d``.

    in1, in2: images, ``(H, W)`` and ``(kH, kW)``.
    mode: ``"full"``, ``"same"`` or ``"valid"``, as for :func:`convolve`.
    boundary: what is around ``in1``: ``"fill"`` (``fillvalue``), ``"wrap"`` (its other end) or ``"symm"`` (its mirror
        image, the edge twice). The input is not copied into a padded one, except for a ``fillvalue`` that is not 0.
    axes: two axes that are convolved, where there are more than two; the others broadcast as in numpy.

    Returns an array of numpy's promoted dtype; integers are exact modulo 2 to the power of their width. Raises
    ValueError for shapes, axes or names that do not fit, TypeError for a dtype that cannot be convolved.

    >>> from fastconv import signal
    >>> signal.convolve2d([[1, 2], [3, 4]], [[1, 1]], mode="same", boundary="wrap")
    array([[3, 3],
           [7, 7]])
    """
    return _plane(in1, in2, mode, boundary, fillvalue, axes, False)


def correlate2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0, *, axes: Axes = None
) -> Array:
    """The cross-correlation of two images, ``in2`` conjugated: ``scipy.signal.correlate2d``.

    Arguments, result and errors are those of :func:`convolve2d`. As in SciPy the window of ``"same"`` under a kernel of
    an even size begins one position later than that of :func:`correlate`.

    >>> from fastconv import signal
    >>> signal.correlate2d([[1, 2], [3, 4]], [[1, 2]], mode="valid")
    array([[ 5],
           [11]])
    """
    return _plane(in1, in2, mode, boundary, fillvalue, axes, True)


def choose_conv_method(in1: Any, in2: Any, mode: str = "full", measure: bool = False) -> Any:
    """Which method of :func:`convolve` is the faster one: ``"direct"`` or ``"fft"``.

    measure: False asks the cost model that ``method="auto"`` uses; True runs both.

    Returns the name; with ``measure`` a pair of the name and a dict of the seconds of both, as in SciPy.

    >>> from fastconv import signal
    >>> signal.choose_conv_method([1.0, 2.0, 3.0], [1.0, 1.0])
    'direct'
    """
    a, b = as_numbers(in1, "in1"), as_numbers(in2, "in2")
    if measure:
        times = {method: _seconds(a, b, mode, method) for method in ("fft", "direct")}
        return min(times, key=lambda method: times[method]), times
    _chosen("mode", mode, _MODES)
    if a.ndim != b.ndim or not 1 <= a.ndim <= 3:
        raise ValueError(f"in1 and in2 must have as many axes, 1 to 3, got shapes {a.shape} and {b.shape}")
    if 0 in (a.size, b.size):
        return "direct"
    image, kernel = (b, a) if all(map(int.__lt__, a.shape, b.shape)) else (a, b)
    _must_swap(mode, image.shape, kernel.shape)
    double = np.result_type(a, b) not in (np.float32, np.complex64)
    steps = (1, mode, 1, 1, "zeros", "forward", double, "auto")
    plan = _core.explain(a.ndim, (1, 1, *image.shape), (1, 1, *kernel.shape), *steps)
    return "fft" if plan["algorithm"] == "fft" else "direct"


def _seconds(a: Array, b: Array, mode: str, method: str) -> float:
    convolve(a, b, mode, method)
    start = perf_counter()
    convolve(a, b, mode, method)
    return perf_counter() - start
