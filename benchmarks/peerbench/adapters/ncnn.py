"""ncnn: a net of one layer, run image by image as ncnn has no batches."""

# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
from problems import Problem

from peerbench.adapters import Call, require
from peerbench.task import Task

_threads = 1
_INPUT, _OUTPUT = "x", "y"


def setup(threads: int) -> str:
    global _threads
    _threads = threads
    ncnn.set_omp_num_threads(threads)
    return str(ncnn.__version__)


def prepare(peer: str, task: Task) -> Call:
    p = task.problem
    require(task.direction == "forward" and p.op == "conv" and p.mode == "zeros", "forward convolution with zeros only")
    require(p.dtype == "float32", "computes in float32")
    net = _net(p, task)
    images = list(task.x)

    def run() -> list[Any]:
        return [_infer(net, image) for image in images]

    return Call(run, lambda mats: np.stack([np.array(mat) for mat in mats]).reshape(p.output))


def _infer(net: Any, image: Any) -> Any:
    extractor = net.create_extractor()
    extractor.input(_INPUT, ncnn.Mat(image).clone())  # padded rows of channels need a copy of numpy's layout
    status, mat = extractor.extract(_OUTPUT)
    if status:
        raise RuntimeError(f"extract returned {status}")
    return mat


def _net(p: Problem, task: Task) -> Any:
    net = ncnn.Net()
    options = net.opt
    options.num_threads = _threads
    for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed"):
        if hasattr(options, f"use_{name}"):
            setattr(options, f"use_{name}", False)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.bin"
        weights.write_bytes(bytes(4) + task.w.tobytes())  # four zero bytes: float32 follows
        graph = Path(folder) / "graph.param"
        graph.write_text(f"7767517\n2 2\nInput in 0 1 {_INPUT}\n{_layer(p, task.w.size)}\n")
        if net.load_param(str(graph)) or net.load_model(str(weights)):
            raise RuntimeError("ncnn did not load its net")
    return net


def _layer(p: Problem, weights: int) -> str:
    """The layer's line; sizes by axis, width first, under numbers 10 apart."""
    values = {0: p.oc, 5: 0, 6: weights} | ({7: p.groups} if p.groups > 1 else {})
    for key, sizes in ((1, p.kernel), (2, p.dilation), (3, p.stride), (4, p.padding)):
        values |= {key + 10 * axis: size for axis, size in enumerate(reversed(sizes))}
    kind = ("ConvolutionDepthWise" if p.groups > 1 else "Convolution") + ("1D", "", "3D")[p.nd - 1]
    return f"{kind} layer 1 1 {_INPUT} {_OUTPUT} " + " ".join(f"{k}={v}" for k, v in values.items())
