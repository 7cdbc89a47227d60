"""benchmarks/shapes.txt: every line parses, its sizes are the operators', and a bad line is refused with its text."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastconv import analysis

_FILE = Path(__file__).parents[1] / "benchmarks" / "problems.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_problems", _FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


problems = _load()


@pytest.mark.parametrize("problem", problems.load(), ids=lambda problem: problem.name)
def test_shapes_parse_and_fit(problem: Any) -> None:
    if problem.op == "conv":
        arguments = (problem.input, problem.weight, problem.stride, problem.padding, problem.dilation, problem.groups)
        cost = analysis.conv_cost(*arguments, bias=False)
        assert analysis.output_shape(*arguments) == problem.output
        assert problem.flops == cost.flops
        assert problem.bytes == cost.bytes()
    else:
        assert problem.output[:2] == problem.input[:2]
    assert problem.flops > 0


def test_a_line_in_full() -> None:
    problem = problems.parse("a fam 2 6 17 9 -> 4 k1x7 s2x1 p0x3 d1 g2 reflect  ")
    assert (problem.name, problem.family, problem.op, problem.mode) == ("a", "fam", "conv", "reflect")
    assert problem.input == (2, 6, 17, 9)
    assert problem.weight == (4, 3, 1, 7)
    assert (problem.stride, problem.padding, problem.dilation) == ((2, 1), (0, 3), (1, 1))
    assert problem.output == (2, 4, 9, 9)


def test_pools_step_by_their_kernel() -> None:
    pool = problems.parse("b pool 1 3 8 9 -> max_pool k2x3")
    assert (pool.stride, pool.output) == ((2, 3), (1, 3, 4, 3))
    assert problems.parse("c pool 1 3 8 9 -> global_avg_pool").output == (1, 3, 1, 1)


@pytest.mark.parametrize(
    "line",
    [
        "no arrow 1 3 8 8 4 k3",
        "a fam 1 3 8 8 -> 4 k9",
        "a fam 1 3 8 8 -> 4 k3x3x3",
        "a fam 1 3 8 8 -> 4 q3",
        "a fam 1 3 8 8 -> 4 k3 k5",
        "a fam 1 3 8 8 -> 4 k3 s0",
        "a fam 1 3 8 8 -> 4 k3 g2",
        "a fam 1 3 8 8 -> 4 g0",
        "a fam 1 3 8 8 -> min_pool k2",
        "a fam 1 3 -> 4",
        "a fam 1 3 x -> 4",
    ],
)
def test_bad_lines_are_shown(line: str) -> None:
    with pytest.raises(ValueError, match="not a problem: ") as error:
        problems.parse(line)
    assert line in str(error.value)


def test_a_name_used_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "shapes.txt"
    file.write_text("a f 1 1 4 4 -> 1  # first\n\na f 1 1 5 5 -> 1\n")
    with pytest.raises(ValueError, match=r"twice.*\['a'\]"):
        problems.load(file)
