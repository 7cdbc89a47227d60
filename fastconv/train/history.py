"""What happened in each epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastconv.train.profile import Profile


class History:
    """One dictionary of numbers an epoch; ``history["valid_loss"]`` is the list of one of them over the epochs.

    stopped: why training ended before its last epoch, or None. profile: seconds by layer, where asked for.
    """

    def __init__(self, epochs: list[dict[str, float]] | None = None, stopped: str | None = None) -> None:
        self.epochs = epochs or []
        self.stopped = stopped
        self.profile: Profile | None = None

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.epochs)

    def __getitem__(self, name: str) -> list[float]:
        if self.epochs and name not in self.epochs[0]:
            raise KeyError(f"{name!r} is not in the history: it has {', '.join(self.epochs[0])}")
        return [epoch[name] for epoch in self.epochs]

    @property
    def names(self) -> list[str]:
        """What was measured in each epoch."""
        return list(self.epochs[0]) if self.epochs else []

    def best(self, monitor: str = "valid_loss") -> int:
        """Index of the epoch where ``monitor`` was best: least for a loss or an error, most for the rest."""
        values = self[monitor]
        if not values:
            raise ValueError("the history is empty")
        pick = min if lower_is_better(monitor) else max
        return values.index(pick(values))

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        Path(path).write_text(json.dumps({"stopped": self.stopped, "epochs": self.epochs}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what :meth:`save` wrote."""
        content = json.loads(Path(path).read_text())
        return cls(content["epochs"], content["stopped"])

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {value:.4g}" for name, value in self.epochs[-1].items()) if self.epochs else "empty"
        return f"History({len(self)} epochs: {last}{f'; {self.stopped}' if self.stopped else ''})"


def lower_is_better(name: str) -> bool:
    return name.endswith(("loss", "error"))
