"""The matrix of a convolution, made in blocks of rows and never stored whole.

Flatten the input and the output and a convolution is a product with a doubly blocked Toeplitz matrix: row
``(o, y, x)`` holds ``weight[o, c, r, s]`` in column ``(c, y + r - padding, x + s - padding)`` and zeros elsewhere. It
is the weight matrix of the dense layer that computes the same thing. For one 320 x 280 picture it has 89,320 x 89,600
entries, 32 GB in float32, of which 178,640 are not zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class ToeplitzMatrix:
    """Matrix of ``conv2d(x, weight, padding=padding)`` for inputs of shape ``(C, H, W)``, zeros beyond the border.

    weight: ``(O, C, kH, kW)``. ``shape`` is (outputs, inputs), ``image_row`` the number of outputs in a row of the
    output picture.
    """

    def __init__(self, weight: Array, input_shape: tuple[int, int, int], padding: int) -> None:
        self._weight = weight
        self._input_shape = input_shape
        self._padding = padding
        channels, height, width = input_shape
        filters, _, kernel_height, kernel_width = weight.shape
        self._output_shape = (
            filters,
            height + 2 * padding - kernel_height + 1,
            width + 2 * padding - kernel_width + 1,
        )
        self.image_row = self._output_shape[2]
        self.shape = (int(np.prod(self._output_shape)), channels * height * width)

    def rows_within(self, size: int) -> int:
        """Rows of a block of at most ``size`` bytes: whole rows of the output picture if one fits, else what fits."""
        rows = max(size // (self.shape[1] * self._weight.itemsize), 1)
        return min(rows - rows % self.image_row or rows, self.shape[0])

    def blocks(self, rows: int) -> Iterator[tuple[int, Array]]:
        """The matrix from top to bottom as (first row, block), ``rows`` rows a block, the last one what is left.

        All blocks share one buffer: a block is gone when the next is asked for.
        """
        buffer = np.empty((rows, self.shape[1]), self._weight.dtype)
        buffer.fill(0)  # written, and not np.zeros: pages never written all map to one, and would be read from cache
        flat = buffer.reshape(-1)
        for first in range(0, self.shape[0], rows):
            count = min(rows, self.shape[0] - first)
            places, values = self._entries(first, count)
            flat[places] = values
            yield first, buffer[:count]
            flat[places] = 0

    def _entries(self, first: int, count: int) -> tuple[Array, Array]:
        """Flat positions inside a block of the entries that are not structurally zero, and their values."""
        _, height, width = self._input_shape
        o, y, x = np.unravel_index(np.arange(first, first + count), self._output_shape)
        c, r, s = (index.reshape(-1) for index in np.indices(self._weight.shape[1:]))
        rows, columns = y[:, None] + r - self._padding, x[:, None] + s - self._padding
        places = np.arange(count)[:, None] * self.shape[1] + (c * height + rows) * width + columns
        values = self._weight.reshape(self._weight.shape[0], -1)[o]
        if not self._padding:
            return places.reshape(-1), values.reshape(-1)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return places[inside], values[inside]
