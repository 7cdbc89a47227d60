"""The benchmark of a training step runs, and its two sides are the same network."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fastconv as fc


@pytest.fixture(scope="module")
def benchmark_module() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "train_step.py"
    spec = importlib.util.spec_from_file_location("train_step", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("network", ["lenet5", "small-cnn", "mlp"])
def test_measures(benchmark_module: ModuleType, network: str) -> None:
    threads = fc.get_num_threads()
    try:
        found = benchmark_module.measure("fastconv", network, 2, 1, 0.01)
    finally:
        fc.set_num_threads(threads)
    assert found["train"] > 0 and found["inference"] > 0 and found["megabytes"] >= 0


def torch_twin(model: fc.nn.Sequential, torch: ModuleType) -> object:
    """The same layers in torch, without dropout, with the same weights."""
    layers = []
    for layer in model.layers:
        name = type(layer).__name__
        if name == "Conv2d":
            twin = torch.nn.Conv2d(layer.in_channels, layer.out_channels, 5, padding=layer.options["padding"])
        elif name == "Linear":
            twin = torch.nn.Linear(*layer.weight.data.shape[::-1])
        else:
            twin = {"ReLU": torch.nn.ReLU(), "MaxPool2d": torch.nn.MaxPool2d(2), "Flatten": torch.nn.Flatten()}[name]
        for parameter, ours in zip(twin.parameters(), layer.parameters(), strict=True):
            parameter.data = torch.from_numpy(ours.data.copy())
        layers.append(twin)
    return torch.nn.Sequential(*layers)


def test_ten_steps_of_lenet5_are_torch_steps() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    model = fc.nn.models.build("lenet5", (1, 28, 28), 10, seed=0).to(np.float64)
    twin = torch_twin(model, torch)
    loss, optimizer = fc.nn.CrossEntropyLoss(), fc.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    their_loss, theirs = torch.nn.CrossEntropyLoss(), torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, y = rng.standard_normal((8, 1, 28, 28)), rng.integers(0, 10, 8)
        value = loss(model(x), y)
        model.backward(loss.backward(), need_input_grad=False)
        optimizer.step()
        theirs.zero_grad()
        expected = their_loss(twin(torch.from_numpy(x)), torch.from_numpy(y))
        expected.backward()
        theirs.step()
        assert value == pytest.approx(expected.item(), rel=1e-9)
    for ours, parameter in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(ours.data, parameter.detach().numpy(), rtol=1e-8, atol=1e-11)
