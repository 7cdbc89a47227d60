"""The command line: what it prints, which codes it returns, and how it refuses bad usage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv
from fastconv.cli import main


def test_info_prints_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    config = fastconv.show_config()
    assert list(lines) == list(config)
    assert lines["version"] == fastconv.__version__
    assert lines["isa"] == config["isa"]
    assert lines["num_threads"] == str(fastconv.get_num_threads())


def test_info_as_json_is_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == fastconv.show_config()


def test_module_runs_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "fastconv", "info"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert fastconv.__version__ in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"fastconv {fastconv.__version__}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["nothing"], "'nothing'"),
        (["bench", "--threads", "0"], "--threads: must be a whole number of at least 1, got '0'"),
        (["bench", "--threads", "two"], "got 'two'"),
        (["bench", "--rows", "edge", "moon"], "'moon'"),
        (["bench", "--out", __file__], "is a file"),
        (["info", "--quick"], "--quick"),
        (["train", "--epochs", "0"], "--epochs: must be a whole number of at least 1, got '0'"),
        (["train", "--batch-size", "-1"], "--batch-size: must be a whole number of at least 1, got '-1'"),
        (["train", "--patience", "x"], "--patience: must be a whole number of at least 1, got 'x'"),
        (["train", "--threads", "0"], "--threads: must be a whole number of at least 1, got '0'"),
        (["train", "--seed", "-1"], "--seed: must be a whole number of at least 0, got '-1'"),
        (["train", "--out", __file__], "is a file"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_bench_runs_the_rows_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--quick", "--rows", "edge", "--threads", "1", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "multiply-accumulates" in printed
    assert "report.md" in printed
    data = json.loads((tmp_path / "results.json").read_text())
    assert [row["part"] for row in data["rows"]] == ["edge"]
    assert data["curves"] == {"kernel-curve": [], "image-curve": []}


def test_bench_without_its_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "--quick", "--out", str(tmp_path)]) == 1
    assert "matplotlib is not installed; pip install 'fastconv[bench]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["bench", "train"])
def test_a_folder_that_cannot_be_made_is_told_at_once(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("safetensors" if command == "train" else "matplotlib")
    (tmp_path / "file").touch()
    assert main([command, "--out", str(tmp_path / "file" / "below")]) == 1
    printed = capsys.readouterr()
    assert f"fastconv {command}: " in printed.err and "below" in printed.err
    assert "accuracy" not in printed.out


def test_info_needs_no_extra() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['matplotlib', 'rich', 'threadpoolctl']));"
        "from fastconv.cli import main; raise SystemExit(main(['info']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
