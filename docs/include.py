"""Text whose source is elsewhere in the repository.

``<!-- include: README.md, table: bench -->`` is the README's table of that name, with ``section: Title`` what stands
under a heading, and ``<!-- include: examples/c/learn.c -->`` a whole file as code.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_MARK = re.compile(r"^<!-- include: (\S+?)(?:, (table|section): (.+?))? -->$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)([^)]+)\)")
_LANGUAGES = {".c": "c", ".cpp": "cpp", ".hpp": "cpp", ".txt": "cmake", ".py": "python", ".h": "c"}


def _table(text: str, name: str) -> str:
    found = re.search(rf"<!-- table: {re.escape(name)} -->\n(.*?)<!-- end: {re.escape(name)} -->", text, re.DOTALL)
    if not found:
        raise ValueError(f"no table {name!r}")
    return found[1]


def _section(text: str, title: str) -> str:
    """What stands under a heading, up to the next of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise ValueError(f"no section {title!r}")
    return found[1].strip()


def _included(match: re.Match[str]) -> str:
    path, kind, name = match.groups()
    text = (ROOT / path).read_text(encoding="utf-8")
    if kind:
        part = (_table if kind == "table" else _section)(text, name)
        return _LINK.sub(r"\1 (`\2`)", part)  # the file is not part of the site
    language = _LANGUAGES.get(Path(path).suffix, "")
    return f"```{language}\n{text.rstrip()}\n```"


def expand(markdown: str) -> str:
    """The page with what it includes."""
    return _MARK.sub(_included, markdown)


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    return expand(markdown)
