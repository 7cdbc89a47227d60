"""Convolution and correlation of signals, by the names, modes and boundaries of ``scipy.signal``; SciPy is not needed.

    from fastconv import signal

    edges = signal.convolve2d(image, [[-1, 0, 1]], mode="same", boundary="symm")
    many = signal.correlate(images[:, None], kernels, mode="valid", axes=(-2, -1))  # every image under every kernel

Arrays have one to three axes that are convolved, and in ``axes=`` any others, which broadcast as in numpy.

dtypes: float32, float64, complex64 and complex128 give the dtype of numpy's promotion. Integers give integers, as in
SciPy, and exactly so, modulo 2 to the power of their width. float16, longdouble and objects raise TypeError.
"""

from fastconv.signal.convolution import (
    choose_conv_method,
    convolve,
    convolve2d,
    correlate,
    correlate2d,
    fftconvolve,
    oaconvolve,
)

__all__ = [
    "choose_conv_method",
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "fftconvolve",
    "oaconvolve",
]
