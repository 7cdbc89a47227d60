"""The functions of fastconv with results in the caller's own kind of array.

    from fastconv import interop

    y = interop.conv2d(x, weight)  # x of PyTorch, y of PyTorch; x of JAX, y of JAX; x a memoryview, y a memoryview

Every function takes arrays of any library that shares CPU memory by DLPack, the buffer protocol or ``__array__``,
without a copy, here and in ``fastconv`` itself. There the result is a numpy array; here it is handed on, without a copy
again, to the library of the call's first argument. ``out`` may be an array of any library that can be written to.
Gradients are not recorded: ``fastconv.torch`` does that.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np

import fastconv
from fastconv.functional import Array


def _keep(array: Array) -> Array:
    return array


def _library_of(kind: type) -> Any:
    """The top module of the first class of ``kind`` whose library takes DLPack: ``torch`` for a subclass of Tensor."""
    for base in kind.__mro__:
        library = sys.modules.get(base.__module__.partition(".")[0])
        if hasattr(library, "from_dlpack"):
            return library
    return None


def _converter(like: Any) -> Callable[[Array], Any]:
    """From a numpy array to an array like ``like``."""
    if isinstance(like, np.ndarray):
        return _keep
    namespace = getattr(like, "__array_namespace__", None)
    library = namespace() if namespace is not None else _library_of(type(like))
    if library is not None and hasattr(like, "__dlpack__"):
        return cast(Callable[[Array], Any], library.from_dlpack)
    try:
        memoryview(like)
    except TypeError:
        return _keep
    return cast(Callable[[Array], Any], memoryview)


def _writable(out: Any) -> Array:
    """An array over the memory of ``out``."""
    view = np.asarray(out)
    if view.flags.owndata and hasattr(out, "__dlpack__"):
        view = np.from_dlpack(out)
    if view.flags.owndata:  # a copy: what is written there is lost
        raise TypeError(f"out must share its memory by DLPack or the buffer protocol, got {type(out)}")
    return view


def as_caller(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with its results, in tuples too, in the kind of array of its first argument.

    For what this module has no name of: ``as_caller(fastconv.PackedConv2d(weight))``. Lists and other things that are
    no arrays get numpy arrays. Raises TypeError for an ``out`` whose memory cannot be shared.
    """

    @functools.wraps(function, updated=())
    def call(*arguments: Any, **options: Any) -> Any:
        convert = _converter(arguments[0] if arguments else next(iter(options.values()), None))
        out = options.get("out")
        if out is None or isinstance(out, np.ndarray):
            return _convert(function(*arguments, **options), convert)
        view = options["out"] = _writable(out)
        return _convert(function(*arguments, **options), lambda array: out if array is view else convert(array))

    return call


def _convert(result: Any, convert: Callable[[Array], Any]) -> Any:
    if isinstance(result, np.ndarray):
        return convert(result)
    if isinstance(result, tuple):
        parts = [_convert(part, convert) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    return result


_NAMES = tuple(name for name in fastconv.__all__ if inspect.isfunction(getattr(fastconv, name)))


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in _NAMES:
        raise AttributeError(f"module 'fastconv.interop' has no attribute {name!r}")
    wrapped = globals()[name] = as_caller(getattr(fastconv, name))
    return wrapped


def __dir__() -> list[str]:
    return sorted({"as_caller", *_NAMES})
