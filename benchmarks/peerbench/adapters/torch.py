"""PyTorch, both memory formats: its own functions forward, the aten operators behind autograd backward."""

# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from problems import Array, Problem, Shape

from peerbench.adapters import Call, Unsupported, require
from peerbench.task import Task

Tensor = torch.Tensor


def setup(threads: int) -> str:
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return f"{torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"


def prepare(peer: str, task: Task) -> Call:
    p = task.problem
    nchw = peer == "torch"
    require(nchw or p.nd > 1, "no channels_last in 1-d")
    layout = torch.contiguous_format if nchw else (torch.channels_last, torch.channels_last_3d)[p.nd - 2]

    def load(array: Array) -> Tensor:
        return torch.from_numpy(array).contiguous(memory_format=layout)

    if p.op != "conv":
        run = _pool(p, task.direction, load(task.x), load(task.dy))
    elif p.mode != "zeros":
        run = _padded_convolution(p, task.direction, load(task.x), load(task.w), load(task.dy))
    else:
        run = _convolution(p, task.direction, load(task.x), load(task.w), load(task.dy), p.padding)
    return Call(run, lambda t: t.contiguous().numpy())


def _convolution(p: Problem, direction: str, x: Tensor, w: Tensor, dy: Tensor, padding: Shape) -> Callable[[], Tensor]:
    if direction == "forward":
        forward: Any = (F.conv1d, F.conv2d, F.conv3d)[p.nd - 1]
        return lambda: forward(x, w, None, p.stride, padding, p.dilation, p.groups)
    wanted = ("grad_input", "grad_weight").index(direction)
    mask = [wanted == 0, wanted == 1, False]
    backward = torch.ops.aten.convolution_backward.default
    stride, pad, dilation, none = list(p.stride), list(padding), list(p.dilation), [0] * p.nd
    return lambda: backward(dy, x, w, None, stride, pad, dilation, False, none, p.groups, mask)[wanted]


def _padded_convolution(p: Problem, direction: str, x: Tensor, w: Tensor, dy: Tensor) -> Callable[[], Tensor]:
    sides = [n for n in reversed(p.padding) for _ in range(2)]
    x.requires_grad_(direction == "grad_input")
    with torch.set_grad_enabled(direction == "grad_input"):
        padded = F.pad(x, sides, mode=p.mode)
    none = (0,) * p.nd
    if direction == "forward":
        forward: Any = (F.conv1d, F.conv2d, F.conv3d)[p.nd - 1]
        return lambda: forward(F.pad(x, sides, mode=p.mode), w, None, p.stride, none, p.dilation, p.groups)
    run = _convolution(p, direction, padded.detach(), w, dy, none)
    if direction == "grad_weight":
        return run
    return lambda: torch.autograd.grad(padded, x, run(), retain_graph=True)[0]


def _pool(p: Problem, direction: str, x: Tensor, dy: Tensor) -> Callable[[], Tensor]:
    if p.nd != 2:
        raise Unsupported("pools are compared in 2-d")
    aten = torch.ops.aten
    k, s, pad = list(p.kernel), list(p.stride), list(p.padding)
    if p.op == "max_pool":
        if direction == "forward":
            return lambda: F.max_pool2d(x, k, s, pad)
        _, indices = F.max_pool2d(x, k, s, pad, return_indices=True)
        return lambda: aten.max_pool2d_with_indices_backward.default(dy, x, k, s, pad, [1, 1], False, indices)
    if p.op == "avg_pool":
        if direction == "forward":
            return lambda: F.avg_pool2d(x, k, s, pad)
        return lambda: aten.avg_pool2d_backward.default(dy, x, k, s, pad, False, True, None)
    size: Any = list(p.output[2:])
    if direction == "forward":
        return lambda: F.adaptive_avg_pool2d(x, size)
    return lambda: aten._adaptive_avg_pool2d_backward.default(dy, x)
