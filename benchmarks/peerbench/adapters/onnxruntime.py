"""ONNX Runtime: a model of one Conv node whose weights are constants."""

# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

import onnxruntime as ort
from onnx import helper, numpy_helper
from problems import Problem

from peerbench.adapters import Call, require
from peerbench.task import Task

_options = ort.SessionOptions()


def setup(threads: int) -> str:
    _options.intra_op_num_threads = threads
    _options.inter_op_num_threads = 1
    _options.log_severity_level = 3
    return str(ort.__version__)


def prepare(peer: str, task: Task) -> Call:
    p, x = task.problem, task.x
    require(task.direction == "forward" and p.op == "conv" and p.mode == "zeros", "forward convolution with zeros only")
    require(p.dtype == "float32", "its Conv computes in float32")
    session = ort.InferenceSession(_model(p, task), _options, providers=["CPUExecutionProvider"])
    feeds = {"x": x}
    return Call(lambda: session.run(None, feeds), lambda outputs: outputs[0])


def _model(p: Problem, task: Task) -> bytes:
    kind = helper.np_dtype_to_tensor_dtype(task.x.dtype)
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"],
        kernel_shape=p.kernel, strides=p.stride, pads=p.padding * 2, dilations=p.dilation, group=p.groups,
    )  # fmt: skip
    x = helper.make_tensor_value_info("x", kind, p.input)
    y = helper.make_tensor_value_info("y", kind, p.output)
    graph = helper.make_graph([node], "convolution", [x], [y], [numpy_helper.from_array(task.w, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data
