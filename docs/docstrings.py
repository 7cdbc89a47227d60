"""Docstrings as Markdown: they are written to be read by ``help()``.

A paragraph's lines ``name: what it is`` become a list, ``:func:`name``` a link, and an indented line that continues one is
joined to it. Indented blocks under a paragraph's end stay what they are: code.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ITEM = re.compile(r"^(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*): (?=\S)")
_ROLE = re.compile(r":(?:func|class|mod|meth|attr):`~?([^`]+)`")


def _link(match: re.Match[str]) -> str:
    target = match[1] if match[1].startswith("fastconv") else f"fastconv.{match[1]}"
    return f"[`{match[1]}`][{target}]"


def to_markdown(text: str) -> str:
    lines: list[str] = []
    in_item = False
    for line in text.expandtabs().splitlines():
        if not line.strip():
            in_item = False
        item = _ITEM.match(line)
        if item:
            if not in_item and lines and lines[-1].strip():
                lines.append("")
            names = ", ".join(f"`{name}`" for name in item[1].split(", "))
            lines.append(f"- {names}: {line[item.end() :]}")
            in_item = True
        elif in_item:
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return _ROLE.sub(_link, "\n".join(lines))


class Markdown(griffe.Extension):
    """Rewrites the docstring of everything that is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring and not obj.docstring.value.startswith("\u200b"):
            obj.docstring.value = to_markdown(obj.docstring.value)
