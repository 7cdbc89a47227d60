"""Modules that take the place of PyTorch's own: subclasses with the same arguments, parameters and ``state_dict``.

What fastconv does not compute (other devices and dtypes, autocast) they leave to the class they stand for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import conv as _conv
from torch.nn.modules import pooling as _pooling

from fastconv.torch import functional as F
from fastconv.torch.fusing import Behind
from fastconv.torch.packing import PackedWeights, may_pack

_DTYPES = (torch.float32, torch.float64)


def _ours(x: Tensor, weight: Tensor | None = None) -> bool:
    """Whether fastconv computes a call with these tensors."""
    return (
        x.is_cpu
        and x.dtype in _DTYPES
        and x.layout == torch.strided
        and (weight is None or weight.dtype == x.dtype and weight.is_cpu and not torch.is_autocast_enabled("cpu"))
    )


class _Conv(_conv._ConvNd):
    """{nd}-d convolution, as ``torch.nn.Conv{nd}d``.

    With ``pack_weights = True``, in eval mode and where no gradient is wanted, the weights are made ready once and kept
    beside the parameters, in up to four times their memory. They are packed again when a parameter changes, and after
    ``train()`` or ``eval()``; changes through ``parameter.data`` are not seen before that. It is worth while where the
    packed weights of the network fit the processor's cache; larger ones take longer to read than to pack.
    """

    _nd: int
    pack_weights = False
    _packed: PackedWeights | None = None
    behind: Behind | None = None  # what it does besides, by accelerate(fuse=True)

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        if not _ours(input, weight):
            fallback: Tensor = super().forward(input)
            return fallback
        behind = self.behind
        if self.training or not (self.pack_weights or behind) or not may_pack(input, weight, bias):
            return self._convolve(input, weight, bias, None)
        if behind is None or not behind.applies():
            return self._infer(input, weight, bias, None)
        return behind.note(self._infer(input, *behind.folded(weight, bias), behind.activation))

    def _infer(self, input: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None) -> Tensor:
        if not self.pack_weights:
            return self._convolve(input, weight, bias, activation)
        if self._packed is None:
            self._packed = PackedWeights()
        steps = self.stride, self.padding, self.dilation, self.groups, self.padding_mode, activation
        return self._packed(input, weight, bias, steps)

    def _convolve(self, input: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None) -> Tensor:
        steps = self.stride, self.padding, self.dilation, self.groups
        options = {"padding_mode": self.padding_mode, "activation": activation}
        result: Tensor = _CONVS[self._nd](input, weight, bias, *steps, **options)
        return result

    def train(self, mode: bool = True) -> Any:
        self.__dict__.pop("_packed", None)
        return super().train(mode)


class Conv1d(_Conv, nn.Conv1d):
    __doc__ = str(_Conv.__doc__).format(nd=1)
    _nd = 1


class Conv2d(_Conv, nn.Conv2d):
    __doc__ = str(_Conv.__doc__).format(nd=2)
    _nd = 2


class Conv3d(_Conv, nn.Conv3d):
    __doc__ = str(_Conv.__doc__).format(nd=3)
    _nd = 3


_CONVS: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class _ConvTranspose(_conv._ConvTransposeNd):
    """{nd}-d transposed convolution, as ``torch.nn.ConvTranspose{nd}d``."""

    _nd: int

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _ours(input, self.weight):
            fallback: Tensor = super().forward(input, output_size)
            return fallback
        sizes: Any = self.stride, self.padding, self.kernel_size, self._nd, self.dilation
        extra = self._output_padding(input, output_size, *sizes)
        steps = self.stride, self.padding, extra, self.groups, self.dilation
        result: Tensor = _TRANSPOSES[self._nd](input, self.weight, self.bias, *steps)
        return result


class ConvTranspose1d(_ConvTranspose, nn.ConvTranspose1d):
    __doc__ = str(_ConvTranspose.__doc__).format(nd=1)
    _nd = 1


class ConvTranspose2d(_ConvTranspose, nn.ConvTranspose2d):
    __doc__ = str(_ConvTranspose.__doc__).format(nd=2)
    _nd = 2


class ConvTranspose3d(_ConvTranspose, nn.ConvTranspose3d):
    __doc__ = str(_ConvTranspose.__doc__).format(nd=3)
    _nd = 3


_TRANSPOSES: dict[int, Any] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class _MaxPool(_pooling._MaxPoolNd):
    _pool: Any

    def forward(self, input: Tensor) -> Any:
        if not _ours(input):
            return super().forward(input)
        windows = self.kernel_size, self.stride, self.padding, self.dilation
        return self._pool(input, *windows, self.ceil_mode, self.return_indices)


class MaxPool1d(_MaxPool, nn.MaxPool1d):
    """As ``torch.nn.MaxPool1d``."""

    _pool = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool, nn.MaxPool2d):
    """As ``torch.nn.MaxPool2d``."""

    _pool = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool, nn.MaxPool3d):
    """As ``torch.nn.MaxPool3d``."""

    _pool = staticmethod(F.max_pool3d)


class _AvgPool(_pooling._AvgPoolNd):
    _pool: Any
    kernel_size: Any
    stride: Any
    padding: Any
    ceil_mode: bool
    count_include_pad: bool
    divisor_override: int | None = None  # the 1-d pool has none

    def forward(self, input: Tensor) -> Any:
        if not _ours(input):
            return super().forward(input)
        windows = self.kernel_size, self.stride, self.padding
        return self._pool(input, *windows, self.ceil_mode, self.count_include_pad, self.divisor_override)


class AvgPool1d(_AvgPool, nn.AvgPool1d):
    """As ``torch.nn.AvgPool1d``."""

    _pool = staticmethod(F.avg_pool1d)


class AvgPool2d(_AvgPool, nn.AvgPool2d):
    """As ``torch.nn.AvgPool2d``."""

    _pool = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool, nn.AvgPool3d):
    """As ``torch.nn.AvgPool3d``."""

    _pool = staticmethod(F.avg_pool3d)


class _LPPool(_pooling._LPPoolNd):
    _pool: Any

    def forward(self, input: Tensor) -> Any:
        if not _ours(input) or self.norm_type % 2:  # PyTorch takes no magnitudes: odd powers keep their sign
            return super().forward(input)
        return self._pool(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool1d(_LPPool, nn.LPPool1d):
    """As ``torch.nn.LPPool1d``."""

    _pool = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool, nn.LPPool2d):
    """As ``torch.nn.LPPool2d``."""

    _pool = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool, nn.LPPool3d):
    """As ``torch.nn.LPPool3d``."""

    _pool = staticmethod(F.lp_pool3d)


class _AdaptiveAvgPool(_pooling._AdaptiveAvgPoolNd):
    _pool: Any

    def forward(self, input: Tensor) -> Any:
        return self._pool(input, self.output_size) if _ours(input) else super().forward(input)


class AdaptiveAvgPool1d(_AdaptiveAvgPool, nn.AdaptiveAvgPool1d):
    """As ``torch.nn.AdaptiveAvgPool1d``."""

    _pool = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool, nn.AdaptiveAvgPool2d):
    """As ``torch.nn.AdaptiveAvgPool2d``."""

    _pool = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool, nn.AdaptiveAvgPool3d):
    """As ``torch.nn.AdaptiveAvgPool3d``."""

    _pool = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMaxPool(_pooling._AdaptiveMaxPoolNd):
    _pool: Any

    def forward(self, input: Tensor) -> Any:
        return self._pool(input, self.output_size, self.return_indices) if _ours(input) else super().forward(input)


class AdaptiveMaxPool1d(_AdaptiveMaxPool, nn.AdaptiveMaxPool1d):
    """As ``torch.nn.AdaptiveMaxPool1d``."""

    _pool = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool, nn.AdaptiveMaxPool2d):
    """As ``torch.nn.AdaptiveMaxPool2d``."""

    _pool = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool, nn.AdaptiveMaxPool3d):
    """As ``torch.nn.AdaptiveMaxPool3d``."""

    _pool = staticmethod(F.adaptive_max_pool3d)
