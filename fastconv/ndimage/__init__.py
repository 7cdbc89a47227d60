"""Filters of arrays with any number of axes, by the names and modes of ``scipy.ndimage``; SciPy is not needed.

    from fastconv import ndimage

    smooth = ndimage.gaussian_filter(image, sigma=2)
    edges = ndimage.sobel(images, axis=-1, axes=(-2, -1))  # a batch: every image by itself
    maps = ndimage.correlate(image, kernels)  # (K, kH, kW): several kernels, (K, H, W)

float32 stays in single precision; integers are rounded towards zero and wrap, as in SciPy; float16, longdouble and
objects raise TypeError.
"""

from fastconv.ndimage.derivative import gaussian_gradient_magnitude, gaussian_laplace, laplace, prewitt, sobel
from fastconv.ndimage.extreme import maximum_filter, maximum_filter1d, minimum_filter, minimum_filter1d
from fastconv.ndimage.linear import convolve, convolve1d, correlate, correlate1d
from fastconv.ndimage.smooth import gaussian_filter, gaussian_filter1d, uniform_filter, uniform_filter1d

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "laplace",
    "maximum_filter",
    "maximum_filter1d",
    "minimum_filter",
    "minimum_filter1d",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]
