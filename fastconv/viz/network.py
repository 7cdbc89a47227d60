"""Pictures of what is inside a network: its filters, and what each layer makes of an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.nn.conv import _Conv
from fastconv.nn.hooks import layer_by_layer, observed
from fastconv.nn.module import Array, Module
from fastconv.viz.figure import blank, grid, picture
from fastconv.viz.training import as_image


def filters(layer: Any, count: int = 32, channels: int = 8) -> Any:
    """The kernels of a 2-d convolution, red positive and blue negative, all on one scale.

    layer: a Conv2d, or a weight ``(O, C, kH, kW)``. A row of the picture is one input channel (at most ``channels``
    of them), a column one filter (at most ``count``); where there is a single input channel the filters fill a grid.
    """
    weight = layer.weight.data if isinstance(layer, Module) else np.asarray(layer)  # type: ignore[attr-defined]
    if weight.ndim != 4:
        raise ValueError(f"layer must have a weight (O, C, kH, kW), got shape {weight.shape}")
    shown = weight[:count, :channels]
    limit = float(np.abs(shown).max()) or 1.0
    options: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    if shown.shape[1] == 1:
        columns = min(8, len(shown))
        rows = -(-len(shown) // columns)
        figure, axes = grid(rows, columns, 0.9, 0.9)
        for ax in axes.flat[len(shown) :]:
            blank(ax)
        for ax, kernel in zip(axes.flat, shown[:, 0], strict=False):
            picture(ax, kernel, **options)
        return figure
    figure, axes = grid(shown.shape[1], len(shown), 0.55, 0.55)
    for filter_, column in zip(shown, axes.T, strict=True):
        for kernel, ax in zip(filter_, column, strict=True):
            picture(ax, kernel, **options)
    figure.supxlabel("filter", fontsize=8)
    figure.supylabel("input channel", fontsize=8)
    return figure


def outputs_by_layer(model: Module, x: Array) -> dict[str, tuple[Module, Array]]:
    """What every layer gives for a batch in inference mode: ``{name: (layer, output)}`` in the order they run."""
    found: dict[str, tuple[Module, Array]] = {}

    def around(
        name: str, layer: Module, method: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        y = call(*args, **kwargs)
        found[name] = (layer, y.copy())
        return y

    training = model.training
    model.eval()
    try:
        with layer_by_layer(model), observed(model, around, ("forward",)):
            model.forward(x)
    finally:
        model.train(training)
    return found


def feature_maps(model: Module, image: Array, maps: int = 8) -> Any:
    """What becomes of one image ``(C, H, W)`` with depth: a row for every layer that gives maps and changes them
    (convolutions, activations, pools), its first ``maps`` channels in the columns, each on its own grey scale.
    """
    if image.ndim != 3:
        raise ValueError(f"image must be (C, H, W), got shape {image.shape}")
    layers = [(name, layer, y[0]) for name, (layer, y) in outputs_by_layer(model, image[None]).items() if y.ndim == 4]
    layers = [entry for entry in layers if type(entry[1]).__name__ not in ("Dropout", "BatchNorm2d")]
    if not layers:
        raise ValueError("model has no layer that gives feature maps")
    figure, axes = grid(len(layers) + 1, maps, 0.85, 0.85)
    for ax in axes.flat:
        blank(ax)
    axes[0, 0].set_axis_on()
    picture(axes[0, 0], as_image(image), "input", 7)
    for (_, layer, y), row in zip(layers, axes[1:], strict=True):
        for ax, one in zip(row, y, strict=False):
            ax.set_axis_on()
            picture(ax, one, cmap="magma")
        row[0].set_ylabel(f"{type(layer).__name__}\n{y.shape[1]}x{y.shape[2]}", fontsize=6.5)
    return figure


def first_convolution(model: Module) -> Module | None:
    """The first convolution of a model, or None."""
    return next((module for _, module in model.named_modules() if isinstance(module, _Conv)), None)
