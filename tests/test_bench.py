"""The main job: the matrix that is never stored, both sides of every problem, and the job from end to end."""

from __future__ import annotations

import builtins
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv.bench import dense, job, machine, parts, photo, report, tables, units
from fastconv.bench.measure import DifferentResults, measure
from fastconv.bench.results import Run, run_as_data
from fastconv.bench.toeplitz import ToeplitzMatrix
from fastconv.extras import MissingExtra


def _ignore(share: float) -> None:
    pass


# --- the matrix -------------------------------------------------------------------------------------------------------


def _whole(matrix: ToeplitzMatrix, rows: int) -> np.ndarray[Any, Any]:
    return np.concatenate([block.copy() for _, block in matrix.blocks(rows)])


@pytest.mark.parametrize("rows", [1, 4, 7, 1000])
@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "padding"),
    [
        ((1, 5, 5), (1, 1, 3, 3), 0),
        ((2, 5, 4), (3, 2, 3, 2), 1),
        ((3, 1, 6), (2, 3, 1, 6), 0),
        ((1, 2, 2), (1, 1, 5, 5), 2),
    ],
)
def test_matrix_times_image_is_the_convolution(
    input_shape: tuple[int, int, int], weight_shape: tuple[int, int, int, int], padding: int, rows: int
) -> None:
    numbers = np.random.default_rng(3)
    weight = numbers.integers(1, 9, weight_shape).astype(np.float64)
    image = numbers.integers(-9, 9, input_shape).astype(np.float64)
    matrix = ToeplitzMatrix(weight, input_shape, padding)
    whole = _whole(matrix, min(rows, matrix.shape[0]))
    expected = fastconv.conv2d(image, weight, padding=padding, algorithm="reference")
    assert whole.shape == matrix.shape
    assert np.array_equal(whole @ image.reshape(-1), expected.reshape(-1))


def test_matrix_of_a_3x3_kernel_on_a_5x5_image() -> None:
    """81 of 225 entries are not zero, 9 of them distinct, and each diagonal of a block holds one value."""
    weight = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    whole = _whole(ToeplitzMatrix(weight, (1, 5, 5), 0), 9)
    assert whole.shape == (9, 25)
    assert np.count_nonzero(whole) == 81
    assert set(whole[whole != 0]) == set(range(1, 10))
    blocks = whole.reshape(3, 3, 5, 5)  # output row, output column, input row, input column
    assert np.array_equal(blocks[0, :, 0], blocks[2, :, 2])
    assert np.array_equal(blocks[:, 0, :, 0], blocks[:, 2, :, 2])


def test_blocks_are_whole_picture_rows_where_one_fits() -> None:
    matrix = ToeplitzMatrix(np.ones((1, 1, 1, 2), np.float32), (1, 280, 320), 0)
    assert matrix.shape == (89_320, 89_600)
    assert matrix.rows_within(dense.BLOCK_BYTES) == 319
    assert matrix.rows_within(10 * 89_600 * 4) == 10
    assert matrix.rows_within(1) == 1


# --- the photograph ---------------------------------------------------------------------------------------------------


def test_photograph_has_whole_grey_levels_and_a_wide_range() -> None:
    grey = photo.picture(280, 320, 1)
    assert grey.shape == (1, 280, 320) and grey.dtype == np.float32
    assert np.array_equal(grey, np.round(grey))
    assert grey.min() >= 0 and grey.max() <= 255 and grey.std() > 40


@pytest.mark.parametrize("shape", [(1, 1, 8, 9), (5, 3, 4, 6), (2, 7, 3, 5), (1, 64, 7, 7)])
def test_batches_are_tiles_of_the_photograph(shape: tuple[int, int, int, int]) -> None:
    cut = photo.batch(*shape)
    assert cut.shape == shape
    maps = cut.reshape(-1, *shape[2:])
    assert len({tile.tobytes() for tile in maps}) == len(maps)


def test_first_tile_is_the_corner_of_the_picture() -> None:
    assert np.array_equal(photo.batch(4, 3, 6, 5)[0], photo.picture(12, 10, 3)[:, :6, :5])
    assert np.array_equal(photo.batch(4, 3, 6, 5)[3], photo.picture(12, 10, 3)[:, 6:, 5:])


# --- the two sides ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
def test_every_way_to_multiply_is_a_dense_layer(batch: int) -> None:
    numbers = np.random.default_rng(4)
    block = numbers.integers(-5, 6, (7, 11)).astype(np.float32)
    x = numbers.integers(-5, 6, (11, batch)).astype(np.float32)
    with machine.at_most(2):
        ways = dense.ways(batch)
    kinds = {way.name.split(",")[0] for way in ways}
    assert kinds == {"numpy sgemv" if batch == 1 else "numpy sgemm", "fastconv 1x1"}
    assert [way.threads for way in ways] == [2, 1, 2, 1]
    for way in ways:
        y = np.full((7, batch), np.nan, np.float32)
        assert way.seconds(block, x, y, 1) > 0
        assert np.array_equal(y, block @ x)


@pytest.mark.parametrize("block_bytes", [1, 5000, dense.BLOCK_BYTES])
def test_dense_side_in_blocks_of_any_size(block_bytes: int) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3)
    image = photo.batch(2, 1, 6, 7)
    shares: list[float] = []
    matrix = ToeplitzMatrix(weight, (1, 6, 7), 0)
    run = dense.run(matrix, image.reshape(2, -1), shares.append, block_bytes)
    assert np.array_equal(run.output.reshape(2, 2, 6, 5), fastconv.conv2d(image, weight))
    assert sum(shares) == pytest.approx(1)
    assert len(shares) == run.blocks
    assert run.way in run.trials
    assert run.multiply_seconds > 0 and run.build_seconds > 0


@pytest.mark.parametrize("part", parts.PARTS)
def test_both_sides_give_the_same_result(part: str) -> None:
    for problem in parts.problems(part, quick=True):
        outcome = measure(part, problem, _ignore)
        assert outcome.conv_output.shape == (problem.batch, *problem.output_shape)
        expected = fastconv.conv2d(
            outcome.image, problem.weight(), problem.biases(), padding=problem.padding, algorithm="reference"
        )
        assert np.array_equal(outcome.dense_output, expected)
        if outcome.algorithm in ("direct", "reference"):
            assert outcome.largest_difference == 0


def test_differences_are_shares_of_what_was_summed() -> None:
    problem = parts.problems("wide", quick=True)[0]
    outcome = measure("wide", problem, _ignore)
    magnitudes = fastconv.conv2d(
        np.abs(outcome.image), np.abs(problem.weight()), np.abs(problem.biases()), padding=problem.padding
    )
    assert outcome.scale == pytest.approx(magnitudes.max())
    off = replace(outcome, conv_output=outcome.dense_output + 3)
    assert off.relative_difference == pytest.approx(3 / outcome.scale)
    assert tables.comparison([off]).rows[0][-1] == f"to {3 / outcome.scale:.1g}"


def test_a_wrong_convolution_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fastconv.conv2d
    monkeypatch.setattr(fastconv, "conv2d", lambda *a, **k: right(*a, **k) + (1 if "out" not in k else 0))
    with pytest.raises(DifferentResults, match="edges"):
        measure("edge", parts.problems("edge", quick=True)[0], _ignore)


def test_edge_detector_has_the_lectures_geometry_and_counts() -> None:
    (problem,) = parts.problems("edge", quick=False)
    assert problem.output_shape == (1, 280, 319)
    assert problem.costs.convolution.multiply_add_ops == 267_960
    assert problem.costs.dense.flops == 16_006_144_000
    assert problem.weight().reshape(-1).tolist() == [-1, 1]


def test_edges_are_differences_of_neighbours() -> None:
    outcome = measure("edge", parts.problems("edge", quick=True)[0], _ignore)
    assert np.array_equal(outcome.conv_output[0, 0], np.diff(outcome.image[0, 0], axis=1))
    assert np.abs(outcome.conv_output).max() > 50


def test_full_rows_are_those_of_the_lectures() -> None:
    first, batch = parts.problems("filters", quick=False)
    assert (first.costs.convolution.parameters, first.costs.dense.parameters) == (456, 14_455_392)
    assert batch.costs.dense.macs == batch.batch * first.costs.dense.macs
    assert [p.costs.convolution.parameters for p in parts.problems("lenet", quick=False)] == [156, 2416, 48_120]


def test_names_are_unique_and_sums_stay_exact() -> None:
    """No partial sum can leave the whole numbers that float32 holds."""
    for quick in (False, True):
        problems = [problem for part in parts.PARTS for problem in parts.problems(part, quick)]
        assert all(255 * 3 * problem.costs.convolution.terms + 200 < 2**24 for problem in problems)
        rows = [p.name for part in parts.PARTS if part not in parts.CURVES for p in parts.problems(part, quick)]
        assert len(set(rows)) == len(rows)


# --- the job ----------------------------------------------------------------------------------------------------------

PICTURES = ("edges.png", "costs.png", "connectivity.png", "curves.png")


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bench") / "new" / "folder"
    assert job.run(job.Options(out=out, quick=True, threads=1)) == 0
    return out


def test_job_writes_report_data_and_pictures(quick_run: Path) -> None:
    assert {file.name for file in quick_run.iterdir()} == {"report.md", "results.json", *PICTURES}
    text = (quick_run / "report.md").read_text()
    assert "equal in every bit" in text
    assert all(f"]({name})" in text for name in PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_not_blank(quick_run: Path, name: str) -> None:
    from matplotlib.image import imread

    pixels = imread(quick_run / name)
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels[..., 0])) > 20


COUNTS = {"parameters", "connections", "macs", "flops", "multiply_add_ops", "bytes"}
DENSE = {"seconds", "build_seconds", "way", "trial_seconds", "blocks", "block_shape"}


def test_results_json(quick_run: Path) -> None:
    data = json.loads((quick_run / "results.json").read_text())
    assert data["schema_version"] == 1
    assert data["finished"] is True and data["quick"] is True and data["threads"] == 1
    assert data["machine"]["fastconv"].startswith(fastconv.__version__)
    assert "1 threads" in data["machine"]["blas"] or data["machine"]["blas"] == "unknown"
    assert [row["part"] for row in data["rows"]] == ["edge", *2 * ["filters"], *3 * ["lenet"], "wide"]
    assert {name: len(points) for name, points in data["curves"].items()} == {"kernel-curve": 3, "image-curve": 3}
    for row in data["rows"] + sum(data["curves"].values(), []):
        assert set(row["convolution"]) == COUNTS | {"seconds", "threads", "algorithm"}
        assert set(row["locally_connected"]) == COUNTS
        assert set(row["dense"]) == COUNTS | DENSE
        assert row["convolution"]["seconds"] > 0 and row["dense"]["seconds"] > 0
        assert row["speed_ratio"] == row["dense"]["seconds"] / row["convolution"]["seconds"]
        assert row["same_bits"] is (row["largest_difference"] == 0)
        assert row["relative_difference"] <= 1e-5


def test_results_count_the_quick_edge_detector(quick_run: Path) -> None:
    row = json.loads((quick_run / "results.json").read_text())["rows"][0]
    outputs, inputs = 31 * 28, 32 * 28
    assert row["convolution"]["multiply_add_ops"] == 3 * outputs
    assert row["dense"]["flops"] == 2 * outputs * inputs
    assert row["dense"]["multiply_add_ops"] == outputs * (2 * inputs - 1)
    assert row["same_bits"] is True


def test_threads_are_given_back(quick_run: Path) -> None:
    from threadpoolctl import threadpool_info

    def counts() -> list[int]:
        return [fastconv.get_num_threads()] + [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

    before = counts()
    with machine.at_most(1) as threads:
        assert threads == 1
        assert set(counts()) == {1}
    assert counts() == before


def test_ctrl_c_keeps_the_finished_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fastconv.bench import measure as module

    right = module.measure

    def interrupted(part: str, problem: parts.Problem, advance: Any) -> Any:
        if part == "lenet":
            raise KeyboardInterrupt
        return right(part, problem, advance)

    monkeypatch.setattr(module, "measure", interrupted)
    assert job.run(job.Options(out=tmp_path, quick=True)) == 130
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["finished"] is False
    assert [row["part"] for row in data["rows"]] == ["edge", "filters", "filters"]
    assert "Interrupted" in (tmp_path / "report.md").read_text()
    assert not (tmp_path / "curves.png").exists()
    assert "keeping what is finished" in capsys.readouterr().out


def test_ctrl_c_before_the_first_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastconv.bench import measure as module

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure", interrupted)
    assert job.run(job.Options(out=tmp_path, quick=True)) == 130
    assert json.loads((tmp_path / "results.json").read_text())["rows"] == []


@pytest.mark.parametrize("module", ["matplotlib", "rich", "threadpoolctl"])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    import sys

    right = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] == module:
            raise ImportError(f"No module named {module!r}")
        return right(name, *arguments, **options)

    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=rf"{module} is not installed; pip install 'fastconv\[bench\]'"):
        job.run(job.Options(out=tmp_path / "none", quick=True))
    assert not (tmp_path / "none").exists()


# --- tables and units -------------------------------------------------------------------------------------------------


def _pretend_full_run() -> Run:
    """Full-size problems with times of the widest kind, without the work: only the tables are looked at."""
    from fastconv.bench.measure import Outcome

    outcomes = []
    for part in parts.PARTS:
        for problem in parts.problems(part, quick=False):
            zeros = np.zeros((problem.batch, *problem.output_shape), np.float32)
            image = np.zeros((problem.batch, *problem.input_shape), np.float32)
            way = "numpy sgemv, 2 threads"
            side = dense.DenseRun(zeros, way, {way: 0.0123}, 280, (319, 89_600), 0.321, 123.0)
            outcomes.append(Outcome(part, problem, image, zeros, zeros, 0.000123, 2, "direct", side, 1.0))
    return Run({"processor": "pretended"}, 2, False, True, 99.0, outcomes)


def test_tables_fit_100_columns_with_nothing_cut() -> None:
    from rich.console import Console

    text = io.StringIO()
    report.print_tables(_pretend_full_run(), Console(file=text, width=100))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in text.getvalue()
    assert any("16,006,144,000" in line and "357,280" in line for line in lines)
    assert any("267,960" in line for line in lines)


def test_run_as_data_is_json() -> None:
    data = json.loads(json.dumps(run_as_data(_pretend_full_run())))
    assert data["rows"][0]["mac_ratio"] == 44_800


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.seconds(1.234), "1.23 s"),
        (units.seconds(0.0123), "12.3 ms"),
        (units.seconds(9.99e-7), "1.00 us"),
        (units.seconds(0.123456), "123 ms"),
        (units.count(456), "456"),
        (units.count(14_455_392), "14.5 M"),
        (units.count(8_003_072_000), "8.00 G"),
        (units.size(32_012_288_000), "32.0 GB"),
        (units.ratio(44_800), "44,800 x"),
        (units.ratio(0.5), "0.5 x"),
    ],
)
def test_units(text: str, expected: str) -> None:
    assert text == expected


def test_progress_is_told_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from fastconv.bench import progress

    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.0)
    outcome = _pretend_full_run().outcomes[0]
    text = io.StringIO()

    def measure(advance: Callable[[float], None]) -> object:
        advance(0.5)
        return outcome

    with progress.JobProgress(Console(file=text, width=100), [outcome.problem]).shown() as told:
        told.measured(outcome.problem, measure)
    lines = [line for line in text.getvalue().splitlines() if line.strip()]
    assert "% of the job" in lines[0] and "123 us against" in lines[1]
