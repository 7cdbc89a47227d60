"""Optional packages: the core needs numpy alone, and what needs more says which extra to install."""

from __future__ import annotations

from importlib import import_module


class MissingExtra(ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


def require(extra: str, *modules: str) -> None:
    """Check that the modules of an extra can be imported; raises :class:`MissingExtra` if one cannot."""
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise MissingExtra(f"{module} is not installed; pip install 'fastconv[{extra}]'") from error
