"""Mistakes with layers, losses, optimisers, data and training: the error names the argument and shows its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import analysis, data, ndimage, nn, optim, signal, train

OUT, LABELS = np.ones((3, 2), np.float32), np.array([0, 1, 1])
SET = data.Dataset(np.ones((6, 4), np.float32), np.arange(6) % 2)


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 2))


def sgd() -> optim.SGD:
    return optim.SGD(model().parameters())


def fit(*arguments: Any, **options: Any) -> Any:
    return train.fit(*(arguments or (model(), SET)), epochs=1, **options)


Call = Callable[[], object]
MISTAKES: list[tuple[Call, type[Exception], str]] = [
    (lambda: nn.one_hot(["a"], 2), TypeError, "labels must be a vector of integers"),  # type: ignore[arg-type]
    (lambda: nn.one_hot(LABELS, 2.0), TypeError, "classes must be an integer, got 2.0"),  # type: ignore[arg-type]
    (lambda: nn.CrossEntropyLoss()(None, LABELS), TypeError, "output must be an array of floats, got None"),  # type: ignore[arg-type]
    (lambda: nn.MSELoss()([[1.0]], [[1.0]]), TypeError, r"output must be an array of floats, got \[\[1.0\]\]"),  # type: ignore[arg-type]
    (lambda: nn.BCEWithLogitsLoss()(OUT, "yes"), TypeError, "target must be an array, got 'yes'"),
    (lambda: nn.manual_seed(-1), ValueError, "seed must be .*, got -1"),
    (lambda: nn.init.he_([[1.0]]), TypeError, r"array must be a numpy array of floats, got \[\[1.0\]\]"),
    (lambda: nn.init.he_(OUT.copy(), 3), TypeError, "rng must be .*, got 3"),
    (lambda: nn.init.normal_(np.zeros(3, int), 1.0), TypeError, r"array must be a .* of floats, got array\(\[0, 0, 0"),
    (lambda: nn.init.uniform_(OUT.copy(), np.nan), ValueError, "bound must be finite .*, got nan"),
    (lambda: nn.init.uniform_(OUT.copy(), 1.0, 3), TypeError, "rng must be .*, got 3"),  # type: ignore[arg-type]
    (lambda: nn.init.default_(OUT.copy(), 1.5), TypeError, "fan_in must be an integer, got 1.5"),  # type: ignore[arg-type]
    (lambda: nn.init.fans("ab"), TypeError, "shape must be a sequence of integers, got 'ab'"),  # type: ignore[arg-type]
    (lambda: nn.Parameter("w"), TypeError, "data must be an array of float32 or float64, got 'w'"),  # type: ignore[arg-type]
    (lambda: nn.L2(0.1)([OUT]), TypeError, r"parameters\[0\] must be a fastconv.nn.Parameter, got ndarray"),  # type: ignore[list-item]
    (lambda: nn.softmax(LABELS), TypeError, "x must be an array of float32 or float64, got dtype int64"),
    (lambda: nn.Softmax(None), TypeError, "dim must be an integer, got None"),  # type: ignore[arg-type]
    (lambda: nn.BatchNorm2d(3, eps=-1), ValueError, "eps must not be negative, got -1"),
    (lambda: nn.Residual(3), TypeError, "body must be a fastconv.nn.module.Module, got 3"),  # type: ignore[arg-type]
    (lambda: nn.Residual(model(), "x"), TypeError, "shortcut must be a .*Module, got 'x'"),  # type: ignore[arg-type]
    (lambda: nn.Concat(model(), None), TypeError, r"branches\[1\] must be a .*Module, got None"),  # type: ignore[arg-type]
    (lambda: nn.Concat(nn.Tanh())(OUT[0]), ValueError, r"branches must give \(N, C, ...\), got shapes \[\(2,\)\]"),
    (lambda: model().seed(3), TypeError, "rng must be a .*Generator, got 3"),  # type: ignore[arg-type]
    (lambda: model().load_state_dict(3), TypeError, "state must be a collections.abc.Mapping, got 3"),  # type: ignore[arg-type]
    (lambda: sgd().load_state_dict([]), TypeError, r"state must be a collections.abc.Mapping, got \[\]"),  # type: ignore[arg-type]
    (
        lambda: model().load_state_dict({"0.weight": np.zeros((2, 4), complex), "0.bias": np.zeros(2)}),
        TypeError,
        r"state\['0.weight'\] has dtype complex128, the model has float32",
    ),
    (lambda: nn.numerical_gradient(lambda: 1.0, [1.0]), TypeError, r"array must be a numpy.ndarray, got \[1.0\]"),  # type: ignore[arg-type]
    (lambda: nn.gradcheck(nn.Tanh(), OUT, eps=0), ValueError, "eps must be above 0, got 0"),
    (lambda: nn.gradcheck(3, OUT), TypeError, "module must be a fastconv.nn.module.Module, got 3"),  # type: ignore[arg-type]
    (lambda: nn.gradcheck(model(), OUT, eps="1"), TypeError, "eps must be a number, got '1'"),  # type: ignore[arg-type]
    (lambda: nn.summary(None, (4,)), TypeError, "model must be a fastconv.nn.module.Module, got None"),  # type: ignore[arg-type]
    (lambda: nn.summary(model(), 4), TypeError, "input_shape must be a sequence of integers, got 4"),  # type: ignore[arg-type]
    (lambda: nn.Conv2d(1, 1, np.array([2.5, 1])), ValueError, r"kernel_size must be .*, got array\(\[2.5, 1"),  # type: ignore[arg-type]
    (lambda: optim.StepLR(sgd(), 1.5), TypeError, "step_size must be an integer, got 1.5"),  # type: ignore[arg-type]
    (lambda: optim.StepLR(sgd(), 1, "0.1"), TypeError, "gamma must be a number, got '0.1'"),  # type: ignore[arg-type]
    (lambda: optim.CosineAnnealingLR(sgd(), None), TypeError, "T_max must be an integer, got None"),  # type: ignore[arg-type]
    (lambda: optim.StepLR(sgd(), 1).go_to(-1), ValueError, "epoch must be at least 0, got -1"),
    (lambda: optim.StepLR(0.1, 1), TypeError, "optimizer must be a fastconv.optim.optimizer.Optimizer, got 0.1"),  # type: ignore[arg-type]
    (lambda: data.Dataset([1, 2], LABELS), TypeError, r"x must be an array .*, got \[1, 2\]"),  # type: ignore[arg-type]
    (lambda: data.split((OUT, LABELS), (0.5,)), TypeError, "dataset must be a fastconv.data.dataset.Dataset, got"),  # type: ignore[arg-type]
    (lambda: data.split(SET, 0.5), TypeError, "parts must be an iterable of shares or sizes, got 0.5"),  # type: ignore[arg-type]
    (lambda: data.split(SET, "ab"), TypeError, "parts must be a number, got 'a'"),  # type: ignore[arg-type]
    (lambda: data.split(SET, (0.5,), seed=-1), ValueError, "seed must be .*, got -1"),
    (lambda: train.predict(None, OUT), TypeError, "model must be a .*Module, got None"),  # type: ignore[arg-type]
    (lambda: train.predict(model(), None), TypeError, "x must be an array .*, got None"),  # type: ignore[arg-type]
    (lambda: train.evaluate(model(), SET, metrics=None), TypeError, "metrics must be an iterable .*, got None"),  # type: ignore[arg-type]
    (lambda: train.evaluate(model(), SET, loss=[]), ValueError, r"loss must be .*, got \[\]"),  # type: ignore[arg-type]
    (lambda: fit(3, SET), TypeError, "model must be a .*Module, got 3"),
    (lambda: fit(loss={}), ValueError, "loss must be .*, got {}"),
    (lambda: fit(optimizer=[1]), ValueError, r"optimizer must be .*, got \[1\]"),
    (lambda: fit(schedule=0.1), TypeError, "schedule must be a .*Schedule, got 0.1"),
    (lambda: fit(metrics=3), TypeError, "metrics must be an iterable of names or functions, got 3"),
    (lambda: fit(metrics=[["accuracy"]]), ValueError, r"metrics must be .*, got \['accuracy'\]"),
    (lambda: fit(penalties=nn.L2(0.1)), TypeError, "penalties must be an iterable of Penalty, got"),
    (lambda: fit(penalties=[0.1]), TypeError, r"penalties\[0\] must be a .*Penalty, got 0.1"),
    (lambda: fit(callbacks=[print]), TypeError, r"callbacks\[0\] must be a .*Callback, got <built-in"),
    (lambda: fit(augment=3), TypeError, "augment must be a function .*, got 3"),
    (lambda: fit(clip_norm="1"), TypeError, "clip_norm must be a number, got '1'"),
    (lambda: fit(seed=None), TypeError, "seed must be an integer, got None"),
    (lambda: fit(batch_size=np.timedelta64(1)), ValueError, "batch_size must be at least 1, got"),
    (lambda: ndimage.uniform_filter(OUT, axes=1.5), TypeError, "axes must be .*, got 1.5"),
    (lambda: signal.convolve(OUT, OUT, axes=1.5), TypeError, "axes must be .*, got 1.5"),  # type: ignore[arg-type]
    (lambda: analysis.conv_cost(np.array(2), (1, 1, 1)), TypeError, r"input_shape must be .*, got array\(2\)"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES, ids=[row[2][:40] for row in MISTAKES])
def test_mistakes(call: Call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_numpy_s_sizes_are_sizes() -> None:
    """Layers made with arrays and numpy's numbers compare, print and count as those made with Python's."""
    two, sizes = np.int64(2), np.array([2, 2])
    for layer, like in (
        (nn.MaxPool2d(sizes, two), nn.MaxPool2d([2, 2], 2)),
        (nn.MaxPool2d(two), nn.MaxPool2d(2)),
        (nn.AvgPool2d(two, sizes), nn.AvgPool2d(2, [2, 2])),
        (nn.Conv2d(1, 2, sizes, sizes, padding=np.array([1, 1])), nn.Conv2d(1, 2, 2, [2, 2], padding=[1, 1])),
        (nn.Conv2d(1, 2, two, two), nn.Conv2d(1, 2, 2, 2)),
    ):
        assert repr(layer) == repr(like)
        x = np.ones((1, 1, 4, 4), np.float32)
        assert layer(x).shape == like(x).shape
        assert str(nn.summary(nn.Sequential(layer), (1, 4, 4))) == str(nn.summary(nn.Sequential(like), (1, 4, 4)))
    assert nn.MaxPool2d(two).keeps_indices is nn.MaxPool2d(2).keeps_indices


def test_one_metric() -> None:
    assert train.evaluate(model(), SET, metrics="accuracy").keys() == {"loss", "accuracy"}  # no sequence of letters
    assert train.evaluate(model(), SET, metrics=train.metrics.f1).keys() == {"loss", "f1"}
    with pytest.raises(ValueError, match="metrics must be .*, got 'accurate'"):
        train.evaluate(model(), SET, metrics="accurate")


def test_labels_in_a_list() -> None:
    np.testing.assert_array_equal(nn.one_hot([1, 0], 2), [[0, 1], [1, 0]])  # type: ignore[arg-type]


def test_weights_of_nothing_stay() -> None:
    assert nn.init.he_(np.empty((0, 3))).shape == (0, 3)
