"""Docstrings as Markdown: they are written to be read by ``help()``.

A paragraph's lines ``name: what it is`` become a list, to which the indented lines that follow belong, and roles like
``:func:`` become links. Indented blocks elsewhere stay what they are: code.
"""

from __future__ import annotations

import re
from importlib import import_module
from types import ModuleType
from typing import Any

import griffe

_ITEM = re.compile(r"^(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*): (?=\S)")
_ROLE = re.compile(r":(func|class|mod|meth|attr):`~?([^`]+)`")

PUBLIC = ["fastconv", *(f"fastconv.{name}" for name in "nn optim train data analysis viz signal ndimage torch".split())]


def _public(name: str, module: ModuleType) -> str | None:
    """Where the site shows what a docstring of ``module`` calls ``name``; None if it does not."""
    head, _, rest = name.partition(".")
    if head == "fastconv":
        return name
    wanted = getattr(module, head, None)
    for place in PUBLIC:
        package = import_module(place)
        if head in getattr(package, "__all__", vars(package)) and getattr(package, head) is wanted:
            return f"{place}.{name}"
    return None


def _reference(match: re.Match[str], module: ModuleType) -> str:
    """A link, or the bare name of a method of the same class and of what is not public."""
    role, name = match[1], match[2]
    target = None if role == "meth" else _public(name, module)
    return f"[`{name}`][{target}]" if target else f"`{name}`"


def to_markdown(text: str) -> str:
    """The paragraphs and lists of a docstring."""
    lines: list[str] = []
    in_item = False
    for line in text.expandtabs().splitlines():
        in_item = in_item and bool(line.strip())
        item = _ITEM.match(line)
        if item:
            if not in_item and lines and lines[-1].strip():
                lines.append("")
            names = ", ".join(f"`{name}`" for name in item[1].split(", "))
            lines.append(f"- {names}: {line[item.end() :]}")
            in_item = True
        else:
            lines.append(f"  {line.strip()}" if in_item else line)
    return "\n".join(lines)


class Markdown(griffe.Extension):
    """Rewrites the docstring of everything that is read, and drops those of plain values, which are their types'."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.is_attribute and "property" not in obj.labels:
            obj.docstring = None
        if obj.docstring:
            module = import_module(obj.module.path)
            text = to_markdown(obj.docstring.value)
            obj.docstring.value = _ROLE.sub(lambda match: _reference(match, module), text)
