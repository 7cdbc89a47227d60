"""OpenCV's filter2D: one image, one filter, stride 1. What it can do of a convolution, one call per pair."""

# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

import cv2
import numpy as np
from problems import Array

from peerbench.adapters import Call, require
from peerbench.task import Task

_BORDERS = {
    "zeros": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
}


def setup(threads: int) -> str:
    cv2.setNumThreads(threads)
    return str(cv2.__version__)


def prepare(peer: str, task: Task) -> Call:
    p, x, w = task.problem, task.x, task.w
    require(task.direction == "forward" and p.op == "conv" and p.nd == 2, "forward convolution in 2-d only")
    require(p.weight[1] == 1 and set(p.stride + p.dilation) == {1}, "one channel a filter, stride and dilation 1 only")
    require(
        p.mode in _BORDERS and all(2 * pad < k for pad, k in zip(p.padding, p.kernel, strict=True)), "no such border"
    )
    border, per_channel = _BORDERS[p.mode], p.oc // p.groups
    crop = tuple(
        slice(k // 2 - pad, k // 2 - pad + n) for k, pad, n in zip(p.kernel, p.padding, p.output[2:], strict=True)
    )
    pairs = [(image[o // per_channel], w[o, 0]) for image in x for o in range(p.oc)]

    def run() -> list[Array]:
        return [cv2.filter2D(plane, -1, kernel, borderType=border)[crop] for plane, kernel in pairs]

    return Call(run, lambda planes: np.stack(planes).reshape(p.output))
