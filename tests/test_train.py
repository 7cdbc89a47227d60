"""Training: it learns, it repeats itself to the bit, it survives interruptions, it stops with a reason."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv import data, nn, optim, train
from fastconv.train import checkpoint, metrics

safetensors = pytest.importorskip("safetensors", reason="checkpoints need safetensors")


def patches(n: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Small images: a bright row or a bright column somewhere."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.2, (n, 1, 6, 6)).astype(np.float32)
    y = rng.integers(0, 2, n)
    for image, label, k in zip(x[:, 0], y, rng.integers(0, 6, n), strict=True):
        (image if label else image.T)[k] += 1
    return x, y


TRAIN, VALID = patches(), patches(40, 1)


def network(seed: int = 0) -> nn.Sequential:
    nn.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 2),
    )  # fmt: skip


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.state_dict().items()}


def without_time(history: train.History) -> list[dict[str, float]]:
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in history]


def test_it_learns() -> None:
    model = network()
    history = train.fit(
        model,
        TRAIN,
        VALID,
        epochs=12,
        batch_size=8,
        optimizer=optim.Adam(model.parameters(), 5e-3),
        metrics=["accuracy", "f1"],
    )
    assert len(history) == 12 and history.stopped is None
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["valid_accuracy"][-1] >= 0.9 and history["valid_f1"][-1] >= 0.9
    found = train.evaluate(model, VALID, metrics=["accuracy"])
    assert found["accuracy"] == history["valid_accuracy"][-1] and found["loss"] == history["valid_loss"][-1]


def test_same_seed_same_bits_other_seed_other_bits() -> None:
    runs = []
    for seed in (3, 3, 4):
        model = network()
        history = train.fit(model, TRAIN, VALID, epochs=3, seed=seed, augment=data.shift(1))
        runs.append((bits(model), without_time(history)))
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


class Cut(train.Callback):
    """Stands for a power cut, a kill or Ctrl-C in the epoch after ``after``."""

    def __init__(self, after: int, error: type[BaseException]) -> None:
        self.after, self.error = after, error

    def on_epoch_end(self, run: train.Run) -> None:
        if len(run.history) > self.after:
            raise self.error


@pytest.mark.parametrize("how", ["momentum", "adam"])
def test_a_resumed_run_ends_with_the_bits_of_an_unbroken_one(how: str, tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"

    def run(*extra: train.Callback, resume: bool = False) -> tuple[nn.Module, train.History]:
        model = network(9 if resume else 0)  # the weights must come from the file
        optimizer = optim.SGD(model.parameters(), 0.02, 0.9) if how == "momentum" else optim.Adam(model.parameters())
        history = train.fit(
            model,
            TRAIN,
            VALID,
            epochs=6,
            batch_size=20,
            optimizer=optimizer,
            schedule=optim.StepLR(optimizer, 2, 0.5),
            callbacks=[train.EarlyStopping(patience=4), *extra],
            checkpoint=file,
            resume=resume,
            seed=5,
        )
        return model, history

    whole, whole_history = run()
    file.unlink()
    with pytest.raises(MemoryError):
        run(Cut(3, MemoryError))
    resumed, resumed_history = run(resume=True)
    assert bits(resumed) == bits(whole)
    assert without_time(resumed_history) == without_time(whole_history)
    assert resumed_history.stopped == whole_history.stopped
    assert len(without_time(run(resume=True)[1])) == len(whole_history)  # nothing left to do
    assert [path.name for path in tmp_path.iterdir()] == [file.name]  # no temporary files


def test_ctrl_c_returns_the_history_so_far() -> None:
    history = train.fit(network(), TRAIN, epochs=9, callbacks=[Cut(1, KeyboardInterrupt)])
    assert len(history) == 2 and history.stopped == "interrupted"


def test_early_stopping_goes_back_to_the_best_weights() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.05)
    kept: list[dict[str, bytes]] = []
    wreck = train.LambdaCallback(lambda run: setattr(optimizer, "lr", 3.0 if len(run.history) >= 3 else 0.05))
    keep = train.LambdaCallback(lambda run: kept.append(bits(run.model)))
    history = train.fit(
        model,
        TRAIN,
        VALID,
        epochs=40,
        optimizer=optimizer,
        callbacks=[train.EarlyStopping(patience=3), wreck, keep],
    )
    best = history.best("valid_loss")
    assert history.stopped == "early stop: valid_loss has not improved for 3 epochs"
    assert len(history) == best + 4 < 40
    assert bits(model) == kept[best]
    assert train.evaluate(model, VALID)["loss"] == history["valid_loss"][best]


def test_early_stopping_of_an_accuracy_wants_more() -> None:
    history = train.fit(
        network(), TRAIN, VALID, epochs=30, callbacks=[train.EarlyStopping("valid_accuracy", patience=2)]
    )
    best = history.best("valid_accuracy")
    assert history["valid_accuracy"][best] == max(history["valid_accuracy"]) and len(history) == best + 3


def test_nan_and_bad_labels_stop_with_the_reason() -> None:
    x = TRAIN[0].copy()
    x[7] = np.nan
    with pytest.raises(FloatingPointError, match="the loss is nan at batch [0-9]+: lower the learning rate"):
        train.fit(network(), (x, TRAIN[1]), epochs=1)
    with pytest.raises(ValueError, match=r"label 2 \(sample [0-9]+\) is not in \[0, 2\)"):
        train.fit(network(), (TRAIN[0], TRAIN[1] * 2), epochs=1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"train": (TRAIN[0], TRAIN[1][:-1])}, ValueError, "train must hold as many samples as targets"),
        ({"train": (TRAIN[0][:0], TRAIN[1][:0])}, ValueError, "at least one; got 0"),
        ({"train": (TRAIN[0].astype(np.uint8), TRAIN[1])}, TypeError, "samples are uint8, the model is float32"),
        ({"valid": (VALID[0].astype(float), VALID[1])}, TypeError, "valid: samples are float64"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"epochs": "3"}, ValueError, "epochs must be at least 1, got '3'"),
        ({"train": np.ones(3)}, TypeError, r"train must be a Dataset or a pair \(samples, targets\), got ndarray"),
        ({"valid": 3}, TypeError, r"valid must be a Dataset or a pair \(samples, targets\), got int"),
        ({"loss": "huber"}, ValueError, "loss must be a Loss or one of cross_entropy"),
        ({"optimizer": "lion"}, ValueError, "optimizer must be a Optimizer or one of sgd"),
        ({"metrics": ["auc"]}, ValueError, "metrics must be functions or among accuracy"),
        ({"resume": True}, ValueError, "resume=True needs checkpoint="),
        ({"callbacks": [train.EarlyStopping("nope")]}, ValueError, "monitor 'nope' is not in the history: loss"),
    ],
)
def test_wrong_arguments(change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {"train": TRAIN, "epochs": 1, **change}
    with pytest.raises(error, match=message):
        train.fit(network(), **arguments)


def test_checkpoints_refuse_another_run_and_damaged_files(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    train.fit(network(), TRAIN, epochs=1, checkpoint=file)
    with pytest.raises(ValueError, match="was made with seed 0, this run has 1"):
        train.fit(network(), TRAIN, epochs=2, checkpoint=file, resume=True, seed=1)
    content = file.read_bytes()
    file.write_bytes(content[:-10])
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        train.fit(network(), TRAIN, epochs=2, checkpoint=file, resume=True)
    train.save(network(), file)
    with pytest.raises(ValueError, match="does not hold a run"):
        train.fit(network(), TRAIN, epochs=2, checkpoint=file, resume=True)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    train.save(network(), file)
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        train.save(network(1), file)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def test_models_round_trip(tmp_path: Path) -> None:
    first, second = network(0), network(1)
    train.fit(first, TRAIN, epochs=1)
    train.save(first, tmp_path / "m")
    train.load(second, tmp_path / "m")
    assert bits(first) == bits(second)
    np.testing.assert_array_equal(train.predict(first, VALID[0]), train.predict(second, VALID[0]))
    with pytest.raises(ValueError, match="state does not fit the model"):
        train.load(nn.Sequential(nn.Linear(2, 2)), tmp_path / "m")


def test_history_round_trip_and_best(tmp_path: Path) -> None:
    history = train.History([{"loss": 2.0, "accuracy": 0.5}, {"loss": 1.0, "accuracy": 0.4}], "early stop")
    history.save(tmp_path / "h.json")
    again = train.History.load(tmp_path / "h.json")
    assert list(again) == list(history) and again.stopped == "early stop"
    assert history.best("loss") == 1 and history.best("accuracy") == 0
    with pytest.raises(KeyError, match="'f1' is not in the history: it has loss, accuracy"):
        history["f1"]


def test_predict_is_the_same_for_any_batch_size_and_keeps_the_mode() -> None:
    model = network().train()
    a, b = train.predict(model, VALID[0], 7), train.predict(model, VALID[0], 100)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert model.training and model[4].training
    assert train.predict(model, VALID[0][:0]).shape == (0, 2)


def test_penalties_and_clipping_reach_the_update() -> None:
    plain, ridge, clipped = (network() for _ in range(3))
    for model, options in ((plain, {}), (ridge, {"penalties": [nn.L2(0.05)]}), (clipped, {"clip_norm": 1e-3})):
        train.fit(model, TRAIN, epochs=5, batch_size=16, optimizer="sgd", **options)
    start = network()[5].weight.data
    norm = {id(m): float(np.abs(m[5].weight.data).sum()) for m in (plain, ridge)}
    assert norm[id(ridge)] < 0.8 * norm[id(plain)]
    assert np.abs(clipped[5].weight.data - start).max() < 2e-3 < np.abs(plain[5].weight.data - start).max()


def test_profile_names_the_layers_and_changes_nothing() -> None:
    plain, profiled = network(), network()
    train.fit(plain, TRAIN, VALID, epochs=2)
    history = train.fit(profiled, TRAIN, VALID, epochs=2, profile=True)
    assert bits(plain) == bits(profiled)
    profile = history.profile
    assert profile is not None and profile.batches == 4
    assert profile.seconds["0 Conv2d", "forward"] > 0 and profile.seconds["5 Linear", "backward"] > 0
    lines = str(profile).splitlines()
    assert lines[0].split() == ["ms", "a", "batch", "forward", "backward", "share"]
    assert [line.split()[0] for line in lines[-4:]] == ["data", "loss", "update", "validation"]
    assert "forward" not in vars(profiled[0])


def test_progress_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm", reason="the bar is tqdm's")
    train.fit(network(), TRAIN, VALID, epochs=2, progress=True)
    shown = capsys.readouterr().err
    assert "epoch 2/2: 100%" in shown and "valid_accuracy" in shown
    train.fit(network(), TRAIN, epochs=1)
    assert capsys.readouterr().err == ""  # not a terminal
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"pip install 'fastconv\[train\]'"):
        train.fit(network(), TRAIN, epochs=1, progress=True)


def test_missing_safetensors_says_which_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'fastconv\[train\]'"):
        train.save(network(), tmp_path / "m")


def test_regression_with_mse_learns_a_line() -> None:
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    model = nn.Sequential(nn.Linear(1, 1))
    optimizer = optim.SGD(model.parameters(), 0.3)
    history = train.fit(
        model, (x, 3 * x - 1), epochs=60, batch_size=16, loss=nn.MSELoss(half=True), optimizer=optimizer,
        metrics=["mean_absolute_error"],
    )  # fmt: skip
    assert history["mean_absolute_error"][-1] < 1e-3
    np.testing.assert_allclose([model[0].weight.data[0, 0], model[0].bias.data[0]], [3, -1], atol=1e-3)


def test_admission_example_reaches_the_lectures_accuracy() -> None:
    """One neuron, log loss, threshold 0.5: about 89 % right on the 100 applicants (accuracy, not precision)."""
    applicants, others = data.standardise(*data.admission())
    model = nn.Sequential(nn.Linear(2, 1))
    targets = applicants.y[:, None].astype(np.float32)
    history = train.fit(
        model, (applicants.x, targets), epochs=60, loss="bce", optimizer=optim.SGD(model.parameters(), 0.5)
    )
    assert history["accuracy"][-1] >= 0.85
    assert train.evaluate(model, (others.x, others.y[:, None].astype(np.float32)), "bce")["accuracy"] >= 0.85


def test_metrics() -> None:
    outputs = np.array([[2.0, 1, 0], [0, 3, 1], [1, 2, 0], [0, 1, 5]])
    targets = np.array([0, 1, 2, 2])
    assert metrics.accuracy(outputs, targets) == 0.75
    assert metrics.accuracy(outputs, np.eye(3)[targets]) == 0.75
    assert metrics.top_k_accuracy(outputs, targets, 2) == 0.75 and metrics.top_k_accuracy(outputs, targets, 3) == 1
    np.testing.assert_array_equal(metrics.confusion_matrix(outputs, targets), [[1, 0, 0], [0, 1, 0], [0, 1, 1]])
    assert metrics.precision(outputs, targets) == pytest.approx((1 + 0.5 + 1) / 3)
    assert metrics.recall(outputs, targets) == pytest.approx((1 + 1 + 0.5) / 3)
    assert metrics.f1(outputs, targets) == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    with pytest.raises(ValueError, match=r"k must be in \[1, 3\], got 5"):
        metrics.top_k_accuracy(outputs, targets)


def test_accuracy_is_not_precision() -> None:
    """98 true negatives, 1 true positive, 1 false positive."""
    outputs = np.r_[np.full(98, -1.0), 1, 1][:, None]
    targets = np.r_[np.zeros(98), 1, 0][:, None]
    assert metrics.accuracy(outputs, targets) == 0.99
    assert metrics.precision(outputs, targets) == 0.5 and metrics.recall(outputs, targets) == 1
    assert metrics.f1(outputs, targets) == pytest.approx(2 / 3)


def test_digits_are_learnt() -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    training, test = data.standardise(*data.digits())
    nn.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    history = train.fit(model, training, test, epochs=15, batch_size=32)
    assert history["valid_accuracy"][-1] > 0.95 and math.isfinite(history["valid_loss"][-1])


def test_conv1d_on_a_time_series() -> None:
    """Winter or summer by the electricity of a day: 67 days to learn from, 1,029 to test."""
    try:
        training, test = data.time_series("ItalyPowerDemand")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    nn.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(1, 8, 5, padding="same", padding_mode="circular"), nn.ReLU(), nn.MaxPool1d(2),
        nn.Flatten(), nn.Linear(96, 2),
    )  # fmt: skip
    train.fit(model, training, epochs=80, batch_size=16)
    assert train.evaluate(model, test)["accuracy"] > 0.93


def test_conv3d_on_volumes() -> None:
    """A ball, a cube or a shell in noise (synthetic)."""
    training, test = data.shapes3d(500, size=12, noise=0.1)
    nn.manual_seed(0)
    model = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2),
        nn.Flatten(), nn.Linear(432, 3),
    )  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=0.005)
    train.fit(model, training, epochs=12, batch_size=20, optimizer=optimizer)
    assert train.evaluate(model, test)["accuracy"] > 0.8


def test_same_bits_with_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((160, 1, 20, 20)).astype(np.float32), rng.integers(0, 10, 160)

    def weights(threads: int) -> np.ndarray:
        model = nn.models.small_cnn((1, 20, 20), 10)
        nn.manual_seed(3)
        for parameter in model.parameters():
            parameter.data[...] = 0.1 * nn.init.generator().standard_normal(parameter.data.shape)
        with fc.threads(threads):
            train.fit(model, (x, y), epochs=2, optimizer="sgd", batch_size=72, progress=False)
        return np.concatenate([parameter.data.ravel() for parameter in model.parameters()])

    np.testing.assert_array_equal(weights(1), weights(2))
