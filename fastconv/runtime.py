"""Threads, instruction sets and build configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import index

from fastconv import _core


def _count(n: object) -> int:
    """``n`` as a number of threads."""
    try:
        count = index(n) if not isinstance(n, bool) else None  # type: ignore[arg-type]
    except TypeError:
        count = None
    if count is None:
        raise TypeError(f"n must be an integer, got {n!r}")
    if count < 1:
        raise ValueError(f"n must be at least 1, got {n!r}")
    return min(count, 2**31 - 1)


def get_num_threads() -> int:
    """Threads that a call from this Python thread may use.

    The default is the number of processors the process may run on (its affinity mask and cgroup quota), or
    ``OMP_NUM_THREADS`` where that is set.
    """
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads for the whole process.

    Raises ValueError if ``n`` is below 1, TypeError if it is no int.
    """
    _core.set_num_threads(_count(n))


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Use ``n`` threads for the calls made inside ``with threads(n):`` on the current Python thread.

    Raises ValueError if ``n`` is below 1, TypeError if it is no int.
    """
    previous = _core.set_thread_limit(_count(n))
    try:
        yield
    finally:
        _core.set_thread_limit(previous)


def show_config() -> dict[str, object]:
    """How this copy was built and what it runs on: version, compiler, instruction sets, threads."""
    return {
        "version": _core.version,
        "compiler": _core.compiler,
        "isa": _core.isa_name(),
        "available_isas": list(_core.available_isas()),
        "threading": _core.threading_backend(),
        "num_threads": _core.num_threads(),
    }
