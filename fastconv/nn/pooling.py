"""Pooling layers: the options, and the calls of fastconv's pooling functions forward and backward.

Each class of three (1-d, 2-d, 3-d) is one line of the tables below: they differ in the function they call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastconv import pooling
from fastconv.checks import check_generator, plain
from fastconv.nn import init
from fastconv.nn.module import Array, Gradient, Module, Reused

Axes = int | Sequence[int]


class _Pool(Module):
    function: ClassVar[str]  # name of the function in fastconv.pooling; its gradient is <name>_backward

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.arguments = tuple(map(plain, arguments))
        self.options = {name: plain(value) for name, value in options.items()}
        self._forward = getattr(pooling, self.function)
        self._backward = getattr(pooling, f"{self.function}_backward")
        self._out, self._grad_input = Reused(), Reused()

    def forward(self, x: Array) -> Array:
        self._save(x)
        key = (x.shape, x.dtype)
        return self._out.keep(key, self._forward(x, *self.arguments, **self.options, out=self._out.offer(key)))

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        x = self._take_saved()
        out = self._grad_input.empty(x.shape, x.dtype)
        return self._backward(grad, x, *self.arguments, **self.options, out=out)

    def describe(self) -> str:
        parts = [repr(a) for a in self.arguments]
        return ", ".join(parts + [f"{k}={v!r}" for k, v in self.options.items() if v != _DEFAULTS.get(k)])


class _WinnerPool(_Pool):
    """A pool that passes on the largest. Where each was is kept, so that backward touches the winners alone."""

    keeps_order = True
    keeps_sums = True
    keeps_indices = True

    def forward(self, x: Array) -> Array:
        if not self.training or not self.keeps_indices:
            return super().forward(x)
        key = (x.shape, x.dtype)
        out = self._out.offer(key)
        y, indices = self._forward(x, *self.arguments, **self.options, return_indices=True, out=out)
        self._save((x, indices))
        return self._out.keep(key, y)

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        if not self.keeps_indices:
            return super().backward(grad, need_input_grad)
        x, indices = self._take_saved()
        out = self._grad_input.empty(x.shape, x.dtype)
        return self._backward(grad, x, *self.arguments, **self.options, indices=indices, out=out)


class _MaxPool(_WinnerPool):
    """{nd}-d maximum over windows: "is the feature here?" See :func:`fastconv.max_pool{nd}d`."""

    def __init__(
        self,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Axes = 0,
        dilation: Axes = 1,
        *,  # PyTorch has return_indices here, before ceil_mode
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
        usual = (*self.arguments, *self.options.values()) in ((2, None, 0, 1, ceil_mode), (2, 2, 0, 1, ceil_mode))
        self.keeps_indices = not (usual and self.function == "max_pool2d")  # its kernel finds winners again at once


class _AvgPool(_Pool):
    """{nd}-d mean over windows. See :func:`fastconv.avg_pool{nd}d`."""

    def __init__(
        self,
        kernel_size: Axes,
        stride: Axes | None = None,
        padding: Axes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(
            kernel_size,
            stride=stride,
            padding=padding,
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
            divisor_override=divisor_override,
        )


class _LPPool(_Pool):
    """{nd}-d ``(sum |x|^p)^(1/p)`` over windows, ``p = norm_type``. See :func:`fastconv.lp_pool{nd}d`."""

    def __init__(
        self,
        norm_type: float,
        kernel_size: Axes,
        stride: Axes | None = None,
        ceil_mode: bool = False,
        *,
        mean: bool = False,
    ) -> None:
        super().__init__(norm_type, kernel_size, stride=stride, ceil_mode=ceil_mode, mean=mean)


class _AdaptiveAvgPool(_Pool):
    """{nd}-d mean over as many windows as ``output_size`` says. See :func:`fastconv.adaptive_avg_pool{nd}d`."""

    def __init__(self, output_size: Axes) -> None:
        super().__init__(output_size)


class _AdaptiveMaxPool(_WinnerPool):
    """{nd}-d maximum over as many windows as ``output_size`` says. See :func:`fastconv.adaptive_max_pool{nd}d`."""

    def __init__(self, output_size: Axes) -> None:
        super().__init__(output_size)


class _FractionalMaxPool(_WinnerPool):
    """{nd}-d maximum over windows of pseudo-random places (Graham, 2014), drawn anew for every training batch.

    Inference always draws the same. See :func:`fastconv.fractional_max_pool{nd}d`.
    """

    def __init__(
        self,
        kernel_size: Axes,
        output_size: Axes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(kernel_size, output_size=output_size, output_ratio=output_ratio)
        check_generator(rng)
        self.rng = rng or init.generator()

    def forward(self, x: Array) -> Array:
        self.options["seed"] = int(self.rng.integers(2**31)) if self.training else 0
        return super().forward(x)


class _MaxUnpool(Module):
    """{nd}-d partial inverse of max pooling: zeros, with each input where its maximum was.

    ``forward(x, indices, output_size=None)`` takes the indices of ``fastconv.max_pool{nd}d(..., return_indices=True)``.
    See :func:`fastconv.max_unpool{nd}d`.
    """

    function: ClassVar[str]

    def __init__(self, kernel_size: Axes, stride: Axes | None = None, padding: Axes = 0) -> None:
        self.arguments = (kernel_size, stride, padding)
        self._forward = getattr(pooling, self.function)
        self._backward = getattr(pooling, f"{self.function}_backward")

    def forward(self, x: Array, indices: Array, output_size: Sequence[int] | None = None) -> Array:  # type: ignore[override]
        self._save((x, indices, output_size))
        y: Array = self._forward(x, indices, *self.arguments, output_size)
        return y

    def __call__(self, x: Array, indices: Array, output_size: Sequence[int] | None = None) -> Array:  # type: ignore[override]
        return self.forward(x, indices, output_size)

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        x, indices, output_size = self._take_saved()
        return self._backward(grad, x, indices, *self.arguments, output_size)

    def describe(self) -> str:
        return "{}, stride={}, padding={}".format(*self.arguments)


class GlobalAvgPool(_Pool):
    """Mean of each channel over all positions: ``(N, C, ...)`` to ``(N, C, 1, ...)``."""

    function = "global_avg_pool"

    def __init__(self) -> None:
        super().__init__()


class GlobalMaxPool(_WinnerPool):
    """Maximum of each channel over all positions: ``(N, C, ...)`` to ``(N, C, 1, ...)``."""

    function = "global_max_pool"

    def __init__(self) -> None:
        super().__init__()


class ChannelMaxPool(_WinnerPool):
    """Maximum over groups of channels, which is maxout for convolutions. See :func:`fastconv.channel_max_pool`."""

    function = "channel_max_pool"
    keeps_sums = False

    def __init__(self, pieces: int) -> None:
        super().__init__(pieces)


def _family(base: type[Module], name: str, function: str, dims: Sequence[int]) -> list[Any]:
    def layer(nd: int) -> Any:
        doc = (base.__doc__ or "").replace("{nd}", str(nd))
        names = {"function": f"{function}{nd}d", "__doc__": doc, "__module__": __name__}
        return type(f"{name}{nd}d", (base,), names)

    return [layer(nd) for nd in dims]


MaxPool1d, MaxPool2d, MaxPool3d = _family(_MaxPool, "MaxPool", "max_pool", (1, 2, 3))
AvgPool1d, AvgPool2d, AvgPool3d = _family(_AvgPool, "AvgPool", "avg_pool", (1, 2, 3))
LPPool1d, LPPool2d, LPPool3d = _family(_LPPool, "LPPool", "lp_pool", (1, 2, 3))
AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d = _family(
    _AdaptiveAvgPool, "AdaptiveAvgPool", "adaptive_avg_pool", (1, 2, 3)
)
AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d = _family(
    _AdaptiveMaxPool, "AdaptiveMaxPool", "adaptive_max_pool", (1, 2, 3)
)
MaxUnpool1d, MaxUnpool2d, MaxUnpool3d = _family(_MaxUnpool, "MaxUnpool", "max_unpool", (1, 2, 3))
FractionalMaxPool2d, FractionalMaxPool3d = _family(
    _FractionalMaxPool, "FractionalMaxPool", "fractional_max_pool", (2, 3)
)

_DEFAULTS = {
    "stride": None,
    "padding": 0,
    "dilation": 1,
    "ceil_mode": False,
    "count_include_pad": True,
    "divisor_override": None,
    "mean": False,
}
