"""fastconv itself: the plain call, the call with ``out=``, and the packed convolution."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from problems import Problem

from peerbench.adapters import Call, require
from peerbench.task import Task

fc: Any = import_module("fastconv")  # builds of any age are measured: their functions are looked up by name


def setup(threads: int) -> str:
    fc.set_num_threads(threads)
    return f"{fc.__version__} ({fc.show_config()['isa']})"


def prepare(peer: str, task: Task) -> Call:
    if peer == "fastconv-zeros":
        require(task.problem.mode != "zeros", "is the row itself")
        task = task.changed(mode="zeros")
    if peer == "fastconv-float32":
        require(task.problem.dtype != "float32", "is the row itself")
        task = task.changed(dtype="float32")
    if peer == "fastconv-packed":
        return _packed(task)
    call = _convolution(task) if task.problem.op == "conv" else _pool(task)
    if peer != "fastconv-out":
        return call
    run: Any = call.run
    out = np.empty_like(run())
    return Call(lambda: run(out=out))


def _options(p: Problem) -> dict[str, Any]:
    options = {"stride": p.stride, "padding": p.padding, "dilation": p.dilation, "groups": p.groups}
    return options | ({"padding_mode": p.mode} if p.mode != "zeros" else {})


def _convolution(task: Task) -> Call:
    p = task.problem
    table: dict[str, tuple[str, Any]] = {
        "forward": ("", lambda: (task.x, task.w)),
        "grad_input": ("_grad_input", lambda: (task.dy, task.w, p.input)),
        "grad_weight": ("_grad_weight", lambda: (task.dy, task.x, p.kernel)),
    }
    suffix, arguments = table[task.direction]
    function = getattr(fc, f"conv{p.nd}d{suffix}")
    return Call(partial(function, *arguments(), **_options(p)))


def _packed(task: Task) -> Call:
    p, x = task.problem, task.x
    name = f"PackedConv{p.nd}d"
    require(task.direction == "forward" and p.op == "conv", "forward convolution only")
    require(hasattr(fc, name), f"this build has no {name}")
    packed = getattr(fc, name)(task.w, None, **_options(p))
    return Call(lambda: packed(x))


def _pool(task: Task) -> Call:
    p, x = task.problem, task.x
    name = f"{p.op}{p.nd}d"
    options: tuple[Any, ...] = (p.kernel, p.stride, p.padding)
    if p.op == "adaptive_avg_pool":
        options = (p.output[2:],)
    elif p.op == "global_avg_pool":
        name, options = p.op, ()
    require(hasattr(fc, f"{name}_backward"), f"this build has no {name}")
    forward, backward = getattr(fc, name), getattr(fc, f"{name}_backward")
    if task.direction == "forward":
        return Call(partial(forward, x, *options))
    dy = task.dy
    if p.op == "max_pool":
        _, indices = forward(x, *options, return_indices=True)
        return Call(partial(backward, dy, x, *options, indices=indices))
    return Call(partial(backward, dy, x, *options))
