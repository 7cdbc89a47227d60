"""All parameters in one vector, so that an update is a few passes over memory however many layers there are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fastconv.nn.module import Array, Parameter, checked

_ALIGN = 16  # elements: every parameter starts on its own cache line


class Flat:
    """One vector ``data`` and one vector ``grad`` that hold every parameter; the parameters become views into them.

    Raises ValueError if there are none, one comes twice, or their dtypes differ, TypeError for what is no Parameter.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = checked(parameters)
        if not self.parameters:
            raise ValueError("parameters must not be empty")
        if len({id(p) for p in self.parameters}) != len(self.parameters):
            raise ValueError("parameters must not hold the same parameter twice")
        dtypes = {p.data.dtype for p in self.parameters}
        if len(dtypes) != 1:
            raise ValueError(f"parameters must have one dtype, got {', '.join(sorted(map(str, dtypes)))}")
        sizes = [-(-p.data.size // _ALIGN) * _ALIGN for p in self.parameters]
        self.data: Array = np.zeros(sum(sizes), dtypes.pop())
        self.grad: Array = np.zeros_like(self.data)
        start = 0
        for parameter, size in zip(self.parameters, sizes, strict=True):
            place = slice(start, start + parameter.data.size)
            parameter.data = _moved(parameter.data, self.data[place])
            parameter.grad = _moved(parameter.grad, self.grad[place])
            start += size

    def check(self) -> None:
        """Raises RuntimeError if a parameter no longer lives here."""
        for p in self.parameters:
            if p.data.base is not self.data or p.grad.base is not self.grad:
                raise RuntimeError(
                    f"{p!r} was moved after this optimiser was made (by model.to, another optimiser, or p.data = ...):"
                    " make the optimiser last, and write into p.data[...]"
                )


def _moved(array: Array, place: Array) -> Array:
    place[...] = array.ravel()
    return place.reshape(array.shape)
