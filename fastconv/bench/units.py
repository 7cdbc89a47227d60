"""Numbers as people read them."""

from __future__ import annotations


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    size, unit = next(step for step in steps if abs(value) >= step[0] or step is steps[-1])
    scaled = value / size
    digits = max(2 - len(str(int(abs(scaled)))) + 1, 0)
    return f"{scaled:.{digits}f} {unit}".rstrip()


def seconds(value: float) -> str:
    """``1.23 ms``: three digits and a unit."""
    return _scaled(value, ((1, "s"), (1e-3, "ms"), (1e-6, "us")))


def count(value: float) -> str:
    """``14.5 M``; whole numbers below ten thousand are written out."""
    if abs(value) < 10_000 and value == int(value):
        return f"{int(value):,}"
    return _scaled(value, ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")))


def size(value: float) -> str:
    """``32.0 GB``, decimal."""
    return _scaled(value, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")))


def ratio(value: float) -> str:
    """``44,800 x``, or ``1.25 x`` below a hundred."""
    return f"{value:,.0f} x" if value >= 100 else f"{value:.3g} x"
