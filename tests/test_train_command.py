"""``fastconv train``: from the first epoch to the files, and messages instead of tracebacks."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("safetensors", reason="fastconv train saves as safetensors")
pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

from fastconv import data, nn, train  # noqa: E402
from fastconv.cli import main  # noqa: E402


def run(folder: Path, *options: str) -> int:
    return main(["train", "--data", "digits", "--model", "mlp", "--out", str(folder), *options])


def test_it_trains_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib")
    assert run(tmp_path, "--epochs", "3", "--augment", "shift", "--profile", "--threads", "1") == 0
    shown = capsys.readouterr().out
    assert "epoch 3: loss" in shown and "test: accuracy " in shown and "1 Linear" in shown
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "model.safetensors", "run.safetensors", "history.json", "confusion.png", "curves.png", "misclassified.png"
    }  # fmt: skip
    model = nn.models.build("mlp", (1, 8, 8), 10)
    train.load(model, tmp_path / "model.safetensors")
    training, test = data.digits()
    training, _ = data.split(training, (0.9, 0.1))
    _, test = data.standardise(training, test)
    assert f"test: accuracy {train.evaluate(model, test)['accuracy']:.2%}" in shown
    assert len(train.History.load(tmp_path / "history.json")) == 3


def test_it_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("--schedule", "step", "--optimizer", "adam", "--lr", "0.002", "--patience", "9")
    assert run(tmp_path / "cut", "--epochs", "3", *common) == 0
    assert run(tmp_path / "cut", "--epochs", "3", "--resume", *common) == 0
    assert "epoch 1:" not in capsys.readouterr().out.split("epoch 3:")[1]
    first = (tmp_path / "cut" / "model.safetensors").read_bytes()
    assert run(tmp_path / "whole", "--epochs", "3", *common) == 0
    assert (tmp_path / "whole" / "model.safetensors").read_bytes() == first


def test_messages_instead_of_tracebacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTCONV_DATA", str(tmp_path))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"not this")
    assert main(["train", "--data", "mnist"]) == 2
    assert "fastconv train: " in capsys.readouterr().err
    assert main(["train", "--augment", "flip", "none"]) == 2
    assert "--augment none goes with nothing else, got flip none" in capsys.readouterr().err
    assert main(["train", "--data", "digits", "--model", "lenet5"]) == 2
    assert "lenet5 needs images of 16x16 or more, got 8x8" in capsys.readouterr().err
    assert run(tmp_path / "nan", "--lr", "1e30", "--epochs", "1") == 1
    assert "lower the learning rate" in capsys.readouterr().err
    for option in ("--lr", "--weight-decay"):
        assert run(tmp_path / "bad", option, "-1") == 2
        assert f"{option[2:].replace('-', '_')} must not be negative, got -1" in capsys.readouterr().err
