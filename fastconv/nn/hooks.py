"""Look at every layer while a model runs: what ``summary`` and ``fit(profile=True)`` are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastconv.nn.container import Sequential
from fastconv.nn.module import Module

Around = Callable[[str, Module, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


def leaves(model: Module) -> Iterator[tuple[str, Module]]:
    """Name and layer of everything that has no parts of its own."""
    return ((name, module) for name, module in model.named_modules() if not any(True for _ in module.children()))


@contextmanager
def observed(model: Module, around: Around, methods: tuple[str, ...] = ("forward", "backward")) -> Iterator[None]:
    """Within the block ``around(name, layer, method, call, args, kwargs)`` is asked instead of each layer's method.

    It returns ``call(*args, **kwargs)``, and does what it likes before and after.
    """

    def wrap(name: str, layer: Module, method: str) -> Callable[..., Any]:
        call = getattr(layer, method)
        return lambda *args, **kwargs: around(name, layer, method, call, args, kwargs)

    found = list(leaves(model))
    for name, layer in found:
        for method in methods:
            vars(layer)[method] = wrap(name, layer, method)
    try:
        yield
    finally:
        for _, layer in found:
            for method in methods:
                del vars(layer)[method]


@contextmanager
def layer_by_layer(model: Module) -> Iterator[None]:
    """Within the block no layers are run as one."""
    containers = [module for _, module in model.named_modules() if isinstance(module, Sequential)]
    for container in containers:
        container.fused = False
    try:
        yield
    finally:
        for container in containers:
            container.fused = True
