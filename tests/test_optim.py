"""Optimisers take PyTorch's steps, schedules give PyTorch's rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import nn, optim

RNG = np.random.default_rng(5)
SHAPES = [(3, 5), (7,), (2, 1, 3, 3), (3, 6007)]  # the last is cut for the threads
GRADS = [[RNG.standard_normal(shape) for shape in SHAPES] for _ in range(5)]
START = [RNG.standard_normal(shape) for shape in SHAPES]


def parameters(dtype: type = np.float64) -> list[nn.Parameter]:
    return [nn.Parameter(array.astype(dtype)) for array in START]


def run(optimizer: optim.Optimizer, params: list[nn.Parameter]) -> list[np.ndarray]:
    for grads in GRADS:
        for parameter, grad in zip(params, grads, strict=True):
            parameter.grad[...] = grad
        optimizer.step()
    return [p.data for p in params]


def sgd(
    w: np.ndarray, grads: list[np.ndarray], lr: float, momentum: float = 0, decay: float = 0, nesterov: bool = False
):
    v = np.zeros_like(w)
    for g in grads:
        g = g + decay * w
        v = momentum * v + g
        w = w - lr * (g + momentum * v if nesterov else v)
    return w


def adam(w: np.ndarray, grads: list[np.ndarray], lr: float, b1: float, b2: float, decay: float, decoupled: bool):
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        if decoupled:
            w = w - lr * decay * w
        else:
            g = g + decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w = w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-8)
    return w


CASES: dict[str, tuple[Callable[..., optim.Optimizer], Callable[..., np.ndarray], str, dict[str, Any]]] = {
    "sgd": (lambda p: optim.SGD(p, 0.1), lambda w, g: sgd(w, g, 0.1), "SGD", {"lr": 0.1}),
    "momentum": (
        lambda p: optim.SGD(p, 0.1, 0.9), lambda w, g: sgd(w, g, 0.1, 0.9), "SGD", {"lr": 0.1, "momentum": 0.9}
    ),
    "nesterov": (
        lambda p: optim.SGD(p, 0.1, 0.9, 0.01, True),
        lambda w, g: sgd(w, g, 0.1, 0.9, 0.01, True),
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    ),
    "sgd-decay": (
        lambda p: optim.SGD(p, 0.1, weight_decay=0.2),
        lambda w, g: sgd(w, g, 0.1, 0, 0.2),
        "SGD",
        {"lr": 0.1, "weight_decay": 0.2},
    ),
    "adam": (
        lambda p: optim.Adam(p, 0.02, (0.8, 0.95), weight_decay=0.1),
        lambda w, g: adam(w, g, 0.02, 0.8, 0.95, 0.1, False),
        "Adam",
        {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1},
    ),
    "adam-defaults": (optim.Adam, lambda w, g: adam(w, g, 1e-3, 0.9, 0.999, 0, False), "Adam", {}),
    "adamw": (optim.AdamW, lambda w, g: adam(w, g, 1e-3, 0.9, 0.999, 0.01, True), "AdamW", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_steps(name: str) -> None:
    make, reference, _, _ = CASES[name]
    params = parameters()
    found = run(make(params), params)
    for i, array in enumerate(found):
        np.testing.assert_allclose(array, reference(START[i], [grads[i] for grads in GRADS]), rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_steps_are_torch_steps(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    make, _, torch_name, options = CASES[name]
    params = parameters()
    found = run(make(params), params)
    tensors = [torch.nn.Parameter(torch.from_numpy(array.copy())) for array in START]
    theirs = getattr(torch.optim, torch_name)(tensors, **options)
    for grads in GRADS:
        for tensor, grad in zip(tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(grad.copy())
        theirs.step()
    for mine, tensor in zip(found, tensors, strict=True):
        np.testing.assert_allclose(mine, tensor.detach().numpy(), rtol=1e-12)


def test_parameters_live_in_one_vector_and_keep_their_values() -> None:
    params = parameters(np.float32)
    params[1].grad[...] = 3
    optimizer = optim.SGD(params)
    for parameter, start in zip(params, START, strict=True):
        np.testing.assert_array_equal(parameter.data, start.astype(np.float32))
        assert parameter.data.base is optimizer.flat.data and parameter.grad.base is optimizer.flat.grad
        assert (parameter.data.ctypes.data - optimizer.flat.data.ctypes.data) % 64 == 0
    np.testing.assert_array_equal(params[1].grad, 3)


@pytest.mark.parametrize("move", ["to", "second", "assign"])
def test_a_moved_parameter_is_noticed(move: str) -> None:
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters())
    if move == "to":
        model.to(np.float64)
    elif move == "second":
        optim.Adam(model.parameters())
    else:
        model.weight.data = np.zeros((2, 2), np.float32)
    with pytest.raises(RuntimeError, match="was moved after this optimiser was made"):
        optimizer.step()


def test_state_round_trip_continues_with_the_same_bits() -> None:
    for make in (lambda p: optim.SGD(p, 0.1, 0.9), optim.Adam):
        params, again = parameters(), parameters()
        first, second = make(params), make(again)
        run(first, params)
        second.load_state_dict({name: array.copy() for name, array in first.state_dict().items()})
        for mine, p in zip(again, params, strict=True):
            mine.data[...] = p.data
        for a, b in zip(run(first, params), run(second, again), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="state does not fit SGD"):
        optim.SGD(parameters()).load_state_dict(first.state_dict())


def test_l1_makes_weights_exactly_zero() -> None:
    """Least squares where only two of twenty inputs matter: the proximal step finds them."""
    rng = np.random.default_rng(0)
    x, truth = rng.standard_normal((200, 20)).astype(np.float32), np.zeros((20, 1), np.float32)
    truth[[3, 11]] = [[2], [-1.5]]
    y = x @ truth + 0.1 * rng.standard_normal((200, 1)).astype(np.float32)
    zeros = {}
    for l1 in (0.0, 0.1):
        layer, loss = nn.Linear(20, 1, bias=False), nn.MSELoss(half=True)
        optimizer = optim.SGD(layer.parameters(), lr=0.1, l1=l1)
        for _ in range(300):
            loss(layer(x), y)
            layer.backward(loss.backward(), need_input_grad=False)
            optimizer.step()
        zeros[l1] = set(np.flatnonzero(layer.weight.data == 0).tolist())
        assert np.abs(layer.weight.data.T - truth).max() < 0.03 + l1 * 1.5
    assert zeros[0.0] == set() and zeros[0.1] == set(range(20)) - {3, 11}


def test_clip_grad_norm() -> None:
    params = parameters()
    for parameter, grad in zip(params, GRADS[0], strict=True):
        parameter.grad[...] = grad
    norm = math.sqrt(sum((grad**2).sum() for grad in GRADS[0]))
    assert optim.clip_grad_norm_(params, 1e9) == pytest.approx(norm)
    np.testing.assert_array_equal(params[0].grad, GRADS[0][0])
    assert optim.clip_grad_norm_(params, 1.0) == pytest.approx(norm)
    assert math.sqrt(sum((p.grad**2).sum() for p in params)) == pytest.approx(1)
    np.testing.assert_allclose(params[0].grad, GRADS[0][0] / norm)


def test_clip_grad_value() -> None:
    params = parameters()
    params[0].grad[...] = GRADS[0][0]
    optim.clip_grad_value_(params, 0.5)
    np.testing.assert_array_equal(params[0].grad, GRADS[0][0].clip(-0.5, 0.5))


def test_schedules() -> None:
    optimizer = optim.SGD(parameters(), lr=1.0)
    step = optim.StepLR(optimizer, 2, 0.5)
    rates = []
    for _ in range(5):
        rates.append(optimizer.lr)
        step.step()
    assert rates == [1, 1, 0.5, 0.5, 0.25]
    optimizer.lr = 1.0
    cosine = optim.CosineAnnealingLR(optimizer, 4, eta_min=0.2)
    rates = []
    for _ in range(6):
        rates.append(optimizer.lr)
        cosine.step()
    np.testing.assert_allclose(rates, [1, 0.6 + 0.4 * math.sqrt(0.5), 0.6, 0.6 - 0.4 * math.sqrt(0.5), 0.2, 0.2])
    cosine.go_to(2)
    assert optimizer.lr == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD([]), "must not be empty"),
        (lambda: optim.SGD(parameters()[:1] * 2), "same parameter twice"),
        (lambda: optim.SGD([*parameters(np.float32), *parameters()]), "one dtype"),
        (lambda: optim.SGD(parameters(), lr=-1), "lr must not be negative, got -1"),
        (lambda: optim.SGD(parameters(), lr="1"), "lr must not be negative, got '1'"),
        (lambda: optim.SGD(parameters(), momentum=1), "momentum must be in"),
        (lambda: optim.SGD(parameters(), nesterov=True), "nesterov needs"),
        (lambda: optim.Adam(parameters(), betas=(0.9, 1)), r"betas\[1\] must be in"),
        (lambda: optim.Adam(parameters(), betas=(0.9,)), r"betas must be two numbers, got \(0.9,\)"),
        (lambda: optim.AdamW(parameters(), betas=0.9), "betas must be two numbers, got 0.9"),
        (lambda: optim.StepLR(optim.SGD(parameters()), 0), "step_size"),
        (lambda: optim.CosineAnnealingLR(optim.SGD(parameters()), 0), "T_max"),
        (lambda: optim.clip_grad_norm_([], -1), "max_norm"),
    ],
)
def test_wrong_arguments(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "call",
    [
        lambda: optim.SGD(3),  # type: ignore[arg-type]
        lambda: optim.AdamW(3),  # type: ignore[arg-type]
        lambda: optim.clip_grad_norm_(3, 1.0),  # type: ignore[arg-type]
        lambda: optim.clip_grad_value_(3, 1.0),  # type: ignore[arg-type]
    ],
)
def test_parameters_that_cannot_be_gone_through(call: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"parameters must be an iterable of fastconv.nn.Parameter, got 3"):
        call()


def test_parameters_that_are_none() -> None:
    with pytest.raises(TypeError, match=r"parameters\[0\] must be a fastconv.nn.Parameter, got ndarray"):
        optim.Adam([np.ones(3)])  # type: ignore[list-item]
