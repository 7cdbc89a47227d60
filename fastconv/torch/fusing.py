"""Convolutions that do the work of the modules behind them: batch normalisation as weights, ReLU as the last step.

That happens in inference alone, call by call. A result carries a note of what has been done to it, on which the modules
behind pass it on. Nothing of a network but classes is changed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from fastconv.torch.operator import observed

_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Behind:
    """The modules behind a convolution: a batch normalisation or none, and perhaps a ReLU.

    Folded weights are kept, and made again when a tensor they come from is another one or was changed in place.
    """

    def __init__(self, norm: Any, relu: bool) -> None:
        self.norm, self.relu = norm, relu
        self._sources: tuple[Tensor | None, ...] = ()
        self._key: tuple[Any, ...] = ()
        self._folded: tuple[Tensor, Tensor | None] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Behind, (self.norm, self.relu)

    @property
    def activation(self) -> str | None:
        return "relu" if self.relu else None

    def applies(self) -> bool:
        """Whether the normalisation is the same for every input."""
        return self.norm is None or (not self.norm.training and self.norm.running_mean is not None)

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weights and bias of the convolution and the normalisation together."""
        norm = self.norm
        if norm is None:
            return weight, bias
        sources = weight, bias, norm.weight, norm.bias, norm.running_mean, norm.running_var
        key = (norm.eps, *((t._version, t.data_ptr()) for t in sources if t is not None))
        same = len(self._sources) == len(sources) and all(a is b for a, b in zip(self._sources, sources, strict=True))
        if self._folded is None or not same or key != self._key:
            self._folded = _fold(weight, bias, norm)
            self._sources, self._key = sources, key
        return self._folded

    def note(self, output: Tensor) -> Tensor:
        output.__dict__["_fastconv_behind"] = self  # an attribute that no stub of Tensor need know
        return output


def _fold(weight: Tensor, bias: Tensor | None, norm: Any) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.no_grad():
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        shift = -norm.running_mean.double() * scale
        if bias is not None:
            shift = shift + bias.double() * scale
        if norm.bias is not None:
            shift = shift + norm.bias.double()
        wide = weight.double() * scale.reshape(-1, *[1] * (weight.dim() - 1))
        return wide.to(weight.dtype), shift.to(weight.dtype)


def _taken(input: Any) -> Behind | None:
    """The note of a tensor, if anybody has left one."""
    if observed() or type(input) is not Tensor:
        return None
    behind: Behind | None = input.__dict__.get("_fastconv_behind")
    return behind


class _Norm(nn.modules.batchnorm._BatchNorm):
    def forward(self, input: Tensor) -> Tensor:
        behind = _taken(input)
        if behind is not None and behind.norm is self:
            if not behind.relu:
                del input.__dict__["_fastconv_behind"]
            return input
        return super().forward(input)


class BatchNorm1d(_Norm, nn.BatchNorm1d):
    """As ``torch.nn.BatchNorm1d``, behind a convolution that may have done its work."""


class BatchNorm2d(_Norm, nn.BatchNorm2d):
    """As ``torch.nn.BatchNorm2d``, behind a convolution that may have done its work."""


class BatchNorm3d(_Norm, nn.BatchNorm3d):
    """As ``torch.nn.BatchNorm3d``, behind a convolution that may have done its work."""


class ReLU(nn.ReLU):
    """As ``torch.nn.ReLU``, behind a convolution that may have done its work."""

    def forward(self, input: Tensor) -> Tensor:
        behind = _taken(input)
        if behind is not None and behind.relu:
            del input.__dict__["_fastconv_behind"]
            return input
        return super().forward(input)


CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: BatchNorm1d,
    nn.BatchNorm2d: BatchNorm2d,
    nn.BatchNorm3d: BatchNorm3d,
    nn.ReLU: ReLU,
}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m).__module__.startswith("fastconv.torch") or super().is_leaf_module(m, module_qualified_name)


def find(model: nn.Module, convolutions: tuple[type[nn.Module], ...]) -> list[tuple[Any, Behind, list[nn.Module]]]:
    """Convolutions called once whose result goes to a normalisation or a ReLU alone: each, and what is behind it.

    Raises ValueError for a network that ``torch.fx`` cannot trace.
    """
    try:
        graph = _Tracer().trace(model)
    except Exception as error:
        raise ValueError(f"fuse=True needs a network that torch.fx can trace: {error}") from error
    modules = dict(model.named_modules())
    calls: dict[int, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            called = id(modules[node.target])
            calls[called] = calls.get(called, 0) + 1

    def following(node: Any, kinds: tuple[type[nn.Module], ...], once: bool) -> Any:
        (user,) = node.users if len(node.users) == 1 else (None,)
        if user is None or user.op != "call_module" or user.args != (node,) or user.kwargs:
            return None
        module = modules[user.target]
        return user if type(module) in kinds and (not once or calls[id(module)] == 1) else None

    norms = (*_NORMS, *(CLASSES[norm] for norm in _NORMS))
    found = []
    for node in graph.nodes:
        if node.op != "call_module" or type(modules[node.target]) not in convolutions:
            continue
        conv = modules[node.target]
        if calls[id(conv)] != 1:
            continue
        norm = following(node, norms, True)
        relu = following(norm or node, (nn.ReLU, ReLU), False)
        behind = [modules[user.target] for user in (norm, relu) if user is not None]
        if behind:
            found.append((conv, Behind(modules[norm.target] if norm else None, relu is not None), behind))
    return found
