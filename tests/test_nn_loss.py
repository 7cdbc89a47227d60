"""Losses: values by hand, gradients by differences, and the identities the lectures state."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import nn

RNG = np.random.default_rng(3)
P, Q = np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.6, 0.3])
LOGITS = RNG.standard_normal((5, 3))
DISTRIBUTIONS = RNG.dirichlet(np.ones(3), 5)

LOSSES = {
    "cross_entropy": (nn.CrossEntropyLoss(), LOGITS, np.array([0, 2, 1, 1, 0])),
    "cross_entropy-smoothed": (nn.CrossEntropyLoss(0.1), LOGITS, np.array([0, 2, 1, 1, 0])),
    "cross_entropy-distributions": (nn.CrossEntropyLoss(), LOGITS, DISTRIBUTIONS),
    "cross_entropy-not-normalised": (nn.CrossEntropyLoss(), LOGITS, 2 * DISTRIBUTIONS),
    "bce": (nn.BCEWithLogitsLoss(), LOGITS, RNG.random((5, 3))),
    "kl": (nn.KLDivLoss(), LOGITS, DISTRIBUTIONS),
    "mse": (nn.MSELoss(), LOGITS, RNG.random((5, 3))),
    "mse-half": (nn.MSELoss(half=True), LOGITS, RNG.random((5, 3))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_backward_is_the_derivative(name: str) -> None:
    assert nn.gradcheck(*LOSSES[name])


def test_entropy_cross_entropy_divergence() -> None:
    np.testing.assert_allclose(
        [nn.entropy(P), nn.cross_entropy(P, Q), nn.kl_divergence(P, Q)], [1.02965, 1.21575, 0.18610], atol=5e-6
    )
    assert nn.entropy([0, 1]) == 0
    for p, q in zip(DISTRIBUTIONS, RNG.dirichlet(np.ones(3), 5), strict=True):
        assert nn.cross_entropy(p, q) >= nn.entropy(p)


def test_losses_agree_with_the_definitions() -> None:
    log_q = np.log(Q)[None]
    np.testing.assert_allclose(nn.CrossEntropyLoss()(log_q, P[None]), nn.cross_entropy(P, Q))
    np.testing.assert_allclose(nn.KLDivLoss()(log_q, P[None]), nn.kl_divergence(P, Q))
    np.testing.assert_allclose(nn.MSELoss()(P[None], Q[None]), ((P - Q) ** 2).mean())
    np.testing.assert_allclose(nn.MSELoss(half=True)(P[None], Q[None]), ((P - Q) ** 2).mean() / 2)
    y = np.array([[0.0, 1.0, 1.0]])
    g = 1 / (1 + np.exp(-LOGITS[:1]))
    np.testing.assert_allclose(nn.BCEWithLogitsLoss()(LOGITS[:1], y), -(y * np.log(g) + (1 - y) * np.log(1 - g)).mean())


def test_labels_and_one_hot_are_the_same_target() -> None:
    loss, labels = nn.CrossEntropyLoss(0.2), np.array([0, 2, 1, 1, 0])
    by_label = loss(LOGITS, labels), loss.backward()
    by_vector = loss(LOGITS, nn.one_hot(labels, 3, np.float64)), loss.backward()
    np.testing.assert_allclose(by_label[0], by_vector[0])
    np.testing.assert_allclose(by_label[1], by_vector[1], atol=1e-15)


def test_extreme_logits_do_not_overflow() -> None:
    x = np.float32([[1000, -1000]])
    assert nn.CrossEntropyLoss()(x, np.array([0])) == 0
    assert nn.CrossEntropyLoss()(x, np.array([1])) == 2000
    assert nn.BCEWithLogitsLoss()(x, np.float32([[1, 0]])) == 0
    assert nn.BCEWithLogitsLoss()(x, np.float32([[0, 1]])) == 1000


def test_a_class_that_is_ruled_out() -> None:
    x = np.array([[0.0, -np.inf, 0.0], [-np.inf, 2.0, -np.inf]])
    loss = nn.CrossEntropyLoss()
    np.testing.assert_allclose(loss(x, np.array([2, 1])), np.log(2) / 2)
    np.testing.assert_allclose(loss.backward(), [[0.25, 0, -0.25], [0, 0, 0]])
    assert loss(x, np.array([1, 1])) == np.inf


@pytest.mark.parametrize("sign", [-1, 1])
def test_binary_loss_of_the_nearly_certain(sign: int) -> None:
    x = np.float32([[20 * sign]])
    y = np.float32([[sign > 0]])
    np.testing.assert_allclose(nn.BCEWithLogitsLoss()(x, y), np.exp(-20), rtol=1e-6)
    assert nn.BCEWithLogitsLoss()(sign * np.float32([[np.inf]]), np.float32([[0.5]])) == np.inf


def test_minimiser_of_the_cross_entropy_is_the_maximum_likelihood_estimate() -> None:
    """One logit vector for all samples: gradient descent must end at the class frequencies."""
    labels = np.repeat([0, 1, 2], [5, 2, 3])
    theta, loss = np.zeros((1, 3)), nn.CrossEntropyLoss()
    for _ in range(2000):
        loss(np.repeat(theta, 10, axis=0), labels)
        theta -= loss.backward().sum(axis=0)
    np.testing.assert_allclose(nn.softmax(theta)[0], [0.5, 0.2, 0.3], atol=1e-6)


def test_gradient_of_the_log_loss_has_the_sign_that_descends() -> None:
    """(1/m) sum (g - y) x, and not (y - g): the slides lose a minus."""
    x, y, w = RNG.standard_normal((20, 3)), RNG.integers(0, 2, (20, 1)).astype(float), RNG.standard_normal((1, 3))
    layer, loss = nn.Linear(3, 1, bias=False).to(np.float64), nn.BCEWithLogitsLoss()
    layer.weight.data[...] = w
    loss(layer(x), y)
    layer.backward(loss.backward())
    g = nn.sigmoid(x @ w.T)
    np.testing.assert_allclose(layer.weight.grad, ((g - y) * x).mean(axis=0, keepdims=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_of_the_nearly_certain(dtype: type) -> None:
    """Exact relative to itself at the end that goes to 0, too."""
    x = np.array([-80, -20, -1, 0, 1, 20, 1000, -1000, np.inf, -np.inf], dtype)
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-x.astype(np.longdouble)))
    got = nn.sigmoid(x)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected.astype(dtype), rtol=4 * np.finfo(dtype).eps)
    assert np.isnan(nn.sigmoid(np.array([np.nan], dtype)))


def test_sigmoid_derivative() -> None:
    z = np.linspace(-6, 6, 25)
    layer = nn.Sigmoid()
    g = layer(z)
    np.testing.assert_allclose(layer.backward(np.ones_like(z)), g * (1 - g), rtol=1e-14)
    np.testing.assert_allclose(g, 1 / (1 + np.exp(-z)), rtol=1e-13)
    assert np.isfinite(nn.sigmoid(np.array([-1e4, 1e4]))).all()


def test_softmax_goes_to_argmax_as_the_temperature_falls() -> None:
    x = np.array([[1, 2, 3, 2.5]])
    largest = [nn.Softmax(temperature=t)(x).max() for t in (1, 0.5, 0.1, 0.01)]
    np.testing.assert_allclose(largest, [0.474, 0.657, 0.993, 1], atol=5e-4)
    np.testing.assert_allclose(nn.Softmax(temperature=0.01)(x), [[0, 0, 1, 0]], atol=1e-15)
    tie = nn.Softmax(temperature=0.01)(np.array([[1.0, 3, 3]]))
    np.testing.assert_allclose(tie, [[0, 0.5, 0.5]], atol=1e-15)


def test_dropout_is_ridge_for_linear_regression() -> None:
    """E over masks |y - (R*X) w|^2 = |y - q X w|^2 + q (1 - q) |Gamma w|^2, Gamma^2 = diag(X^T X), q = 1 - p_drop.

    The layer draws until all 2^6 masks have come, and each counts with its probability.
    """
    rng = np.random.default_rng(0)
    x, w, y = rng.standard_normal((2, 3)), rng.standard_normal(3), rng.standard_normal(2)
    keep = 0.75
    layer = nn.Dropout(1 - keep, rng=np.random.default_rng(1))
    expected = 0.0
    seen: dict[tuple[bool, ...], np.ndarray] = {}
    while len(seen) < 2**x.size:
        dropped = keep * layer(x)  # the layer divides by the probability of keeping, the theorem does not
        seen[tuple((dropped != 0).ravel())] = dropped
    for bits, dropped in seen.items():
        expected += keep ** sum(bits) * (1 - keep) ** (x.size - sum(bits)) * ((y - dropped @ w) ** 2).sum()
    ridge = ((y - keep * x @ w) ** 2).sum() + keep * (1 - keep) * (np.diag(x.T @ x) * w**2).sum()
    np.testing.assert_allclose(expected, ridge, rtol=1e-13)


def test_penalties() -> None:
    layer = nn.Linear(2, 1)
    layer.weight.data[...] = [[3, -4]]
    layer.bias.data[...] = 9
    for parameter in layer.parameters():
        parameter.grad[...] = 1
    assert nn.L2(0.5)(layer.parameters()) == 12.5
    np.testing.assert_array_equal(layer.weight.grad, [[4, -3]])
    assert nn.L1(0.5)(layer.parameters()) == 3.5
    np.testing.assert_array_equal(layer.weight.grad, [[4.5, -3.5]])
    assert layer.bias.grad == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.CrossEntropyLoss()(LOGITS, np.array([0, 1, 3, 0, 0])), ValueError, r"label 3 \(sample 2\)"),
        (lambda: nn.CrossEntropyLoss()(LOGITS, np.array([0, 1, -1, 0, 0])), ValueError, r"label -1 \(sample 2\)"),
        (lambda: nn.CrossEntropyLoss()(LOGITS, np.array([0, 1])), ValueError, "2 labels for 5 outputs"),
        (lambda: nn.CrossEntropyLoss()(LOGITS, np.zeros(5)), TypeError, "must be a vector of integers"),
        (lambda: nn.CrossEntropyLoss()(LOGITS, np.zeros((5, 2))), ValueError, "output's shape"),
        (lambda: nn.CrossEntropyLoss()(LOGITS[0], np.array(0)), ValueError, "output must be"),
        (lambda: nn.CrossEntropyLoss(2), ValueError, "label_smoothing"),
        (lambda: nn.BCEWithLogitsLoss()(LOGITS, LOGITS), ValueError, "target must be in"),
        (lambda: nn.KLDivLoss()(LOGITS, LOGITS), ValueError, "probabilities"),
        (lambda: nn.MSELoss()(LOGITS, LOGITS[0]), ValueError, "output's shape"),
        (lambda: nn.L2(-1), ValueError, "strength"),
        (lambda: nn.MSELoss().backward(), RuntimeError, "call the loss first"),
    ],
)
def test_wrong_arguments(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_one_hot() -> None:
    np.testing.assert_array_equal(nn.one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
