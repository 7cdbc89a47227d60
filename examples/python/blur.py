"""blur.py: a blur and a maximum over windows, through the C interface alone.

Prints the picture before, blurred, and the brightest of each 2x2 pixels of the blurred one.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from pathlib import Path

import fastconv

Int3, Int5 = ctypes.c_int64 * 3, ctypes.c_int64 * 5


class Array(ctypes.Structure):
    """fastconv_array: memory of ours, described."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("shape", Int5),
        ("stride", Int5),
    ]


class ConvDesc(ctypes.Structure):
    """fastconv_conv_desc."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("spatial_dims", ctypes.c_int32),
        ("dtype", ctypes.c_int32),
        *((name, ctypes.c_int64) for name in ("batch", "groups", "in_channels", "out_channels")),
        *((name, Int3) for name in ("input", "kernel", "output", "stride", "dilation", "pad_before", "pad_after")),
        ("mode", ctypes.c_int32 * 3),
        *((name, ctypes.c_int32) for name in ("activation", "algorithm", "reserved")),
    ]


class PoolDesc(ctypes.Structure):
    """fastconv_pool_desc."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("spatial_dims", ctypes.c_int32),
        ("windows", ctypes.c_int32),
        *((name, Int3) for name in ("kernel", "output", "stride", "dilation", "pad_before", "pad_after")),
        ("ceil_mode", ctypes.c_int32),
        ("count_include_pad", ctypes.c_int32),
        ("divisor", ctypes.c_int64),
        ("norm", ctypes.c_double),
        ("norm_mean", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("starts", ctypes.c_void_p),
    ]


FLOAT32, REFLECT = 0, 1  # enumerators of the header


def load() -> ctypes.CDLL:
    name = {"win32": "fastconv.dll", "darwin": "libfastconv.dylib"}.get(sys.platform, "libfastconv.so")
    folder = Path(fastconv.get_library_dir())
    library = ctypes.CDLL(str(folder.parent / name if sys.platform == "win32" else folder / name))
    library.fastconv_last_error.restype = ctypes.c_char_p
    return library


LIBRARY = load()


def call(name: str, *arguments: object) -> None:
    """A function that returns a status; a status that is not 0 becomes an exception with the library's message."""
    if getattr(LIBRARY, f"fastconv_{name}")(*arguments):
        raise RuntimeError(LIBRARY.fastconv_last_error().decode())


def describe(numbers: array[float], *shape: int) -> Array:
    described = Array()
    address, length = numbers.buffer_info()
    assert length == shape[0] * shape[1] * shape[2] * shape[3]
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    call("array_init", ctypes.byref(described), ctypes.c_void_p(address), FLOAT32, len(shape), sizes)
    return described


def convolution(height: int, width: int, kernel: tuple[int, int]) -> ctypes.c_void_p:
    """One channel to one, as large as the picture, which is mirrored at its border."""
    desc, handle = ConvDesc(), ctypes.c_void_p()
    call("conv_desc_init", ctypes.byref(desc), ctypes.c_size_t(ctypes.sizeof(desc)))
    for axis, (size, taps) in enumerate(zip((height, width), kernel, strict=True)):
        desc.input[axis], desc.kernel[axis], desc.mode[axis] = size, taps, REFLECT
        desc.pad_before[axis] = desc.pad_after[axis] = taps // 2
    call("conv_create", ctypes.byref(desc), ctypes.byref(handle))
    return handle


def blurred(picture: array[float], height: int, width: int) -> array[float]:
    """1 2 1 along the columns, then along the rows, over 16."""
    for kernel in ((3, 1), (1, 3)):
        weights, result = array("f", [0.25, 0.5, 0.25]), array("f", bytes(4 * height * width))
        conv = convolution(height, width, kernel)
        x, y = (describe(numbers, 1, 1, height, width) for numbers in (picture, result))
        w = describe(weights, 1, 1, *kernel)
        call("conv_forward", conv, ctypes.byref(x), ctypes.byref(w), None, ctypes.byref(y), None, ctypes.c_size_t(0))
        LIBRARY.fastconv_conv_free(conv)
        picture = result
    return picture


def brightest(picture: array[float], height: int, width: int) -> array[float]:
    desc = PoolDesc()
    call("pool_desc_init", ctypes.byref(desc), ctypes.c_size_t(ctypes.sizeof(desc)))
    desc.kernel[0] = desc.kernel[1] = desc.stride[0] = desc.stride[1] = 2
    result = array("f", bytes(height * width))
    x, y = describe(picture, 1, 1, height, width), describe(result, 1, 1, height // 2, width // 2)
    call("max_pool", ctypes.byref(desc), ctypes.byref(x), ctypes.byref(y), None)
    return result


def show(numbers: array[float], width: int) -> None:
    for start in range(0, len(numbers), width):
        print(" ".join(f"{value:g}" for value in numbers[start : start + width]))
    print()


def main() -> None:
    height, width = 6, 8
    picture = array("f", [float((row * 5 + column * 3) % 16) for row in range(height) for column in range(width)])
    show(picture, width)
    smooth = blurred(picture, height, width)
    show(smooth, width)
    show(brightest(smooth, height, width), width // 2)


if __name__ == "__main__":
    main()
