"""The photograph that every problem of the job takes its input from.

It is ``grace_hopper.jpg`` of matplotlib's sample data (512 x 600 pixels, Grace Murray Hopper, public domain). It is cut
to the wanted aspect ratio, as much of it as fits, centred across and from the top down (the face is there), then
resized with Pillow's area average. Grey levels and colours stay whole numbers from 0 to 255, so that the sums of the
job are exact in float32 and two ways to the same result can be compared bit by bit.
"""

from __future__ import annotations

from functools import cache
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NAME = "grace_hopper.jpg"


@cache
def _original() -> Any:
    from matplotlib.cbook import get_sample_data
    from PIL import Image

    with Image.open(get_sample_data(NAME, asfileobj=False)) as image:
        return image.convert("RGB")


def picture(height: int, width: int, channels: int) -> Array:
    """The photograph as ``(channels, height, width)`` float32, whole numbers 0..255; 1 channel is grey, 3 are RGB."""
    from PIL import Image

    image = _original()
    scale = min(image.width / width, image.height / height)
    cut_width, cut_height = round(width * scale), round(height * scale)
    left = (image.width - cut_width) // 2
    image = image.crop((left, 0, left + cut_width, cut_height)).resize((width, height), Image.Resampling.BOX)
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.float32)
    return np.ascontiguousarray(pixels.reshape(height, width, channels).transpose(2, 0, 1))


def batch(count: int, channels: int, height: int, width: int) -> Array:
    """Real data of any size, ``(count, channels, height, width)``: the photograph cut into tiles.

    With 1 or 3 channels a sample is one tile of the grey or the colour picture; with more channels each map of a sample
    is a grey tile of its own.
    """
    colours = channels if channels in (1, 3) else 1
    tiles = count * channels // colours
    columns = ceil(sqrt(tiles))
    rows = ceil(tiles / columns)
    whole = picture(rows * height, columns * width, colours)
    cut = whole.reshape(colours, rows, height, columns, width).transpose(1, 3, 0, 2, 4)
    cut = cut.reshape(rows * columns, colours, height, width)[:tiles]
    return np.ascontiguousarray(cut.reshape(count, channels, height, width))
