"""Where the time of training goes: seconds by layer, forward and backward, and by everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from fastconv.nn.hooks import leaves, observed
from fastconv.nn.module import Module


class Profile:
    """Seconds and calls. ``print(profile)`` shows a table; ``seconds`` maps ``(row, "forward" or "backward")``."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = {}
        self.batches = 0

    def add(self, row: str, column: str, seconds: float) -> None:
        """Count ``seconds`` more for a row and column of the table."""
        self.seconds[row, column] = self.seconds.get((row, column), 0.0) + seconds

    @contextmanager
    def timed(self, row: str) -> Iterator[None]:
        """``with profile.timed(row):`` counts the time of the block."""
        start = perf_counter()
        yield
        self.add(row, "forward", perf_counter() - start)

    @contextmanager
    def watching(self, model: Module) -> Iterator[None]:
        """Time every layer of ``model`` within the block. Layers that run as one are counted with the first."""
        for name, layer in leaves(model):
            for column in ("forward", "backward"):
                self.seconds.setdefault((_title(name, layer), column), 0.0)

        def around(
            name: str,
            layer: Module,
            method: str,
            call: Callable[..., Any],
            args: tuple[Any, ...],
            kwargs: dict[str, Any],
        ) -> Any:
            start = perf_counter()
            result = call(*args, **kwargs)
            self.add(_title(name, layer), method, perf_counter() - start)
            return result

        with observed(model, around):
            yield

    def __str__(self) -> str:
        rows = list(dict.fromkeys(row for row, _ in self.seconds))
        width = max(map(len, rows), default=0)
        total = sum(self.seconds.values()) or 1.0
        lines = [f"{'ms a batch':{width}}  forward  backward  share"]
        for row in rows:
            forward, backward = (self.seconds.get((row, c), 0.0) for c in ("forward", "backward"))
            scale = 1e3 / max(self.batches, 1)
            share = (forward + backward) / total
            lines.append(f"{row:{width}}  {forward * scale:7.3f}  {backward * scale:8.3f}  {share:5.1%}")
        return "\n".join(lines)


def _title(name: str, layer: Module) -> str:
    return f"{name} {type(layer).__name__}"
