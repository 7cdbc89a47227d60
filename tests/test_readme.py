"""What the README shows does what it says."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import fastconv

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run(imported: str) -> dict[str, Any]:
    """The names after running the example that begins with this import."""
    (example,) = (block for block in blocks("python") if block.startswith(f"import {imported}"))
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)
    return names


def test_example() -> None:
    names = run("fastconv as fc")
    assert names["maps"].shape == (1, 64, 112, 112)
    assert names["pooled"].shape == (1, 64, 56, 56)
    assert names["d_image"].shape == names["image"].shape
    assert names["d_kernels"].shape == names["kernels"].shape
    assert names["d_bias"].shape == (64,)


def test_pytorch_example() -> None:
    pytest.importorskip("torch")
    names = run("fastconv.torch as ft")
    assert type(names["net"][0]) is names["ft"].Conv2d
    assert names["net"][0].weight.grad is not None
    assert names["y"].shape == (1, 64, 32, 32)


def test_two_commands() -> None:
    assert len(blocks("sh")) == 2


def test_names_it_mentions_exist() -> None:
    for name in re.findall(r"`fc\.(\w+)", README):
        assert hasattr(fastconv, name) or import_module(f"fastconv.{name}")
