"""The documentation does what it says: every block of Python runs, and prints what stands below it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import io
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fastconv

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


def _script(name: str) -> ModuleType:
    """A Python file of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


include = _script("include")


def _with_code(pages: list[Path]) -> list[Path]:
    return [page for page in pages if "```python" in include.expand(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", _with_code(PAGES), ids=lambda page: page.stem)
def test_code_prints_what_the_page_says(page: Path) -> None:
    """The blocks of a page share their names. A block followed by a block of text must print it, any other nothing."""
    if "fastconv.torch" in page.read_text(encoding="utf-8"):
        pytest.importorskip("torch")
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, (code, expected) in enumerate(_BLOCK.findall(include.expand(page.read_text(encoding="utf-8")))):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{page.name}, block {number}", "exec"), names)
        assert printed.getvalue().rstrip() == expected.rstrip(), code


def test_drawings_are_those_of_the_script() -> None:
    drawings = _script("drawings")
    files = {file.stem: file.read_text(encoding="utf-8") for file in (DOCS / "drawings").glob("*.svg")}
    assert files == {name: draw().svg() for name, draw in drawings.DRAWINGS.items()}


def test_pages_link_to_what_exists() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_what_is_included_exists() -> None:
    with pytest.raises(ValueError, match="no table 'nothing'"):
        include.expand("<!-- include: README.md, table: nothing -->")
    assert "geometric" not in include.expand("<!-- include: README.md, table: padding -->").lower()
    assert all("<!-- include:" not in include.expand(page.read_text(encoding="utf-8")) for page in PAGES)


def test_every_public_name_is_on_a_page() -> None:
    shown = {
        name
        for page in (DOCS / "api").glob("*.md")
        for name in re.findall(r"^::: (\S+)", page.read_text("utf-8"), re.M)
    }
    assert {f"fastconv.{name}" for name in fastconv.__all__} - shown == {"fastconv.__version__"}
    assert {f"fastconv.{name}" for name in fastconv._SUBPACKAGES} <= shown


@pytest.mark.parametrize("package", ["", *(f".{name}" for name in fastconv._SUBPACKAGES)])
def test_everything_public_has_a_docstring(package: str) -> None:
    if package == ".torch":
        pytest.importorskip("torch")
    module = importlib.import_module(f"fastconv{package}")
    assert module.__doc__
    public = [name for name in getattr(module, "__all__", vars(module)) if not name.startswith("_")]
    for name in public:
        thing = getattr(module, name)
        if not callable(thing) or not getattr(thing, "__module__", "").startswith("fastconv"):
            continue
        assert thing.__doc__ and not thing.__doc__.startswith(f"{name}("), name  # a dataclass has one of its own
        for method, function in inspect.getmembers(thing, inspect.isfunction) if inspect.isclass(thing) else ():
            if not method.startswith("_") and function.__module__.startswith("fastconv"):
                assert inspect.getdoc(getattr(thing, method)) or function.__name__ == "<lambda>", f"{name}.{method}"
