"""OpenVINO: a compiled model of one convolution with constant weights, in float32 throughout."""

# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

from typing import Any

import openvino as ov
from openvino import opset13 as ops

from peerbench.adapters import Call, require
from peerbench.task import Task

_core = ov.Core()
_config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}


def setup(threads: int) -> str:
    _config["INFERENCE_NUM_THREADS"] = threads
    return str(ov.__version__).split("-")[0]


def prepare(peer: str, task: Task) -> Call:
    p, x, w = task.problem, task.x, task.w
    require(task.direction == "forward" and p.op == "conv" and p.mode == "zeros", "forward convolution with zeros only")
    require(p.dtype == "float32", "computes in float32")
    source = ops.parameter(list(p.input), ov.Type.f32)
    steps = (list(p.stride), list(p.padding), list(p.padding), list(p.dilation))
    if p.groups == 1:
        node = ops.convolution(source, ops.constant(w), *steps)
    else:
        weight = w.reshape(p.groups, p.oc // p.groups, *w.shape[1:])
        node = ops.group_convolution(source, ops.constant(weight), *steps)
    request = _core.compile_model(ov.Model([node], [source]), "CPU", _config).create_infer_request()
    return Call(lambda: request.infer([x], share_inputs=True, share_outputs=True), lambda outputs: outputs[0].copy())
