"""The CNN against the MLP: equal where it says equal, and written down."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the report has a picture")
pytest.importorskip("threadpoolctl", reason="equal threads need threadpoolctl")

from fastconv import data, nn  # noqa: E402
from fastconv.bench import training  # noqa: E402


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    x = rng.normal(0, 0.1, (120, 1, 10, 10)).astype(np.float32)
    x[np.arange(120), 0, 3 + y, 5] += 2
    whole = data.Dataset(x, y, ("a", "b", "c"), "dots")
    monkeypatch.setattr(training, "images", lambda quick: (whole[:80], whole[80:]))


def test_equal_parameters() -> None:
    for count in (5_000, 61_706):
        mlp = training.equal_mlp((1, 28, 28), 10, count)
        assert abs(sum(p.data.size for p in mlp.parameters()) - count) <= 0.5 * (784 + 11)


@pytest.mark.usefixtures("small")
def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert training.run(tmp_path, quick=True, threads=1) == 0
    found = json.loads((tmp_path / "training.json").read_text())
    cnn, same_epochs, same_time = found["sides"]
    assert cnn["epochs"] == same_epochs["epochs"] == 8
    assert same_time["seconds"] < 2 * cnn["seconds"] + 1
    assert abs(same_epochs["parameters"] / cnn["parameters"] - 1) < 0.01
    assert cnn["accuracy"][0] > 0.9 and all(len(side["accuracy"]) == len(training.SHIFTS) for side in found["sides"])
    told = capsys.readouterr().out
    assert "| CNN |" in (tmp_path / "training.md").read_text() and "CNN against MLP on dots" in told
    assert "Training on dots: 80 images" in told and "CNN                epoch  8/8: loss" in told
    assert (tmp_path / "training.png").stat().st_size > 5000


def test_images_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise FileNotFoundError("not here")

    for name in ("fashion_mnist", "mnist", "digits"):
        monkeypatch.setattr(data, name, absent)
    with pytest.raises(FileNotFoundError, match="not here"):
        training.images(quick=False)
    monkeypatch.setattr(data, "digits", lambda: "digits")
    assert training.images(quick=False) == "digits"
    assert nn.models.small_cnn((1, 8, 8))(np.zeros((1, 1, 8, 8), np.float32)).shape == (1, 10)
