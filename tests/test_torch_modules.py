"""Modules that take the place of PyTorch's own, and whole networks with and without them."""

from __future__ import annotations

import copy
import importlib.util
import io
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
ft: Any = pytest.importorskip("fastconv.torch")
nn: Any = torch.nn

from fastconv.torch import packing  # noqa: E402

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "torch_models.py"


@pytest.fixture(scope="module")
def models() -> Any:
    """The networks of the benchmark."""
    spec = importlib.util.spec_from_file_location("torch_models", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(0)
    yield


def data(*shape: int, dtype: Any = torch.float64) -> Any:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


MODULES: dict[str, tuple[str, dict[str, Any]]] = {
    "conv": ("Conv{}d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1}),
    "conv reflect": (
        "Conv{}d",
        {
            "in_channels": 4,
            "out_channels": 6,
            "kernel_size": 3,
            "padding": "same",
            "padding_mode": "reflect",
            "bias": False,
        },
    ),
    "conv groups": ("Conv{}d", {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "groups": 4, "dilation": 2}),
    "transposed": (
        "ConvTranspose{}d",
        {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
    ),
    "max": ("MaxPool{}d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    "max indices": ("MaxPool{}d", {"kernel_size": 2, "return_indices": True}),
    "avg": ("AvgPool{}d", {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    "lp": ("LPPool{}d", {"norm_type": 2, "kernel_size": 2}),
    "odd lp": ("LPPool{}d", {"norm_type": 3, "kernel_size": 2}),
    "adaptive avg": ("AdaptiveAvgPool{}d", {"output_size": 3}),
    "adaptive max": ("AdaptiveMaxPool{}d", {"output_size": 3, "return_indices": True}),
}


def outputs(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def run(module: Any, x: Any) -> list[Any]:
    """The results of a module and the gradients of its input and parameters."""
    x = x.clone().requires_grad_()
    module.zero_grad()
    first, *others = outputs(module(x))
    (first * data(*first.shape, dtype=first.dtype)).sum().backward()
    return [first, *others, x.grad, *(p.grad for p in module.parameters())]


@pytest.mark.parametrize("name, options", MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("nd", [1, 2, 3])
def test_module(nd: int, name: str, options: dict[str, Any]) -> None:
    name = name.format(nd)
    theirs, ours = getattr(nn, name)(**options).double(), getattr(ft, name)(**options).double()
    assert isinstance(ours, getattr(nn, name)) and repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    x = data(2, 4, *(9, 8, 7)[:nd])
    for one, other in zip(run(ours, x), run(theirs, x), strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)  # roots of negative numbers in odd norms
    theirs.eval()
    ft.accelerate(ours.eval(), pack_weights=True)
    for inputs in (x, x[0]):
        with torch.no_grad():
            for one, other in zip(outputs(ours(inputs)), outputs(theirs(inputs)), strict=True):
                torch.testing.assert_close(one, other, equal_nan=True)


def test_transposed_output_size() -> None:
    theirs = nn.ConvTranspose2d(2, 3, 3, stride=2)
    ours = ft.accelerate(theirs, inplace=False)
    x = data(1, 2, 4, 5, dtype=torch.float32)
    torch.testing.assert_close(ours(x, output_size=(10, 11)), theirs(x, output_size=(10, 11)))
    with pytest.raises(ValueError, match="requested an output size"):
        ours(x, output_size=(20, 11))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_what_fastconv_does_not_compute_is_left_to_torch(dtype: Any) -> None:
    theirs = nn.Conv2d(3, 4, 3).to(dtype)
    ours, x = ft.accelerate(theirs, inplace=False), torch.ones(1, 3, 6, 6, dtype=dtype)
    torch.testing.assert_close(ours(x), theirs(x))
    integers = torch.arange(16).reshape(1, 1, 4, 4)
    torch.testing.assert_close(ft.MaxPool2d(2)(integers), nn.MaxPool2d(2)(integers))


def test_autocast() -> None:
    theirs = nn.Conv2d(3, 4, 3)
    ours, x = ft.accelerate(theirs, inplace=False), data(1, 3, 6, 6, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == theirs(x).dtype == torch.bfloat16


# Packed weights


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The weights that were packed, in order."""
    calls: list[Any] = []
    pack = packing.PackedWeights._pack
    monkeypatch.setattr(
        packing.PackedWeights, "_pack", lambda self, weight, *rest: (calls.append(weight), pack(self, weight, *rest))[1]
    )
    return calls


def packing_conv() -> Any:
    return ft.accelerate(nn.Conv2d(3, 4, 3).eval(), pack_weights=True)


def agrees(conv: Any, x: Any) -> None:
    with torch.no_grad():
        expected = nn.functional.conv2d(x, conv.weight, conv.bias, conv.stride)
        torch.testing.assert_close(conv(x), expected)


def test_weights_are_packed_once_in_inference(packed: list[Any]) -> None:
    conv, x = packing_conv(), data(1, 3, 8, 8, dtype=torch.float32)
    for inputs in (x, x[:, :, :5], torch.cat([x, x])):
        agrees(conv, inputs)
    with torch.inference_mode():
        conv(x)
    assert len(packed) == 1
    conv(x)  # a gradient is wanted
    conv.train()
    agrees(conv, x)
    assert len(packed) == 1


def test_weights_are_packed_again_after_a_change(packed: list[Any]) -> None:
    conv, x = packing_conv(), data(1, 3, 8, 8, dtype=torch.float32)
    agrees(conv, x)

    def optimizer_step() -> None:
        conv(x).sum().backward()
        torch.optim.SGD(conv.parameters(), 0.1).step()

    def counted() -> None:
        with torch.no_grad():
            conv.weight.mul_(2)

    def replaced() -> None:
        conv.weight = nn.Parameter(conv.weight.detach() + 1)

    def uncounted() -> None:
        conv.weight.data.mul_(2)
        conv.eval()

    changes = [
        optimizer_step,
        counted,
        replaced,
        uncounted,
        lambda: conv.load_state_dict(ft.Conv2d(3, 4, 3).state_dict()),
        lambda: setattr(conv, "bias", None),
        lambda: setattr(conv, "stride", (2, 2)),
    ]
    for change in changes:
        change()
        agrees(conv, x)
        agrees(conv, x)
    assert len(packed) == 1 + len(changes)


def test_packing_is_asked_for(packed: list[Any]) -> None:
    conv = ft.accelerate(nn.Conv2d(3, 4, 3).eval())
    agrees(conv, data(1, 3, 8, 8, dtype=torch.float32))
    assert packed == []


def test_copies_and_pickles_do_not_hold_packed_weights() -> None:
    conv, x = packing_conv(), data(1, 3, 8, 8, dtype=torch.float32)
    agrees(conv, x)
    for other in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert other._packed._run is None
        agrees(other, x)
    saved = io.BytesIO()
    torch.save(conv, saved)
    saved.seek(0)
    agrees(torch.load(saved, weights_only=False), x)


# Networks


def test_accelerate_and_restore(models: Any) -> None:
    model = models.resnet(8, (1, 1)).eval()
    classes = [type(m) for m in model.modules()]
    before = {name: id(p) for name, p in model.named_parameters()}
    objects = [weakref.ref(m) for m in model.modules()]
    text, x = repr(model), data(2, 3, 32, 32, dtype=torch.float32)
    with torch.no_grad():
        expected = model(x)
        assert ft.accelerate(model) is model
        torch.testing.assert_close(model(x), expected)
    assert {name: id(p) for name, p in model.named_parameters()} == before
    assert [m() for m in objects] == list(model.modules())
    assert repr(model) == text
    ours = [type(m) for m in model.modules() if type(m).__module__.startswith("fastconv")]
    assert {c.__name__ for c in ours} == {"Conv2d", "MaxPool2d", "AdaptiveAvgPool2d"}
    assert ft.restore(model) is model
    assert [type(m) for m in model.modules()] == classes
    assert all(not {"_packed", "pack_weights"} & m.__dict__.keys() for m in model.modules())


def test_a_second_network_with_the_same_parameters() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    ours = ft.accelerate(model, inplace=False)
    assert type(model[0]) is nn.Conv2d and type(ours[0]) is ft.Conv2d
    assert ours[0].weight is model[0].weight
    assert ours[1].running_mean is model[1].running_mean
    assert ours.state_dict().keys() == model.state_dict().keys()


def test_hooks_stay() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2))
    seen: list[str] = []
    model[0].register_forward_hook(lambda *_: seen.append("forward"))
    model[0].weight.register_hook(lambda grad: seen.append("gradient"))
    model[1].register_full_backward_hook(lambda *_: seen.append("backward"))
    ft.accelerate(model)
    model(data(1, 3, 8, 8, dtype=torch.float32)).sum().backward()
    assert seen == ["forward", "backward", "gradient"]


def test_other_classes_are_left_alone() -> None:
    class Mine(nn.Conv2d):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return -super().forward(x)

    model = nn.Sequential(Mine(3, 4, 3), nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), nn.Linear(2, 2))
    classes = [type(m) for m in model.modules()]
    assert [type(m) for m in ft.accelerate(model).modules()] == classes


@pytest.mark.parametrize("name, size", [("resnet", 32), ("vgg", 32)])
def test_networks_agree(models: Any, name: str, size: int) -> None:
    """In float64, where no rounding decides which side of a ReLU is taken: outputs, gradients, steps of training."""
    theirs = getattr(models, name)(8, (1, 1, 1), classes=10).double()
    ours = ft.accelerate(copy.deepcopy(theirs))
    x = data(3, 3, size, size)
    for training in (True, False):
        theirs.train(training)
        ours.train(training)
        for one, other in zip(models.training(ours, x)(), models.training(theirs, x)(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(models.inference(ours, x)(), models.inference(theirs, x)(), rtol=1e-9, atol=1e-11)
    optimizers = [torch.optim.SGD(m.parameters(), 0.01, momentum=0.9) for m in (ours, theirs)]
    for _ in range(3):
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            models.training(model, x)()
            optimizer.step()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-8, atol=1e-10)


def test_networks_in_float32_keep_to_the_bound(models: Any) -> None:
    """One layer's rounding is bounded; a few layers of positive gain stay near it."""
    model = models.vgg(16, (1, 1, 2), classes=10).eval()
    x = data(2, 3, 32, 32, dtype=torch.float32)
    exact = models.inference(copy.deepcopy(model).double(), x.double())()
    assert models.difference(models.inference(ft.accelerate(model), x)(), exact) < 1e-5


def shifted(model: Any) -> Any:
    """The model with normalisations that do something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("name", ["resnet", "vgg"])
def test_fusing(models: Any, name: str, pack: bool) -> None:
    theirs = shifted(getattr(models, name)(4, (1, 1, 1), classes=5).double().eval())
    ours = ft.accelerate(copy.deepcopy(theirs), fuse=True, pack_weights=pack)
    fused = [m for m in ours.modules() if getattr(m, "behind", None)]
    assert len(fused) == sum(isinstance(m, nn.Conv2d) for m in ours.modules())
    called: list[str] = []
    hooks = [  # what is passed on is the very tensor
        module.register_forward_hook(lambda _, x, y: called.append("same" if x[0] is y else "normalised"))
        for module in ours.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    x = data(2, 3, 32, 32)

    def agree() -> None:
        torch.testing.assert_close(models.inference(ours, x)(), models.inference(theirs, x)(), rtol=1e-9, atol=1e-10)

    agree()
    assert set(called) == ({"same"} if name == "resnet" else set())
    called.clear()
    for one, other in zip(models.training(ours, x)(), models.training(theirs, x)(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)  # gradients are wanted: nothing is fused
    assert "same" not in called
    for model in (ours, theirs):
        model.train()
        models.training(model, x)()  # other statistics
        model.eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.25)
    agree()
    for hook in hooks:
        hook.remove()
    again = ft.restore(copy.deepcopy(ours))
    assert [type(m) for m in again.modules()] == [type(m) for m in theirs.modules()]
    assert not any("behind" in m.__dict__ for m in again.modules())
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    copied = copy.deepcopy(ours)
    torch.testing.assert_close(models.inference(copied, x)(), models.inference(theirs, x)(), rtol=1e-9, atol=1e-10)


def test_only_what_stands_alone_is_fused() -> None:
    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(2, 2, 3, padding=1) for _ in range(3))
            self.norm, self.shared = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            y = self.a(x)  # used twice
            z = self.norm(y) + y
            z = self.shared(self.b(z)) + self.shared(z)  # the normalisation is called twice
            z = self.relu(self.c(self.c(z)))  # the convolution is called twice
            z -= 1
            return self.relu(z)

    theirs = shifted(Net().eval())
    ours = ft.accelerate(copy.deepcopy(theirs), fuse=True)
    assert all(m.behind is None for m in (ours.a, ours.b, ours.c))
    x = data(1, 2, 6, 7, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    chain = nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU(inplace=True)).eval()
    expected = chain(x).detach()
    ft.accelerate(chain, fuse=True)
    chain = pickle.loads(pickle.dumps(chain))
    with torch.no_grad():
        y = chain(x)
        torch.testing.assert_close(y, expected)
        y -= 1
        assert (chain[1](y) >= 0).all()  # the note is gone with the first ReLU

    class Untraceable(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="torch.fx can trace"):
        ft.accelerate(Untraceable(), fuse=True)


def test_a_fused_network_compiles() -> None:
    model = shifted(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval())
    x = data(1, 3, 9, 9, dtype=torch.float32)
    with torch.no_grad():
        expected = model(x)
        compiled = torch.compile(ft.accelerate(model, fuse=True), backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), expected)


def test_a_compiled_network(models: Any) -> None:
    torch.compiler.reset()
    model = ft.accelerate(models.vgg(4, (1, 1), classes=3))
    compiled, x = torch.compile(model, backend="aot_eager", fullgraph=True), data(2, 3, 8, 8, dtype=torch.float32)
    torch.testing.assert_close(compiled(x), model(x))
    with torch.no_grad():
        model.eval()
        torch.testing.assert_close(compiled(x), model(x))


def test_the_benchmark(models: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = {"resnet18": (lambda: models.resnet(4, (1, 1), classes=10), 32)}
    monkeypatch.setattr(models, "NETWORKS", small)
    threads = torch.get_num_threads()
    for more in ([], ["--layers"]):
        monkeypatch.setattr(
            "sys.argv", ["torch_models.py", "--networks", "resnet18", "--batches", "2", "--seconds", "0", *more]
        )
        models.main()
    torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    assert "| resnet18 | 2 | training | 1 |" in printed
    assert "| Conv2d(3, 4, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False) | 2,3,32,32 | 1 |" in printed
