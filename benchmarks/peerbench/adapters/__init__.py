"""One module per library, imported in that library's own process only.

Each has ``setup(threads) -> version`` and ``prepare(peer, task) -> Call``; what it cannot do raises ``Unsupported``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from problems import Array


class Unsupported(Exception):
    """The library has no such operation."""


class Call(NamedTuple):
    """What is timed, and how to turn its result into an NCHW array afterwards (not timed)."""

    run: Callable[[], Any]
    result: Callable[[Any], Array] = np.asarray


def require(condition: bool, reason: str) -> None:
    if not condition:
        raise Unsupported(reason)
