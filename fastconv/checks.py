"""Numbers that callers give: an error names the argument and shows its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether ``value`` is an integer, and no truth value or span of time, which are integers to Python or numpy."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """``dtype`` as numpy's. Raises TypeError unless it is float32 or float64."""
    try:
        result: np.dtype[Any] = np.dtype("V" if dtype is None else dtype)  # None would be float64
    except (TypeError, ValueError):
        result = np.dtype("V")
    if result not in _FLOATS:
        raise TypeError(f"dtype must be float32 or float64, got {dtype!r}")
    return result


def as_array(name: str, value: Any, dtype: Any = None) -> NDArray[Any]:
    """``value`` as numpy sees it. Raises TypeError for no array and a masked one, whose mask would be forgotten."""
    if type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and masks are not minded: pass its .data or .filled(value)")
    try:
        return np.asarray(value, dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be an array, got {value!r:.120}: {error}") from error


def as_floats(name: str, value: Any) -> NDArray[Any]:
    """``value`` as numpy sees it. Raises TypeError unless it is an array of float32 or float64."""
    array = as_array(name, value)
    if array.dtype not in _FLOATS:
        got = f"dtype {array.dtype}" if isinstance(value, np.ndarray) else f"{value!r:.120}"
        raise TypeError(f"{name} must be an array of float32 or float64, got {got}")
    return array


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raises TypeError unless ``value`` is a ``kind``."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__module__}.{kind.__name__}, got {value!r:.120}")


def members(name: str, value: Any, what: str) -> list[Any]:
    """``value`` as a list. Raises TypeError for what cannot be gone through."""
    try:
        return list(value)
    except TypeError:
        raise TypeError(f"{name} must be an iterable of {what}, got {value!r:.120}") from None


def generator_of(seed: Any) -> np.random.Generator:
    """numpy's generator of a seed. Raises TypeError or ValueError for what is none."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed must be what numpy's default_rng takes, got {seed!r:.120}") from error


def check_whole(least: int, **values: Any) -> None:
    """Raises TypeError for a value that is no integer, ValueError for one below ``least``."""
    for name, value in values.items():
        if not is_whole(value):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")


def check_numbers(**values: Any) -> None:
    """Raises TypeError for a value that is no real number."""
    for name, value in values.items():
        if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
            raise TypeError(f"{name} must be a number, got {value!r}")


def plain(value: Any) -> Any:
    """numpy's numbers and arrays as Python's, which compare and print as such; others as they are."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def check_generator(rng: Any) -> None:
    """Raises TypeError unless ``rng`` is None or a generator of numpy's."""
    if not isinstance(rng, np.random.Generator | None):
        raise TypeError(f"rng must be a numpy.random.Generator or None, got {rng!r}")


def whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    """``value`` as a tuple. Raises TypeError unless it is a sequence of integers."""
    if isinstance(value, Sequence | np.ndarray) and np.ndim(value) == 1 and all(map(is_whole, value)):
        return tuple(value)
    raise TypeError(f"{name} must be a sequence of integers, got {value!r}")
