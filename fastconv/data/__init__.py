"""Data sets, none of them downloaded; splitting, standardising, augmentation.

train, test = data.fashion_mnist()
train, valid = data.split(train, (0.9, 0.1))
train, valid, test = data.standardise(train, valid, test)       # by the statistics of train
"""

from fastconv.data.augment import compose, flip, shift, shift_images
from fastconv.data.dataset import Dataset, Standardizer, split, standardise
from fastconv.data.files import read_idx
from fastconv.data.sources import (
    SOURCES,
    admission,
    digits,
    fashion_mnist,
    load,
    mnist,
    moons,
    noisy_sine,
    shapes3d,
    time_series,
)

__all__ = [
    "Dataset",
    "SOURCES",
    "Standardizer",
    "admission",
    "compose",
    "digits",
    "fashion_mnist",
    "flip",
    "load",
    "mnist",
    "moons",
    "noisy_sine",
    "read_idx",
    "shapes3d",
    "shift",
    "shift_images",
    "split",
    "standardise",
    "time_series",
]
