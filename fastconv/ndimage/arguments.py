"""What the arguments of ndimage's filters mean: modes, origins, axes, dtypes and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv.checks import as_array, members

Array = NDArray[Any]
Output = Array | DTypeLike | None
WIDEST = 1 << 16  # lines that the core's filters may keep whole, where they wrap around
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
SHORT = tuple(np.dtype(t) for t in (np.uint8, np.int8, np.uint16, np.int16))  # any sums of them are exact in float64
SMALL = 1 << 12  # elements of an array that is filtered in less time than its arguments take
PerAxis = Any  # one value for all axes, or a sequence of one per axis

# ndimage's name of a continuation, and the core's.
MODES = {
    "reflect": "symmetric",
    "mirror": "reflect",
    "nearest": "replicate",
    "wrap": "circular",
    "constant": "zeros",
    "grid-mirror": "symmetric",
    "grid-wrap": "circular",
    "grid-constant": "zeros",
}


class Side(NamedTuple):
    """What a filter does on one axis: its size, how much of it lies before the element, the core's padding mode."""

    axis: int
    size: int
    before: int
    mode: str
    weights: Array | None = None  # in float64, where it is no box

    @property
    def pads(self) -> tuple[int, int]:
        return self.before, self.size - 1 - self.before


def as_image(input: Any) -> Array:
    """``input`` as an array of a dtype that can be filtered."""
    x = as_array("input", input)
    if x.dtype.char in "fd" and x.dtype.isnative:
        return x
    if x.dtype.kind in "biu" or x.dtype.str[1:] in ("f4", "f8", "c8", "c16"):
        return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
    raise TypeError(f"input has dtype {x.dtype}; bool, integers, float32, float64, complex64 or complex128 are needed")


def require_number(value: Any, name: str) -> None:
    if type(value) in (int, float):  # in no time
        return
    if np.ndim(value) != 0 or np.asarray(value).dtype.kind not in "biufc":
        raise ValueError(f"{name} must be a number, got {value!r}")


def core_mode(mode: Any) -> str:
    """The core's name of ndimage's mode."""
    try:
        return MODES[mode]
    except (KeyError, TypeError):
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}") from None


def one_axis(axis: Any, ndim: int, name: str = "axis") -> int:
    """``axis`` counted from 0."""
    if not isinstance(axis, (int, np.integer)) or not -ndim <= axis < ndim:
        raise ValueError(f"{name} must be an axis of an input with {ndim} axes, got {axis!r}")
    return int(axis) % ndim


def some_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """``axes`` counted from 0; None is all of them."""
    if axes is None:
        return tuple(range(ndim))
    given = (axes,) if isinstance(axes, (int, np.integer)) else tuple(members("axes", axes, "axes"))
    result = tuple(one_axis(a, ndim, "axes") for a in given)
    if len(set(result)) != len(result):
        raise ValueError(f"axes must be different, got {axes!r}")
    return result


def per_axis(value: PerAxis, count: int, name: str) -> list[Any]:
    """``value`` once for every axis."""
    if isinstance(value, (str, int, float)) or not isinstance(value, (Sequence, np.ndarray)) or np.ndim(value) == 0:
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must be one value or one per axis ({count}), got {value!r}")
    return list(value)


def before_of(size: int, origin: Any, reverse: bool = False) -> int:
    """How many elements of a kernel lie before the one it is put on. ``reverse``: the kernel of a convolution."""
    if isinstance(origin, (int, np.integer)):
        before = (size - 1) // 2 - origin if reverse else size // 2 + origin
        if 0 <= before < size:
            return int(before)
    low, high = -(size // 2), (size - 1) // 2
    raise ValueError(f"origin must be from {low} to {high} for a size of {size}, got {origin!r}")


def before_in_box(size: int, origin: Any) -> int:
    """The same for a box; one of a single element leaves an axis as it is, wherever it is put."""
    return 0 if size == 1 and isinstance(origin, (int, np.integer)) else before_of(size, origin)


def size_of(size: Any) -> int:
    if not isinstance(size, (int, float, np.integer, np.floating)) or not 1 <= size < np.inf:
        raise ValueError(f"size must be at least 1, got {size!r}")
    return int(size)


def sides(ndim: int, axes: Any, size: PerAxis, origin: PerAxis, mode: PerAxis) -> list[Side]:
    """The axes on which a box filter does something, in order."""
    chosen = some_axes(axes, ndim)
    if type(size) is int and type(origin) is int and type(mode) is str:
        n, name = size_of(size), core_mode(mode)
        return [Side(a, n, before_in_box(n, origin), name) for a in sorted(chosen)] if n > 1 else []
    count = len(chosen)
    sizes = [size_of(n) for n in per_axis(size, count, "size")]
    befores = [before_in_box(n, o) for n, o in zip(sizes, per_axis(origin, count, "origin"), strict=True)]
    modes = [core_mode(m) for m in per_axis(mode, count, "mode")]
    return sorted(Side(*row) for row in zip(chosen, sizes, befores, modes, strict=True) if row[1] > 1)


def output_dtype(output: Output, x: Array, is_complex: bool = False) -> np.dtype[Any]:
    """The dtype of the result, which is the input's unless ``output`` says otherwise."""
    try:
        dtype = x.dtype if output is None else output.dtype if isinstance(output, np.ndarray) else np.dtype(output)
    except TypeError as error:
        raise TypeError(f"output must be an array, a dtype or None, got {output!r}") from error
    if dtype.kind not in "biufc":
        raise TypeError(f"output must be an array or a dtype of numbers, got {output!r:.120}")
    if not is_complex or dtype.kind == "c":
        return dtype
    if isinstance(output, np.ndarray):
        raise ValueError(f"output must have a complex dtype for a complex result, got {dtype}")
    return np.promote_types(dtype, np.complex64)


def working_dtype(x: Array, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What to compute in: single precision only if it goes in and comes out."""
    single = x.dtype.char in "fF" and dtype.char in "fF"
    if x.dtype.kind == "c":
        return np.dtype(np.complex64 if single else np.complex128)
    return np.dtype(np.float32 if single else np.float64)


def is_plain(x: Any) -> bool:
    """Whether an input is an array that the core takes as it is, or a small one that it takes as float64."""
    if type(x) is not np.ndarray:
        return False
    size = x.size
    if size == 0 or (size > WIDEST and x.shape[-1] > WIDEST):
        return False
    return x.dtype in FLOATS or (size <= SMALL and x.dtype in SHORT)


def whole(y: Array, dtype: np.dtype[Any]) -> Array:
    """:func:`cast` of float64 to one of the dtypes of SHORT."""
    return y.astype(np.int64).astype(dtype)


def cast(y: Array, dtype: np.dtype[Any]) -> Array:
    """``y`` as ``dtype``: towards zero, and modulo 2 to the power of the width, for integers."""
    if y.dtype == dtype:
        return y
    if dtype.kind in "bui" and y.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            if dtype.kind == "b":
                return np.asarray(np.trunc(y) != 0)
            if dtype == np.uint64:
                return np.where(y < 0, y.astype(np.int64).astype(dtype), y.astype(dtype))
            return y.astype(np.int32 if dtype.itemsize < 4 else np.int64).astype(dtype)
    return y.astype(dtype)


def deliver(y: Array, output: Output, dtype: np.dtype[Any]) -> Array:
    """The result in the caller's array, if there is one, or in a new one of ``dtype``."""
    y = cast(y, dtype)
    if not isinstance(output, np.ndarray):
        return y
    if output.shape != y.shape:
        raise ValueError(f"output has shape {output.shape}, but the result has shape {y.shape}")
    if not output.flags.writeable:
        raise ValueError("output is read-only")
    output[...] = y
    return output
