"""Tensors as numpy arrays and back, without a copy, and how many threads a call from PyTorch may use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastconv import _core
from fastconv.functional import Array

_ZERO = {dtype: np.zeros((), dtype) for dtype in (np.dtype(np.float32), np.dtype(np.float64))}


def as_array(tensor: Tensor, name: str) -> Array:
    """The tensor's memory as an array; raises TypeError for a tensor whose memory numpy cannot see."""
    try:
        return tensor.detach().numpy() if tensor.requires_grad else tensor.numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"{name} must be a dense CPU tensor of float32 or float64, got {tensor.dtype} on {tensor.device}: {error}"
        ) from error


def as_tensor(array: Array) -> Tensor:
    return torch.from_numpy(array)


def shaped_like(array: Array, spatial: tuple[int, ...]) -> Array:
    """An array of one element, with ``array``'s leading sizes and the given last ones: for calls that need a shape."""
    shape = (*array.shape[: array.ndim - len(spatial)], *spatial)
    return np.ndarray(shape, array.dtype, _ZERO[array.dtype], strides=(0,) * len(shape))


def with_torch_threads(compute: Callable[..., Any]) -> Callable[..., Any]:
    """``compute`` on at most ``torch.get_num_threads()`` threads, or fewer inside ``with fastconv.threads(n)``."""

    def limited(*arguments: Any) -> Any:
        wanted = torch.get_num_threads()
        previous = _core.set_thread_limit(wanted)
        if 0 < previous < wanted:
            _core.set_thread_limit(previous)
        try:
            return compute(*arguments)
        finally:
            _core.set_thread_limit(previous)

    return limited
