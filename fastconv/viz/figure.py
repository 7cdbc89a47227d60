"""Figures without pyplot: nothing global, no window, files of any format matplotlib writes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fastconv.extras import require

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # told apart by colour-blind eyes too
GREY = "#666666"


def _figure_class() -> Any:
    require("viz", "matplotlib.figure")
    return import_module("matplotlib.figure").Figure


def grid(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """A figure of ``rows`` x ``columns`` axes, each ``width`` x ``height`` inches, and the axes in a 2-d array."""
    figure = _figure_class()(figsize=(columns * width, rows * height), layout="constrained", dpi=120)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def picture(axes: Any, image: Any, title: str = "", size: float = 8, **options: Any) -> None:
    """An image without ticks: grey for ``(H, W)``, colours for ``(H, W, 3)``."""
    axes.imshow(image, **{"cmap": "gray", "interpolation": "nearest", **options})
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#bbbbbb")
    if title:
        axes.set_title(title, fontsize=size)


def blank(axes: Any) -> None:
    """Hide axes that have nothing to show."""
    axes.set_axis_off()


def plain(axes: Any) -> None:
    """A frame open at the top and right, with a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
