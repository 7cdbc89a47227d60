"""The comparison with other libraries: its problems, its sums, and a whole small run with fastconv alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize(("file", "without"), [("peers_shapes.txt", set()), ("networks_shapes.txt", {"pool", "mode"})])
def test_every_line_is_a_problem_with_a_known_family(file: str, without: set[str]) -> None:
    from peerbench.targets import FAMILIES
    from problems import parse, read_lines

    problems = [parse(line) for line in read_lines(BENCHMARKS / file)]
    assert {p.family for p in problems} == set(FAMILIES) - without
    assert len({p.name for p in problems}) == len(problems)


def test_random_problems() -> None:
    from peerbench.targets import FAMILIES
    from problems import parse
    from random_problems import BYTES, FLOPS, POOL_FLOPS, draw

    lines = draw(200, 5)
    assert lines == draw(200, 5) and lines[:50] == draw(50, 5) and lines != draw(200, 6)
    problems = [parse(line) for line in lines]
    assert len({p.name for p in problems}) == 200
    pools = [p for p in problems if p.family == "pool"]
    assert {p.op for p in pools} == {"max_pool", "avg_pool", "global_avg_pool"} and 10 < len(pools) < 40
    assert {p.nd for p in pools} == {1, 2, 3} and any(max(p.padding) > 0 for p in pools)
    assert any(p.stride == p.kernel for p in pools) and any(p.stride < p.kernel for p in pools)
    assert all(POOL_FLOPS[0] < p.flops < POOL_FLOPS[1] and p.bytes < BYTES for p in pools)
    problems = [p for p in problems if p.family != "pool"]
    assert {p.family for p in problems} == {"dense", "few-channels", "depthwise", "float64"} <= set(FAMILIES)
    assert {p.nd for p in problems} == {1, 2, 3} and {p.stride[0] for p in problems} == {1, 2, 3, 4}
    assert all(FLOPS[0] < p.flops < FLOPS[1] and p.bytes < BYTES for p in problems)
    assert any(p.groups == p.input[1] > 1 for p in problems) and any(1 < p.groups < p.input[1] for p in problems)


def test_sizes_of_a_problem() -> None:
    from problems import parse

    p = parse("a dense 2 6 10 21 -> 8 k3x5 s1x2 p1x0 d2x1 g2")
    y = fc.conv2d(np.ones(p.input, np.float32), np.ones(p.weight, np.float32), None, p.stride, p.padding, p.dilation, 2)
    assert y.shape == p.output == (2, 8, 8, 9)
    assert p.flops == 2 * 2 * 8 * 8 * 9 * 3 * 15
    assert p.bytes == 4 * (2 * 6 * 210 + 8 * 3 * 15 + 2 * 8 * 72)


@pytest.mark.parametrize(
    "line", ["a dense 1 1 8 8", "a dense 1 1 8 8 -> 1 k9", "a dense 1 1 8 8 -> 1 q3", "a b 1 -> x"]
)
def test_a_bad_line_is_shown(line: str) -> None:
    from problems import parse

    with pytest.raises(ValueError, match=re.escape(f"not a problem: {line!r}")):
        parse(line)


def _row(direction: str, **seconds: float) -> Any:
    from peerbench.measure import Outcome, Row

    line = "a dense-3x3 1 64 28 28 -> 64 k3 p1"
    return Row(line, direction, 1, 1.0, {n.replace("_", "-"): Outcome([(s, 0.0)]) for n, s in seconds.items()})


def test_ratio_and_margin() -> None:
    from peerbench.catalogue import RIVALS
    from peerbench.targets import margin, ratio

    row = _row("forward", fastconv=2.0, fastconv_out=1.0, torch=6.0, torch_cl=5.0, ncnn=3.9)
    assert ratio(row, RIVALS) == pytest.approx(3.9 / 2)
    assert margin(row) == pytest.approx(min(3.9 / 2 / 1.3, 5.0 / 2 / 2.5))
    assert margin(_row("grad_weight", fastconv=1.0, torch=3.0)) == pytest.approx(1.5)
    assert ratio(_row("forward", torch=1.0), RIVALS) is None


def test_targets_beyond_the_roofline() -> None:
    from peerbench.report import short
    from peerbench.targets import beyond_roofline

    far = _row("grad_input", fastconv=1.9, torch=1.9 * 1.1)  # of a roofline of 1: 2.2 times torch would take 0.95
    near = _row("grad_input", fastconv=2.2, torch=2.2 * 1.1)
    saving = _row("grad_input", fastconv=0.5, torch=0.5)
    reached = _row("grad_input", fastconv=1.5, torch=4.0)
    assert [beyond_roofline(r) for r in (far, near, saving, reached)] == [True, False, False, False]
    assert short([far, near, saving, reached]) == [["dense-3x3", "grad_input", "1", "4", "1", "1", "a 0.45, a 0.50"]]


def test_a_wrong_or_invalid_result_does_not_count() -> None:
    from peerbench.measure import _compare
    from peerbench.targets import ratio

    row = _row("forward", fastconv=1.0, torch=2.0, ncnn=0.1, openvino=0.1)
    right = np.ones((1, 2))
    _compare(row, {"fastconv": right, "torch": right, "ncnn": right * 1.01, "openvino": right * np.nan}, 1e-3)
    assert row.reference == "torch"
    assert [n for n, o in row.outcomes.items() if o.mismatch] == ["ncnn", "openvino"]
    assert ratio(row, ("torch", "ncnn", "openvino")) == 2.0


def test_disturbed_blocks_count_only_without_others() -> None:
    from peerbench.measure import Outcome

    assert Outcome([(9.0, 0.5), (1.0, 0.0), (3.0, 0.01), (8.0, 0.2)]).seconds == 2.0
    assert Outcome([(9.0, 0.5), (8.0, 0.2)]).seconds == 8.5


def test_a_disturbed_rival_leaves_no_ratio() -> None:
    from peerbench.measure import Outcome
    from peerbench.targets import margin, ratio

    row = _row("forward", fastconv=1.0, torch=3.0, ncnn=2.0)
    row.outcomes["ncnn"] = Outcome([(2.0, 0.5)])
    assert ratio(row, ("torch", "ncnn")) is None and margin(row) is None
    assert ratio(row, ("torch",)) == 3.0


def test_a_process_that_ends_while_it_is_measured_fails_alone(tmp_path: Path) -> None:
    from peerbench.catalogue import choose
    from peerbench.measure import Outcome, Plan, _time
    from peerbench.processes import WorkerError

    peers = choose(["fastconv", "torch"], None, False)[0]

    class Worker:
        def ask(self, do: str, peer: str, seconds: float) -> Any:
            if peer == "torch":
                raise WorkerError("process ended")
            return {"blocks": [(seconds, 0.0)]}

    class Workers:
        def get(self, library: Any, threads: int) -> Worker:
            return Worker()

    row = _row("forward")
    row.outcomes = {peer.name: Outcome() for peer in peers}
    workers: Any = Workers()
    _time(row, workers, Plan(peers, 2, 0.01, tmp_path))
    assert row.outcomes["torch"].failure == "process ended"
    assert row.outcomes["fastconv"].seconds == row.outcomes["torch-cl"].seconds == 0.01


def test_tables_of_the_pages() -> None:
    from peerbench import pages
    from peerbench.report import Report

    slower, quicker = _row("forward", fastconv=8.0, torch=6.0, ncnn=9.0), _row("grad_input", fastconv=1.0, torch=3.0)
    run: Any = Report("a command", None, "best", rows=[slower, quicker])  # type: ignore[arg-type]
    tables = pages.tables(run)
    assert "peers-threads" not in tables
    assert tables["peers-behind"].splitlines()[2:] == ["| dense-3x3 | `a` | forward | 0.75 |"]
    assert "| dense-3x3 | forward | 1 | 0 | 0 | `a` 0.30 |" in tables["peers-aims"]
    assert "| dense-3x3 | 0.75 | 3 |  |" in pages.family_means(run, 1)
    assert pages.worst(run, 1).splitlines()[2:] == ["| `1,64,28,28 -> 64 3x3 p1` | forward | 0.75 |"]
    two = _row("grad_input", fastconv=0.6, torch=3.0)
    two.threads = 2
    run.rows.append(two)
    assert pages.tables(run)["peers-scaling"].splitlines()[2:] == ["| `a` | input gradient | 1e+03 | 1.67 |"]


def test_a_table_is_pasted_between_its_marks(tmp_path: Path) -> None:
    from paste_tables import paste

    page = tmp_path / "page.md"
    head, tail = "<!-- table: a -->\nof | a\n\n", "<!-- end: a -->\n<!-- table: b -->\n| kept |\n<!-- end: b -->\n"
    page.write_text(f"{head}| old |\n| --- |\n{tail}")
    assert paste(page, "a", "said\n| \\1 new |\n")
    assert not paste(page, "c", "| lost |\n")
    assert page.read_text() == f"{head}| \\1 new |\n{tail}"
    assert paste(page, "a", "| x |\n| y |\n\n| \\1 new |\n| more |\n\nthe end\n")
    assert page.read_text() == f"{head}| \\1 new |\n| more |\n{tail}"


def test_waiting_for_a_processor_is_seen() -> None:
    from peerbench.adapters import Call
    from peerbench.worker import measure

    alone = measure(Call(lambda: None), 0.02)
    assert min(seconds for seconds, _ in alone) < 1e-3  # of a block that others left alone
    assert all(wait >= 0 for _, wait in alone)
    slow = measure(Call(lambda: time.sleep(0.02)), 0.01)
    assert len(slow) == 1 and slow[0][0] >= 0.02


def test_a_run_of_fastconv_alone(tmp_path: Path) -> None:
    shapes = tmp_path / "shapes.txt"
    shapes.write_text("a dense 1 3 8 9 -> 4 k3 p1\nb mode 1 3 8 9 -> 4 k3 p1 circular  # with a comment\n")
    options = ["--shapes-file", str(shapes), "--quick", "--threads", "1", "--peers", "fastconv", "--out", str(tmp_path)]
    command = [sys.executable, str(BENCHMARKS / "peers.py"), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=tmp_path)
    rows = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert [(r["name"], r["direction"]) for r in rows] == [
        (name, direction) for name in "ab" for direction in ("forward", "grad_input", "grad_weight")
    ]
    for row in rows:
        assert row["gflops"]["fastconv"] > 0
        assert row["outcomes"]["fastconv-out"]["error"] == 0.0
        assert ("fastconv-zeros" in row["gflops"]) == (row["name"] == "b")
    assert "| b | 1,3,8,9 -> 4 3x3 p1 circular | forward | 1 |" in (tmp_path / "peers.md").read_text()
    assert (tmp_path / "peers.png").exists()


def test_pictures_of_the_ratios(tmp_path: Path) -> None:
    from peerbench.machine import Machine
    from peerbench.measure import Outcome, Row
    from peerbench.plot import plot_families, plot_ratios
    from peerbench.report import Report

    def row(direction: str, ours: float, theirs: float) -> Row:
        outcomes = {"fastconv": Outcome([(ours, 0.0)]), "torch": Outcome([(theirs, 0.0)])}
        return Row("a dense 1 3 8 9 -> 4 k3 p1", direction, 1, 1e-6, outcomes)

    rows = [row("forward", 1e-6, 2e-6), row("grad_weight", 1e-6, 7.5e-6)]
    run = Report("", Machine("a processor", "", {}, {}), "best", rows=rows)
    plot_families(run, tmp_path / "families.svg")
    picture = (tmp_path / "families.svg").read_text()
    assert all(f">{text}<" in picture for text in ("dense", "2", "7.5", "a processor, 1 thread"))
    run.rows.append(row("forward", 2e-6, 1e-6))
    plot_ratios(run, tmp_path / "ratios.svg")
    picture = (tmp_path / "ratios.svg").read_text()
    assert all(f">{text}<" in picture for text in ("forward: 1 of 2 behind", "grad_weight: 0 of 1 behind"))


def test_a_library_that_cannot_start_is_reported_with_its_reason(tmp_path: Path) -> None:
    from peerbench.catalogue import Library
    from peerbench.processes import WorkerError, Workers

    workers = Workers(None, {}, tmp_path, 60.0)
    with pytest.raises(WorkerError, match="No module named 'peerbench.adapters.absent'"):
        workers.get(Library("absent", "absent"), 1)
    assert "absent" in workers.missing
    workers.close()


def test_a_process_that_ends_is_reported_and_started_again(tmp_path: Path) -> None:
    from peerbench.catalogue import FASTCONV
    from peerbench.processes import WorkerError, Workers

    workers = Workers(None, {}, tmp_path, 60.0)
    first = workers.get(FASTCONV, 1)
    first.process.kill()
    with pytest.raises(WorkerError, match="process ended"):
        first.ask("forget")
    second = workers.get(FASTCONV, 1)
    with pytest.raises(WorkerError, match="prepared in a process that has ended"):
        second.ask("run", peer="fastconv", seconds=0.01)
    request = {"peer": "fastconv", "line": "a dense 1 1 8 8 -> 1 k3", "direction": "forward"}
    assert second.ask("prepare", **request, check=str(tmp_path / "y.npy")) == {}
    assert min(second.ask("run", peer="fastconv", seconds=0.01)["blocks"])[0] > 0
    second.close()
    workers.forget()
    assert workers.get(FASTCONV, 1).alive
    workers.close()
