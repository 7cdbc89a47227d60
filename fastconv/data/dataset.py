"""Samples and targets side by side: splitting, standardising."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.checks import check_kind, check_numbers, generator_of, members

Array = NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """x: ``(N, C, ...)`` or ``(N, features)``, float32; y: ``(N,)`` integer labels, or ``(N, ...)`` targets.

    ``x, y = dataset`` works, and ``dataset[index]`` with a slice or an index array is a Dataset.
    Raises TypeError for what is no array, ValueError if the lengths differ.
    """

    x: Array
    y: Array
    classes: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            if not isinstance(getattr(self, name), np.ndarray) or not getattr(self, name).ndim:
                raise TypeError(f"{name} must be an array with an axis of samples, got {getattr(self, name)!r:.120}")
        if len(self.x) != len(self.y):
            raise ValueError(f"x has {len(self.x)} samples, y has {len(self.y)}")

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[Array]:
        return iter((self.x, self.y))

    def __getitem__(self, index: Any) -> Dataset:
        if isinstance(index, int | np.integer):
            raise TypeError(f"index must be a slice or an array, got {index!r}: use dataset.x[{index}]")
        return replace(self, x=self.x[index], y=self.y[index])

    def __repr__(self) -> str:
        kinds = f", {len(self.classes)} classes" if self.classes else ""
        return f"Dataset({self.name or 'unnamed'}: {len(self)} samples of {self.x.shape[1:]}{kinds})"


def split(dataset: Dataset, parts: Sequence[float | int], seed: int = 0, stratify: bool = True) -> list[Dataset]:
    """Shuffle and cut into ``parts``: shares that sum to at most 1, or numbers of samples.

    stratify: every part gets each class in the proportion of the whole (labels only; the rounding is spread so that
    sizes are exact). Raises ValueError for parts that do not fit.

    ``train, valid, test = split(dataset, (0.7, 0.15, 0.15))``
    """
    check_kind("dataset", dataset, Dataset)
    n = len(dataset)
    for part in members("parts", parts, "shares or sizes"):
        check_numbers(parts=part)
    sizes = [round(part * n) if isinstance(part, float | np.floating) else int(part) for part in parts]
    if not sizes or min(sizes) < 0 or sum(sizes) > n + (len(sizes) if sum(parts) <= 1 + 1e-9 else 0):
        raise ValueError(f"parts must be shares of at most 1 in all or sizes of at most {n} in all, got {parts!r}")
    rng = generator_of(seed)
    order = rng.permutation(n)
    if stratify and dataset.y.ndim == 1 and dataset.y.dtype.kind in "iu":
        order = order[_spread(dataset.y[order])]
    pieces = np.split(order, np.minimum(np.cumsum(sizes), n))[:-1]  # rounding may want one sample too many
    return [dataset[np.sort(piece)] for piece in pieces]


def _spread(labels: Array) -> Array:
    """An order in which any stretch holds the classes in their proportions: the k-th of m samples of a class goes to
    place (k + 1/2) / m."""
    place = np.empty(len(labels))
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    order: Array = np.argsort(place, kind="stable")
    return order


@dataclass(frozen=True)
class Standardizer:
    """``(x - mean) / std`` of each channel (axis 1), learnt from one set and applied to all.

    Learnt on the training set alone: statistics of the test set are something a model must not know.
    """

    mean: Array
    std: Array

    @classmethod
    def fit(cls, x: Array) -> Standardizer:
        """Mean and standard deviation of each channel over samples and positions; a constant channel keeps std 1."""
        if x.ndim < 2 or not len(x):
            raise ValueError(f"x must be (N, C, ...) with N at least 1, got shape {x.shape}")
        axes = (0, *range(2, x.ndim))
        shape = (1, x.shape[1], *(1,) * (x.ndim - 2))
        mean = x.mean(axis=axes, dtype=np.float64).reshape(shape)
        std = x.std(axis=axes, dtype=np.float64).reshape(shape)
        return cls(mean, np.where(std > 0, std, 1.0))

    def __call__(self, data: Any) -> Any:
        """A Dataset or an array, standardised, as float32 (float64 stays)."""
        if isinstance(data, Dataset):
            return replace(data, x=self(data.x))
        dtype = np.float64 if data.dtype == np.float64 else np.float32
        return (data * (1 / self.std).astype(dtype) - (self.mean / self.std).astype(dtype)).astype(dtype, copy=False)


def standardise(train: Dataset, *others: Dataset) -> list[Dataset]:
    """All sets standardised by the statistics of ``train``, channel by channel (:class:`Standardizer`)."""
    standardizer = Standardizer.fit(train.x)
    return [standardizer(dataset) for dataset in (train, *others)]
