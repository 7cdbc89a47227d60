"""Pictures: written for every function, of what they say they show, and refused for what they cannot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastconv import data, nn, train

pytest.importorskip("matplotlib", reason="pictures need matplotlib")

from fastconv import viz  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    nn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.Tanh(),
        nn.Flatten(), nn.Linear(54, 3),
    )  # fmt: skip


HISTORY = train.History(
    [{"loss": 1 / k, "accuracy": 1 - 1 / k, "valid_loss": 1 / k + 0.1, "valid_accuracy": 0.5} for k in range(1, 5)]
)
IMAGES = RNG.random((30, 1, 12, 12)).astype(np.float32)


def written(figure: Any, path: Path) -> int:
    figure.savefig(path)
    return path.stat().st_size


def test_learning_curves(tmp_path: Path) -> None:
    figure = viz.learning_curves(HISTORY, best="valid_loss")
    assert written(figure, tmp_path / "a.png") > 5000
    lines = figure.axes[0].get_lines()
    np.testing.assert_allclose(lines[0].get_ydata(), HISTORY["loss"])
    np.testing.assert_allclose(lines[1].get_ydata(), HISTORY["valid_loss"])
    assert lines[2].get_xdata()[0] == 4  # the best epoch
    both = viz.learning_curves({"a": HISTORY, "b": HISTORY})
    assert [t.get_text() for t in both.axes[0].get_legend().get_texts()] == [
        "a training", "a validation", "b training", "b validation"
    ]  # fmt: skip
    assert written(both, tmp_path / "b.svg") > 5000


def test_confusion_matrix(tmp_path: Path) -> None:
    figure = viz.confusion_matrix(np.array([[8, 2], [0, 10]]), ("cat", "dog"))
    assert written(figure, tmp_path / "c.png") > 3000
    assert sorted(t.get_text() for t in figure.axes[0].texts) == ["10", "2", "8"]
    assert figure.axes[0].get_title() == "90.00% of 20 right"


def test_misclassified(tmp_path: Path) -> None:
    truth = np.zeros(30, int)
    outputs = np.tile([1.0, 0, 0], (30, 1))
    outputs[4, 1], outputs[9, 2] = 5, 9
    figure = viz.misclassified(IMAGES, truth, outputs, ("a", "b", "c"))
    assert written(figure, tmp_path / "w.png") > 3000
    assert [ax.get_title() for ax in figure.axes] == ["a\nas c", "a\nas b"]  # the surest first
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), IMAGES[9, 0])
    with pytest.raises(ValueError, match="all right"):
        viz.misclassified(IMAGES, truth, np.tile([1.0, 0, 0], (30, 1)))
    outputs = np.tile([0, 1.0, 0], (30, 1))
    assert len(viz.misclassified(np.repeat(IMAGES, 3, axis=1), truth, outputs, count=11).axes) == 16


def test_filters(tmp_path: Path, model: nn.Sequential) -> None:
    assert written(viz.filters(model[0]), tmp_path / "f.png") > 1000
    deep = viz.filters(model[4], count=5, channels=3)
    assert len(deep.axes) == 15 and written(deep, tmp_path / "g.png") > 2000
    np.testing.assert_array_equal(deep.axes[1].images[0].get_array(), model[4].weight.data[1, 0])
    with pytest.raises(ValueError, match="got shape"):
        viz.filters(np.zeros((2, 3)))


def test_feature_maps(tmp_path: Path, model: nn.Sequential) -> None:
    figure = viz.feature_maps(model, IMAGES[0], maps=3)
    assert written(figure, tmp_path / "m.png") > 5000
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert labels == ["Conv2d\n10x10", "ReLU\n10x10", "MaxPool2d\n5x5", "Conv2d\n3x3", "Tanh\n3x3"]
    outputs = viz.outputs_by_layer(model, IMAGES[:2])
    assert list(outputs) == [str(i) for i in range(8)]
    np.testing.assert_allclose(outputs["7"][1], train.predict(model, IMAGES[:2]), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="image must be"):
        viz.feature_maps(model, IMAGES)
    with pytest.raises(ValueError, match="no layer that gives feature maps"):
        viz.feature_maps(nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), IMAGES[0])


def test_decision_boundary(tmp_path: Path) -> None:
    points, _ = data.moons(40)
    models = {"two": nn.Sequential(nn.Linear(2, 2)), "one": nn.Sequential(nn.Linear(2, 1))}
    figure = viz.decision_boundary(models, *points, resolution=20)
    assert written(figure, tmp_path / "d.png") > 5000 and [ax.get_title() for ax in figure.axes] == ["two", "one"]
    with pytest.raises(ValueError, match=r"x must be \(N, 2\)"):
        viz.decision_boundary(models, IMAGES, points.y)


def test_padding_modes(tmp_path: Path) -> None:
    row = np.array([[1.0, 2, 3]] * 3)
    figure = viz.padding_modes(row, pad=2)
    assert written(figure, tmp_path / "p.png") > 2000
    middle = {ax.get_title(): ax.images[0].get_array()[3].tolist() for ax in figure.axes}
    assert middle == {
        "zeros": [0, 0, 1, 2, 3, 0, 0],
        "reflect": [3, 2, 1, 2, 3, 2, 1],
        "replicate": [1, 1, 1, 2, 3, 3, 3],
        "circular": [2, 3, 1, 2, 3, 1, 2],
        "symmetric": [2, 1, 1, 2, 3, 3, 2],
    }
    with pytest.raises(ValueError, match="image must be"):
        viz.padding_modes(IMAGES)


def test_pooling_effects(tmp_path: Path) -> None:
    figure = viz.pooling_effects(IMAGES[0, 0], size=3)
    assert written(figure, tmp_path / "q.png") > 5000 and len(figure.axes) == 10
    shown = figure.axes[1].images[0].get_array()
    np.testing.assert_array_equal(shown, IMAGES[0, 0].reshape(4, 3, 4, 3).max(axis=(1, 3)))


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'fastconv\[viz\]'"):
        viz.learning_curves(HISTORY)
