"""Convolutions whose weights are made ready once, for inference and for embedding."""

from __future__ import annotations

from fastconv import _core
from fastconv.functional import Array, Axes, Modes, Padding


class _PackedConv:
    """Weights and options of a convolution, packed once and used many times.

    weight: ``(O, C / groups, *kernel)``; bias: ``(O,)`` or None. The other arguments are those of ``fastconv.conv2d``
    and its 1-d and 3-d kin. The arrays are copied; later changes to them change nothing here.

    Calling the object with ``input`` (batched or not, of any spatial size) gives what the function gives. Where the
    packed weights make another algorithm worth while (small images, 3x3 kernels), the last bits may differ from it.
    Safe to call from several threads. Raises ValueError and TypeError as the function does.
    """

    _axes: int

    def __init__(
        self,
        weight: Array,
        bias: Array | None = None,
        stride: Axes = 1,
        padding: Padding = 0,
        dilation: Axes = 1,
        groups: int = 1,
        *,
        padding_mode: Modes = "zeros",
        flip: bool = False,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> None:
        self._packed = _core.pack(
            self._axes, weight, bias, stride, padding, dilation, groups, padding_mode, flip, activation, algorithm
        )

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """The convolution of ``x``, written to ``out`` if that is given."""
        return _core.packed_forward(self._packed, x, out)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed weights."""
        return _core.packed_bytes(self._packed)


class PackedConv1d(_PackedConv):
    __doc__ = _PackedConv.__doc__
    _axes = 1


class PackedConv2d(_PackedConv):
    __doc__ = _PackedConv.__doc__
    _axes = 2


class PackedConv3d(_PackedConv):
    __doc__ = _PackedConv.__doc__
    _axes = 3
