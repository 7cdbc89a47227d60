"""What the job runs on, and the same threads for both sides."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import fastconv


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


@cache
def _pools() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


@contextmanager
def at_most(n: int | None) -> Iterator[int]:
    """``n`` threads (None: as many as the process may use) for fastconv and for numpy's BLAS alike."""
    count = n or fastconv.get_num_threads()
    with fastconv.threads(count), _pools().limit(limits=count, user_api="blas"):
        yield count


def thread_counts() -> list[int]:
    """The counts each side is tried with: all threads it may use, and one, which is faster for small work."""
    return sorted({1, fastconv.get_num_threads()}, reverse=True)


def describe() -> dict[str, str]:
    """Processor, system and versions; call inside :func:`at_most` to see its thread counts."""
    config = fastconv.show_config()
    blas = next((pool for pool in _pools().info() if pool["user_api"] == "blas"), None)
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "fastconv": f"{config['version']}, instruction set {config['isa']}, {config['num_threads']} threads",
        "numpy": np.__version__,
        "blas": f"{blas['internal_api']} {blas['version']}, {blas['num_threads']} threads" if blas else "unknown",
    }
