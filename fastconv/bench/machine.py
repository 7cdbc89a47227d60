"""What the job runs on, and the same number of threads for both sides."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import fastconv


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


@contextmanager
def equal_threads(n: int | None) -> Iterator[int]:
    """``n`` threads (None: as many as the process may use) for fastconv and for numpy's BLAS alike."""
    from threadpoolctl import threadpool_limits

    count = n or fastconv.get_num_threads()
    with fastconv.threads(count), threadpool_limits(count, user_api="blas"):
        yield count


def describe() -> dict[str, str]:
    """Processor, system and versions; call inside :func:`equal_threads` to see its thread counts."""
    from threadpoolctl import threadpool_info

    config = fastconv.show_config()
    blas = next((pool for pool in threadpool_info() if pool["user_api"] == "blas"), None)
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "fastconv": f"{config['version']}, instruction set {config['isa']}, {config['num_threads']} threads",
        "numpy": np.__version__,
        "blas": f"{blas['internal_api']} {blas['version']}, {blas['num_threads']} threads" if blas else "unknown",
    }
