"""Numbers that tell how good a model is: functions of its outputs and the targets, for the whole set at once.

outputs: logits ``(N, classes)``, or ``(N, 1)`` for two classes. targets: labels ``(N,)``, one-hot rows ``(N, classes)``
or a column ``(N, 1)`` of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.checks import members
from fastconv.nn.module import Array

Metric = Callable[[Array, Array], float]


def predicted(outputs: Array) -> Array:
    """Class of each sample: the largest of several logits, or whether a single one is above 0 (probability 0.5)."""
    flat = outputs.reshape(len(outputs), -1)
    result: Array = (flat[:, 0] > 0).astype(np.int64) if flat.shape[1] == 1 else flat.argmax(axis=1)
    return result


def labels_of(targets: Array) -> Array:
    """Labels from labels, from one-hot rows, or from a column of 0 and 1."""
    if targets.ndim == 1:
        return targets
    result: Array = targets[:, 0] if targets.shape[1] == 1 else targets.argmax(axis=1)
    return result


def accuracy(outputs: Array, targets: Array) -> float:
    """Share of right answers. (Some lectures call it precision, which is another thing: see :func:`precision`.)"""
    return float((predicted(outputs) == labels_of(targets)).mean())


def top_k_accuracy(outputs: Array, targets: Array, k: int = 5) -> float:
    """Share of samples whose label is among the ``k`` largest outputs. Raises ValueError for more than there are."""
    if not 1 <= k <= outputs.shape[1]:
        raise ValueError(f"k must be in [1, {outputs.shape[1]}], got {k}")
    best = np.argpartition(outputs, -k, axis=1)[:, -k:]
    return float((best == labels_of(targets)[:, None]).any(axis=1).mean())


def confusion_matrix(outputs: Array, targets: Array, classes: int | None = None) -> Array:
    """``matrix[t, p]``: how many samples of class ``t`` were taken for class ``p``."""
    truth, guess = labels_of(targets).astype(np.int64), predicted(outputs)
    n = classes or max(outputs.reshape(len(outputs), -1).shape[1], 2)
    matrix: Array = np.bincount(truth * n + guess, minlength=n * n).reshape(n, n)
    return matrix


def _share(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def precision(outputs: Array, targets: Array) -> float:
    """``TP / (TP + FP)``: of those called positive, how many are. Mean over classes where there are more than two."""
    matrix = confusion_matrix(outputs, targets)
    per_class = _share(matrix.diagonal(), matrix.sum(axis=0))
    return float(per_class[1] if len(matrix) == 2 else per_class.mean())


def recall(outputs: Array, targets: Array) -> float:
    """``TP / (TP + FN)``: of the positive ones, how many are found. Mean over classes where there are more than two."""
    matrix = confusion_matrix(outputs, targets)
    per_class = _share(matrix.diagonal(), matrix.sum(axis=1))
    return float(per_class[1] if len(matrix) == 2 else per_class.mean())


def f1(outputs: Array, targets: Array) -> float:
    """``2 TP / (2 TP + FP + FN)``, the harmonic mean of the two; mean over classes where there are more than two."""
    matrix = confusion_matrix(outputs, targets)
    per_class = _share(2 * matrix.diagonal(), matrix.sum(axis=0) + matrix.sum(axis=1))
    return float(per_class[1] if len(matrix) == 2 else per_class.mean())


def mean_absolute_error(outputs: Array, targets: Array) -> float:
    """Mean of ``|output - target|``."""
    return float(np.abs(outputs - targets).mean())


METRICS: dict[str, Metric] = {
    f.__name__: f for f in (accuracy, top_k_accuracy, precision, recall, f1, mean_absolute_error)
}


def resolve(metrics: Any) -> dict[str, Metric]:
    """Names or functions, or one of them, to ``{name: function}``. Raises ValueError for a name not in ``METRICS``."""
    chosen: dict[str, Metric] = {}
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    for metric in members("metrics", metrics, "names or functions"):
        if callable(metric):
            chosen[getattr(metric, "__name__", repr(metric))] = metric
        elif isinstance(metric, str) and metric in METRICS:
            chosen[metric] = METRICS[metric]
        else:
            raise ValueError(f"metrics must be functions or among {', '.join(METRICS)}, got {metric!r}")
    return chosen
