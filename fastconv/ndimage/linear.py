"""Correlation and convolution with any kernel, over all axes, some, or one."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastconv import _core
from fastconv._sliding import correlate_blocks, pad_constant
from fastconv.checks import as_array
from fastconv.ndimage.arguments import (
    FLOATS,
    MODES,
    Array,
    Output,
    PerAxis,
    Side,
    as_image,
    before_of,
    core_mode,
    deliver,
    is_plain,
    one_axis,
    output_dtype,
    per_axis,
    require_number,
    some_axes,
    whole,
    working_dtype,
)
from fastconv.ndimage.boxes import fits_core, is_narrow, plane_of
from fastconv.ndimage.running import continuation, continue_lines

Pads = list[tuple[int, int]]

WEIGHED = 96  # longer lines than this are left to the convolution, which has Fourier transforms


def padded_correlation(
    x: Array, w: Array, pads: Pads, modes: list[str], cval: Any, flip: bool = False, algorithm: str = "auto"
) -> Array:
    """A block ``(N, 1, *spatial)`` under kernels ``(K, 1, *kernel)`` of its dtype."""
    if cval != 0 and "zeros" in modes:
        x = pad_constant(x, [p if m == "zeros" else (0, 0) for p, m in zip(pads, modes, strict=True)], cval)
        pads = [(0, 0) if m == "zeros" else p for p, m in zip(pads, modes, strict=True)]
    return correlate_blocks(x, w, pads, modes, flip, algorithm)


def along_axis(
    x: Array, w: Array, axis: int, before: int, mode: str, cval: Any, flip: bool = False, algorithm: str = "auto"
) -> Array:
    """Lines of ``x`` under kernels ``(K, k)`` of its dtype; ``(K, *x.shape)``. Arrays in order are not copied."""
    n, inner = x.shape[axis], prod(x.shape[axis + 1 :])
    pads = (before, w.shape[1] - 1 - before)
    if inner > 1 and x.dtype in FLOATS and w.shape[1] <= WEIGHED and is_narrow(x, inner):
        y = _along_pixels(x.reshape(-1, n, inner), w, pads, mode, cval, flip, algorithm)
        return y.reshape(len(w), *x.shape)
    if inner == 1:
        block, kernels, amounts, modes = x.reshape(1, 1, -1, n), w[:, None, None], [(0, 0), pads], ["zeros", mode]
    else:
        block, kernels, amounts = x.reshape(-1, 1, n, inner), w[:, None, :, None], [pads, (0, 0)]
        modes = [mode, "zeros"]
    y = padded_correlation(block, kernels, amounts, modes, cval, flip, algorithm)
    return y.swapaxes(0, 1).reshape(len(w), *x.shape)


def _along_pixels(x: Array, w: Array, pads: tuple[int, int], mode: str, cval: Any, flip: bool, algorithm: str) -> Array:
    """Lines ``(N, n, inner)`` of few elements a pixel: as long lines under kernels whose taps lie a pixel apart."""
    count, n, inner = x.shape
    wide = np.empty((count, n + sum(pads), inner), x.dtype)
    ends = None if mode == "zeros" else continuation(n, *pads, mode)
    continue_lines(x, pads[0], ends, cval, wide)
    lines, kernels = wide.reshape(1, 1, count, -1), w[:, None, None]
    y: Array = _core.conv_forward(2, lines, kernels, None, 1, 0, (1, inner), 1, "zeros", flip, None, algorithm, None)
    return y


def _is_whole(w: Array) -> bool:
    return w.dtype.kind in "biu" or (w.dtype.kind == "f" and bool((w == np.rint(w)).all()))


def _exact_in_single(x: Array, w: Array, cval: Any) -> bool:
    """Whether every sum of whole products is exact in single precision, by the dtype of ``x`` alone."""
    if x.dtype.itemsize > 2 or w[0].size > 256:
        return False
    largest = max(1 << 8 * x.dtype.itemsize, abs(cval))
    return bool(largest * np.abs(w.astype(np.float64)).sum() < 2**24)


def _prepared(x: Array, w: Array, dtype: np.dtype[Any], cval: Any, flip: bool) -> tuple[Array, Array, str]:
    """Input and kernels in the dtype to compute in, and the algorithm."""
    require_number(cval, "cval")
    both: Any
    algorithm = "auto"
    if "c" in (x.dtype.kind, w.dtype.kind):
        single = x.dtype.char in "fF" and dtype.char == "F"
        w = w if flip else w.conj()
        both = np.complex64 if single else np.complex128
    else:
        both = working_dtype(x, dtype)
        if x.dtype.kind in "biu" and _is_whole(w) and cval == np.trunc(cval):
            if _exact_in_single(x, w, cval):
                both, algorithm = np.float32, "direct"
            elif dtype.kind in "biu" and np.abs(w).max() < 2**53:
                both = np.int64
    return x.astype(both, copy=False), w.astype(both, copy=False), algorithm


def _correlate(
    input: Any,
    weights: Any,
    output: Output,
    mode: PerAxis,
    cval: Any,
    origin: PerAxis,
    axes: Any,
    flip: bool,
) -> Array:
    common = output is None and axes is None and type(mode) is str
    if common and not flip:
        plain = _core.correlate_plane(input, weights, False, MODES.get(mode), cval, origin)
        if plain is not None:
            return plain
    w = as_array("weights", weights)
    if common and type(origin) is int:
        plain = _plain(input, w, mode, cval, origin, flip)
        if plain is not None:
            return plain
    x = as_image(input)
    chosen = some_axes(axes, x.ndim)
    several = w.ndim == len(chosen) + 1
    if not several:
        w = w[None]
    if w.ndim != len(chosen) + 1:
        raise ValueError(
            f"weights must have as many axes as are filtered ({len(chosen)}), or one more for several kernels; "
            f"got shape {np.shape(weights)}"
        )
    if w.size == 0:
        raise ValueError(f"weights must have elements, got shape {np.shape(weights)}")
    befores = [before_of(k, o, flip) for k, o in zip(w.shape[1:], per_axis(origin, len(chosen), "origin"), strict=True)]
    modes = [core_mode(m) for m in per_axis(mode, len(chosen), "mode")]
    dtype = output_dtype(output, x, "c" in (x.dtype.kind, w.dtype.kind))
    xs, ws, algorithm = _prepared(x, w, dtype, cval, flip)
    y = _over_axes(xs, ws, chosen, befores, modes, cval, flip, algorithm)
    return deliver(y if several else y[0], output, dtype)


def _plain(x: Any, w: Array, mode: str, cval: Any, origin: int, flip: bool) -> Array | None:
    """The common case without detours: one real kernel over all axes of an array. None where it is not that."""
    nd, name = w.ndim, MODES.get(mode)
    if not is_plain(x) or x.ndim != nd or name is None or not 1 <= nd <= 3 or w.dtype.kind not in "biuf" or w.size == 0:
        return None
    dtype = x.dtype
    short = dtype not in FLOATS
    if nd == 2 and (not short or _moderate(w)):
        floats = x.astype(np.float64) if short else x
        kernel = (w[::-1, ::-1] if flip else w).astype(floats.dtype, copy=False)
        y = _core.correlate_plane(floats, kernel, flip, name, cval, origin)
        if y is not None:
            return whole(y, dtype) if short else y
    if short or (name == "zeros" and cval != 0):
        return None
    pads = []
    for k in w.shape:
        before = before_of(k, origin, flip)
        pads.append((before, k - 1 - before))
    if x.dtype != w.dtype:
        w = w.astype(x.dtype)
    y = _core.conv_forward(nd, x[None], w[None, None], None, 1, tuple(pads), 1, 1, name, flip, None, "auto", None)
    return y[0]  # type: ignore[no-any-return]


def _moderate(w: Array) -> bool:
    """Whether sums of short integers under these weights are exact in double precision, if the weights are whole."""
    return sum(map(abs, w.ravel().tolist())) < 2.0**36  # type: ignore[no-any-return]


def weigh_planes(cval: float, x: Array, height: Side, width: Side) -> Array:
    """Planes of floats under the product of two lines of weights."""
    taps: list[Any] = [1 if s.weights is None else s.weights.astype(x.dtype, copy=False) for s in (height, width)]
    narrow = width.weights is None and is_narrow(x, x.shape[-1])
    if fits_core(x, height, width) and max(height.size, width.size) <= WEIGHED and not narrow:
        sides = height.before, width.before, height.mode, width.mode
        return _core.filter_axes(plane_of(x), "weigh", *taps, *sides, cval, cval).reshape(x.shape)
    for axis, side, weights in ((x.ndim - 2, height, taps[0]), (x.ndim - 1, width, taps[1])):
        if side.weights is not None:
            x = along_axis(x, weights[None], axis, side.before, side.mode, cval)[0]
    return x


def _over_axes(
    x: Array,
    w: Array,
    axes: tuple[int, ...],
    befores: list[int],
    modes: list[str],
    cval: Any,
    flip: bool,
    algorithm: str,
) -> Array:
    """``(K, *x.shape)``; the other axes are a batch."""
    if x.size == 0:
        return np.zeros((len(w), *x.shape), x.dtype)
    if len(axes) > 3:  # a kernel of one element leaves an axis as it is
        kept = [i for i, k in enumerate(w.shape[1:]) if k > 1] or [0]
        w = w.reshape(len(w), *(w.shape[1 + i] for i in kept))
        axes, befores, modes = tuple(axes[i] for i in kept), [befores[i] for i in kept], [modes[i] for i in kept]
    if len(axes) > 3:
        raise ValueError(f"weights: kernels of up to 3 axes can be used, got {len(axes)} longer than 1")
    if not axes:
        return x * w.reshape(-1, *(1,) * x.ndim)
    others = [a for a in range(x.ndim) if a not in axes]
    block = x.transpose(*others, *axes)
    rest, spatial = block.shape[: len(others)], block.shape[len(others) :]
    pads = [(before, k - 1 - before) for before, k in zip(befores, w.shape[1:], strict=True)]
    y = padded_correlation(block.reshape(-1, 1, *spatial), w[:, None], pads, modes, cval, flip, algorithm)
    y = y.swapaxes(0, 1).reshape(len(w), *rest, *spatial)
    back = np.argsort([*others, *axes])
    return np.ascontiguousarray(y.transpose(0, *(1 + back)))


def correlate(
    input: Any,
    weights: Any,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    origin: PerAxis = 0,
    *,
    axes: Any = None,
) -> Array:
    """The correlation of an array with a kernel: ``scipy.ndimage.correlate``.

    ``out[p] = sum over t of weights[t] * input[p + t - size // 2 - origin]``

    input: an array of any number of axes.
    weights: a kernel with an axis for every axis that is filtered, of which up to three are longer than 1; or several
        kernels along one more axis in front, which the result has too.
    output: None for a new array of the input's dtype, a dtype, or an array to write to, which may be the input.
    mode: what is beyond the ends: ``"reflect"`` (d c b a | a b c d | d c b a), ``"mirror"`` (d c b | a b c d | c b a),
        ``"nearest"`` (a a a | a b c d | d d d), ``"wrap"`` (b c d | a b c d | a b c), ``"constant"`` (``cval``); the
        names ``"grid-mirror"``, ``"grid-wrap"``, ``"grid-constant"`` are reflect, wrap and constant. Or one per axis.
    cval: the value beyond the ends, for ``"constant"``.
    origin: shifts the kernel towards the beginning, from ``-(size // 2)`` to ``(size - 1) // 2``; or one per axis.
    axes: the axes that are filtered, an int or several; None is all. The others are a batch.

    float32 stays in single precision if the result is float32. Integers under whole weights are exact; otherwise they
    are computed in double precision and rounded towards zero, as in SciPy. Large kernels use Fourier transforms, which
    round relative to the largest sum, and through which a NaN or infinity spreads.

    Returns the filtered array. Raises ValueError for shapes or values that do not fit, TypeError for a dtype that
    cannot be filtered.

    >>> from fastconv import ndimage
    >>> ndimage.correlate([1.0, 2.0, 4.0], [1, 0, -1])
    array([-1., -3., -2.])
    """
    return _correlate(input, weights, output, mode, cval, origin, axes, False)


def convolve(
    input: Any,
    weights: Any,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    origin: PerAxis = 0,
    *,
    axes: Any = None,
) -> Array:
    """The convolution of an array with a kernel: ``scipy.ndimage.convolve``.

    ``out[p] = sum over t of weights[t] * input[p - t + size // 2 + origin]``

    Arguments, result and errors are those of :func:`correlate`.

    >>> from fastconv import ndimage
    >>> ndimage.convolve([1.0, 2.0, 4.0], [1, 0, -1])
    array([1., 3., 2.])
    """
    return _correlate(input, weights, output, mode, cval, origin, axes, True)


def _plain_line(x: Array, w: Array, axis: int, before: int, mode: str, cval: float) -> Array | None:
    """The common case without detours: short real weights along one of the last two axes. None where it is not that."""
    if not 1 < w.size <= WEIGHED or w.dtype.kind not in "biuf" or not is_plain(x) or not 0 < x.ndim - axis <= 2:
        return None
    short = x.dtype not in FLOATS
    if x.ndim > 8 or (short and not _moderate(w)):
        return None
    if axis < x.ndim - 1 and is_narrow(x, x.shape[-1]):
        return None
    floats = x.astype(np.float64) if short else x
    w = w.astype(floats.dtype)
    if axis == x.ndim - 1:
        y = _core.filter_axes(floats, "weigh", 1, w, 0, before, mode, mode, cval, cval)
    else:
        y = _core.filter_axes(floats, "weigh", w, 1, before, 0, mode, mode, cval, cval)
    return whole(y, x.dtype) if short else y


def _correlate1d(
    input: Any, weights: Any, axis: int, output: Output, mode: str, cval: Any, origin: int, flip: bool
) -> Array:
    x, w = as_image(input), as_array("weights", weights)
    axis = one_axis(axis, x.ndim)
    if w.ndim not in (1, 2) or w.size == 0:
        raise ValueError(f"weights must be a line of numbers, or several of them; got shape {w.shape}")
    several = w.ndim == 2
    before, name = before_of(w.shape[-1], origin, flip), core_mode(mode)
    if output is None and w.ndim == 1 and type(cval) in (int, float):
        plain = _plain_line(x, w[::-1] if flip else w, axis, before, name, cval)
        if plain is not None:
            return plain
    dtype = output_dtype(output, x, "c" in (x.dtype.kind, w.dtype.kind))
    xs, ws, algorithm = _prepared(x, w if several else w[None], dtype, cval, flip)
    if x.size == 0:
        y = np.zeros((len(ws), *x.shape), xs.dtype)
    else:
        y = along_axis(xs, ws, axis, before, name, cval, flip, algorithm)
    return deliver(y if several else y[0], output, dtype)


def correlate1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Array:
    """The correlation of every line along an axis: ``scipy.ndimage.correlate1d``.

    weights: ``(k,)``, or ``(K, k)`` for several kernels, which are the first axis of the result.
    axis: the axis of the lines. Other arguments, result and errors are those of :func:`correlate`.

    >>> from fastconv import ndimage
    >>> ndimage.correlate1d([[1, 2, 4]], [[1, 1], [1, -1]], mode="nearest").tolist()
    [[[2, 3, 6]], [[0, -1, -2]]]
    """
    return _correlate1d(input, weights, axis, output, mode, cval, origin, False)


def convolve1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Output = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Array:
    """The convolution of every line along an axis: ``scipy.ndimage.convolve1d``.

    Arguments, result and errors are those of :func:`correlate1d`.

    >>> from fastconv import ndimage
    >>> ndimage.convolve1d([1.0, 2.0, 4.0], [1, -1])
    array([1., 2., 0.])
    """
    return _correlate1d(input, weights, axis, output, mode, cval, origin, True)
