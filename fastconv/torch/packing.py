"""Weights made ready once for the many calls of inference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastconv.packed import PackedConv1d, PackedConv2d, PackedConv3d
from fastconv.torch.operator import is_plain, observed
from fastconv.torch.tensors import as_array, as_tensor, with_torch_threads

_CLASSES: dict[int, Any] = {1: PackedConv1d, 2: PackedConv2d, 3: PackedConv3d}


class PackedWeights:
    """The packed weights of a module, packed again when the weight, the bias or the options are not what they were.

    A change is seen by the tensor's identity, its address and PyTorch's count of in-place changes; that count misses
    what is done through ``tensor.data`` or numpy. A copy or a pickle of this object is empty.
    """

    def __init__(self) -> None:
        self._tensors: tuple[Tensor | None, ...] = ()
        self._key: tuple[Any, ...] = ()
        self._run: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedWeights, ()

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None, options: tuple[Any, ...]) -> Tensor:
        key = (weight._version, weight.data_ptr(), None if bias is None else (bias._version, bias.data_ptr()), options)
        known = self._tensors and self._tensors[0] is weight and self._tensors[1] is bias
        if not known or self._key != key:
            self._pack(weight, bias, options)
            self._tensors, self._key = (weight, bias), key
        return as_tensor(self._run(as_array(x, "input"), None))

    def _pack(self, weight: Tensor, bias: Tensor | None, options: tuple[Any, ...]) -> None:
        *steps, padding_mode, activation = options
        arrays = as_array(weight, "weight"), None if bias is None else as_array(bias, "bias")
        packed = _CLASSES[weight.dim() - 2](*arrays, *steps, padding_mode=padding_mode, activation=activation)
        self._run = with_torch_threads(packed)


def may_pack(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether a call is plain inference, and changes to the weights are counted."""
    weights = (weight,) if bias is None else (weight, bias)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *weights)):
        return False
    return not observed() and is_plain(x) and all(is_plain(t) and not t.is_inference() for t in weights)
