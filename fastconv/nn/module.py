"""What every layer is: parameters with a gradient beside them, a forward, and a backward written out by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv.checks import as_array, as_floats, check_kind, float_dtype, members

Array = NDArray[Any]
Gradient = Any  # an array; None where the caller said that nobody needs it


class Parameter:
    """An array that training changes, and the gradient of the loss with respect to it.

    data, grad: arrays of one shape and dtype. An optimiser moves both into flat vectors and leaves views here, so
    write into them (``p.data[...] = new``) and do not replace them. name: ``"weight"`` or ``"bias"``.
    """

    __slots__ = ("data", "grad", "name")

    def __init__(self, data: Array, name: str = "weight") -> None:
        self.data: Array = as_floats("data", data)
        self.grad = np.zeros_like(self.data)
        self.name = name

    def __repr__(self) -> str:
        return f"Parameter({self.name}, shape={self.data.shape}, dtype={self.data.dtype})"


def checked(parameters: Iterable[Parameter]) -> list[Parameter]:
    """``parameters`` as a list. Raises TypeError for what is no Parameter."""
    result = members("parameters", parameters, "fastconv.nn.Parameter")
    for i, parameter in enumerate(result):
        if not isinstance(parameter, Parameter):
            raise TypeError(f"parameters[{i}] must be a fastconv.nn.Parameter, got {type(parameter).__name__}")
    return result


class Module:
    """Base of all layers.

    ``forward(x)`` takes a batch, ``(N, ...)``. In training mode it keeps what ``backward`` will want.
    ``backward(grad)`` takes the gradient of the loss with respect to the last forward's output, writes every
    ``parameter.grad`` (it replaces what is there, it does not add), and returns the gradient with respect to the
    input. It may overwrite ``grad``, and works once for each forward: what was kept is let go.
    """

    training: bool = True
    buffers: ClassVar[tuple[str, ...]] = ()  # names of arrays that belong to the state but are not trained
    fuses_relu: ClassVar[bool] = False  # forward takes activation="relu" and applies it as the result is stored
    keeps_order: ClassVar[bool] = False  # commutes with ReLU, as max pooling does
    keeps_sums: ClassVar[bool] = False  # the gradients of a channel's inputs sum to those of its outputs
    _saved: Any = None

    def forward(self, x: Array) -> Array:
        """The layer's output. In training mode it keeps what :meth:`backward` needs."""
        raise NotImplementedError(f"{type(self).__name__}.forward")

    def backward(self, grad: Gradient, need_input_grad: bool = True) -> Gradient:
        """From the gradient of the loss in the last output to that in the last input; fills every parameter's ``grad``.

        grad: shaped as the output; it may be overwritten. need_input_grad: False spares the work of the result, which
            is then None. Raises RuntimeError if no forward pass in training mode came before.
        """
        raise NotImplementedError(f"{type(self).__name__}.backward")

    def __call__(self, x: Array) -> Array:
        return self.forward(as_array("input", x))

    # What backward needs, kept only while training ------------------------------------------------------------------

    def _save(self, value: Any) -> None:
        self._saved = value if self.training else None

    def _take_saved(self) -> Any:
        saved, self._saved = self._saved, None
        if saved is None:
            raise RuntimeError(f"{type(self).__name__}.backward: call forward in training mode first, once for each")
        return saved

    # The tree of layers ---------------------------------------------------------------------------------------------

    def children(self) -> Iterator[tuple[str, Module]]:
        """Name and module of each direct part: attributes, and members of attributes that are lists or tuples."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | tuple):
                yield from ((f"{name}.{i}", part) for i, part in enumerate(value) if isinstance(part, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names; depth first."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its name, as ``"0.weight"``: that of the layer, and its own."""
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> list[Parameter]:
        """Every parameter, in the order of :meth:`named_parameters`."""
        return [parameter for _, parameter in self.named_parameters()]

    def train(self, mode: bool = True) -> Self:
        """Training mode: dropout drops, batch normalisation uses the batch, forward keeps what backward needs."""
        for _, module in self.named_modules():
            module.training = mode
            module._saved = None
        return self

    def eval(self) -> Self:
        """Inference mode: the opposite of :meth:`train`."""
        return self.train(False)

    def to(self, dtype: DTypeLike) -> Self:
        """Convert parameters and buffers to float32 or float64. Make optimisers afterwards."""
        dtype = float_dtype(dtype)
        for parameter in self.parameters():
            parameter.data = parameter.data.astype(dtype)
            parameter.grad = np.zeros_like(parameter.data)
        for _, module in self.named_modules():
            for name in module.buffers:
                setattr(module, name, getattr(module, name).astype(dtype))
        return self

    def seed(self, rng: np.random.Generator) -> None:
        """Let every layer that draws random numbers draw them from ``rng``."""
        check_kind("rng", rng, np.random.Generator)
        for _, module in self.named_modules():
            if hasattr(module, "rng"):
                module.rng = rng

    # State ----------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Parameters and buffers by dotted name: the arrays themselves, not copies."""
        state = {name: parameter.data for name, parameter in self.named_parameters()}
        for prefix, module in self.named_modules():
            for name in module.buffers:
                state[f"{prefix}.{name}" if prefix else name] = getattr(module, name)
        return state

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Copy ``state`` into this module.

        Raises ValueError if a name or a shape differs, TypeError for what is no mapping or no array of real numbers.
        """
        check_kind("state", state, Mapping)
        own = self.state_dict()
        if own.keys() != state.keys():
            missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
            raise ValueError(f"state does not fit the model: missing {missing}, unexpected {extra}")
        given = {name: as_array(f"state[{name!r}]", state[name]) for name in own}
        for name, array in own.items():
            if array.shape != given[name].shape:
                raise ValueError(f"state[{name!r}] has shape {given[name].shape}, the model has {array.shape}")
            if not np.can_cast(given[name].dtype, array.dtype, "same_kind"):
                raise TypeError(f"state[{name!r}] has dtype {given[name].dtype}, the model has {array.dtype}")
        for name, array in own.items():
            array[...] = given[name]

    def __repr__(self) -> str:
        parts = ", ".join(repr(child) for _, child in self.children())
        return f"{type(self).__name__}({parts or self.describe()})"

    def describe(self) -> str:
        """The arguments that matter, for printing."""
        return ""


def require_dtype(x: Array, like: Array) -> None:
    """Raises TypeError unless an input has the dtype of a layer's array."""
    if x.dtype != like.dtype:
        raise TypeError(f"input is {x.dtype}, the layer is {like.dtype}: convert one (model.to)")


def as_grad(grad: Any, shape: tuple[int, ...], like: Array | None = None) -> Array:
    """``grad`` as an array of the output's shape, and of the dtype of ``like``. Raises ValueError or TypeError."""
    array = as_floats("grad", grad)
    if array.shape != shape:
        raise ValueError(f"grad must have the output's shape {shape}, got {array.shape}")
    if like is not None and array.dtype != like.dtype:
        raise TypeError(f"grad must have the output's dtype {like.dtype}, got {array.dtype}")
    return array


def laid_as(array: Array, like: Array) -> Array:
    """``array``, in memory in the order of ``like``, which has its shape and no gaps; copied only if it is not yet."""
    if array.strides == like.strides:
        return array
    order = sorted(range(like.ndim), key=lambda axis: -like.strides[axis])
    back = [order.index(axis) for axis in range(like.ndim)]
    return np.ascontiguousarray(array.transpose(order)).transpose(back)


class Reused:
    """An output array, offered as ``out=`` to the next call of the same key once nobody else holds it.

    A training step makes the same arrays again and again, and fresh megabytes cost page faults. The count of
    references tells whether the caller kept the last one (or a view of it), so nothing is ever changed under a reader.
    The array is taken out while it is in use, so that two threads never get the same one.
    """

    __slots__ = ("array", "key")

    def __init__(self) -> None:
        self.key: Any = None
        self.array: Array | None = None

    def offer(self, key: Any) -> Array | None:
        """The kept array if its key is ``key`` and it is free, else None; it is forgotten either way."""
        array, self.array = self.array, None
        if self.key != key or array is None or sys.getrefcount(array) > _FREE:
            return None
        # a view of an array that begins at a cache line holds on to the memory behind it
        return array if array.base is None or sys.getrefcount(array.base) <= _FREE_BASE else None

    def keep(self, key: Any, array: Array) -> Array:
        self.key, self.array = key, array
        return array

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An array of this shape with any content."""
        key = (shape, dtype)
        array = self.offer(key)
        return self.keep(key, np.empty(shape, dtype) if array is None else array)

    def like(self, x: Array) -> Array:
        """An array of the shape, dtype and memory order of ``x`` with any content."""
        key = (x.shape, x.dtype, x.strides)
        array = self.offer(key)
        return self.keep(key, np.empty_like(x) if array is None else array)


def _references_when_free() -> tuple[int, int]:
    """What ``offer`` counts for an array that nobody else holds, and for its base."""
    kept = Reused()
    kept.array = np.empty(1)[:]
    array, kept.array = kept.array, None
    return sys.getrefcount(array), sys.getrefcount(array.base)


_FREE, _FREE_BASE = _references_when_free()
