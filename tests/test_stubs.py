"""fastconv/_core.pyi declares what the compiled module has, no more and no less, and annotates all of it."""

from __future__ import annotations

import ast
import types
from pathlib import Path

from fastconv import _core

STUB = ast.parse((Path(__file__).parents[1] / "fastconv" / "_core.pyi").read_text(encoding="utf-8"))


def _declared(body: list[ast.stmt]) -> set[str]:
    """Names of functions, classes and variables; private ones are the stub's own."""
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names |= {node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def _public(namespace: dict[str, object]) -> set[str]:
    return {n for n, v in namespace.items() if not n.startswith("_") and not isinstance(v, types.ModuleType)}


def test_names_of_the_compiled_module() -> None:
    assert _declared(STUB.body) == _public(vars(_core))


def test_everything_is_annotated() -> None:
    for node in ast.walk(STUB):
        if isinstance(node, ast.FunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
            named = [argument for argument in given if argument is not None and argument.arg != "self"]
            assert node.returns is not None and all(argument.annotation for argument in named), node.name
