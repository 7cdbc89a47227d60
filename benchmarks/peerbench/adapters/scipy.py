"""SciPy: fftconvolve and oaconvolve over all planes at once, and ndimage's correlation plane by plane."""

# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import scipy
import scipy.fft
from problems import Array, Problem
from scipy import ndimage, signal

from peerbench.adapters import Call, require
from peerbench.task import Task

_threads = 1
_NDIMAGE_MODES = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest", "circular": "grid-wrap"}
_FFT_TAPS = 49  # smaller kernels are not what a transform is for
_PLANES = 256  # spectra of more pairs of channels would not fit


def setup(threads: int) -> str:
    global _threads
    _threads = threads
    return str(scipy.__version__)


def prepare(peer: str, task: Task) -> Call:
    p = task.problem
    require(task.direction == "forward" and p.op == "conv", "forward convolution only")
    require(set(p.stride + p.dilation) == {1}, "stride and dilation 1 only")
    return _ndimage(p, task) if peer == "scipy-ndimage" else _transform(p, task, peer)


def _transform(p: Problem, task: Task, peer: str) -> Call:
    require(p.mode == "zeros" and prod(p.kernel) >= _FFT_TAPS, f"zeros and {_FFT_TAPS} taps and more only")
    n, groups, per_group = p.input[0], p.groups, p.weight[1]
    require(n * p.oc * per_group <= _PLANES, f"more than {_PLANES} planes")
    convolve: Any = signal.fftconvolve if peer == "scipy-fft" else signal.oaconvolve
    spatial, axes = p.input[2:], tuple(range(-p.nd, 0))
    x = task.x.reshape(n, groups, 1, per_group, *spatial)
    w = np.flip(task.w, axes).reshape(1, groups, p.oc // groups, per_group, *p.kernel)
    crop = tuple(
        slice(k - 1 - pad, k - 1 - pad + m) for k, pad, m in zip(p.kernel, p.padding, p.output[2:], strict=True)
    )

    def run() -> Any:
        with scipy.fft.set_workers(_threads):
            full = convolve(x, w, mode="full", axes=axes)
        return full[..., *crop].sum(axis=3) if per_group > 1 else full[:, :, :, 0, *crop]

    return Call(run, lambda y: y.reshape(p.output))


def _ndimage(p: Problem, task: Task) -> Call:
    require(p.weight[1] == 1 and p.family in ("one-channel", "mode"), "one channel and small filters only")
    require(all(2 * pad < k for pad, k in zip(p.padding, p.kernel, strict=True)), "no such border")
    mode, per_channel = _NDIMAGE_MODES[p.mode], p.oc // p.groups
    crop = tuple(
        slice(k // 2 - pad, k // 2 - pad + m) for k, pad, m in zip(p.kernel, p.padding, p.output[2:], strict=True)
    )
    pairs = [(image[o // per_channel], task.w[o, 0]) for image in task.x for o in range(p.oc)]

    def run() -> list[Array]:
        return [ndimage.correlate(plane, kernel, mode=mode, cval=0.0)[crop] for plane, kernel in pairs]

    return Call(run, lambda planes: np.stack(planes).reshape(p.output))
