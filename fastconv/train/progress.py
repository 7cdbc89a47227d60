"""A bar an epoch, by tqdm."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Self

from fastconv.extras import MissingExtra, require


def _tqdm(wanted: bool | None) -> Any:
    """tqdm's class, or None for no bar."""
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        return None
    try:
        require("train", "tqdm")
    except MissingExtra:
        if wanted is None:
            return None
        raise
    return import_module("tqdm").tqdm


class Progress:
    """Bars while training; nothing where none is wanted (True: always, None: on a terminal that has tqdm)."""

    def __init__(self, wanted: bool | None, epochs: int, samples: int) -> None:
        self._bar_class = _tqdm(wanted)
        self._epochs, self._samples = epochs, samples
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def start(self, epoch: int) -> None:
        if self._bar_class:
            width = len(str(self._epochs))
            title = f"epoch {epoch + 1:{width}}/{self._epochs}"
            self._bar = self._bar_class(total=self._samples, desc=title, unit=" samples", dynamic_ncols=True)

    def advance(self, samples: int, loss: float) -> None:
        if self._bar is not None and self._bar.update(samples):
            self._bar.set_postfix_str(f"loss {loss:.4f}")

    def finish(self, record: Mapping[str, float]) -> None:
        if self._bar is not None:
            shown = {name: value for name, value in record.items() if name not in ("lr", "seconds")}
            self._bar.set_postfix_str("  ".join(f"{name} {value:.4f}" for name, value in shown.items()))
            self._close()
