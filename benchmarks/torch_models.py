"""Whole networks in PyTorch, as they are and after ``fastconv.torch.accelerate``: inference and a training step.

    python benchmarks/torch_models.py [--networks resnet18 vgg11] [--batches 1 16] [--threads 1] [--layers]

Random weights, float32. The same network, with the same parameters, runs in turn as PyTorch's own, as PyTorch's in the
channels_last format, and as fastconv's; the table shows the median of each. `faster` is against the better one of
PyTorch's two. A training step is forward, cross-entropy and backward. `error` is the largest difference of the outputs
from the same network in float64 over the largest output, fastconv's and PyTorch's. `gradients` is the largest
difference of fastconv's gradients of the parameters from PyTorch's over the largest of them, both in float64: in
float32 a rounding may decide which side of a ReLU or which element of a maximum is taken. --layers prints the time of
every kind of layer by itself, fastconv's greatest losses first.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import fastconv.torch as ft

Step = Callable[[], object]


class Block(nn.Module):
    """Two 3x3 convolutions and a way round them."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        result: Tensor = self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))
        return result


def with_head(layers: list[nn.Module], channels: int, classes: int) -> nn.Module:
    """Pooling and a dense layer behind; weights of a size that keeps the signal's from layer to layer."""
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model


def resnet(width: int = 64, blocks: Sequence[int] = (2, 2, 2, 2), classes: int = 1000) -> nn.Module:
    """He et al., 2015, with two convolutions a block; ResNet-18 by default."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    channels = width
    for stage, count in enumerate(blocks):
        out = width << stage
        for i in range(count):
            layers.append(Block(channels, out, 2 if stage and not i else 1))
            channels = out
    return with_head(layers, channels, classes)


def vgg(width: int = 64, convolutions: Sequence[int] = (1, 1, 2, 2, 2), classes: int = 1000) -> nn.Module:
    """Simonyan and Zisserman, 2014, with one dense layer; the convolutions of VGG-11 by default."""
    layers: list[nn.Module] = []
    channels = 3
    for stage, count in enumerate(convolutions):
        out = width << min(stage, 3)
        for _ in range(count):
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
            channels = out
        layers.append(nn.MaxPool2d(2))
    return with_head(layers, channels, classes)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {"resnet18": (resnet, 224), "vgg11": (vgg, 112)}


def inference(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    def step() -> Tensor:
        with torch.inference_mode():
            result: Tensor = model(x)
            return result

    return step


def training(model: nn.Module, x: Tensor) -> Callable[[], list[Tensor]]:
    """Forward, loss, backward; returns the gradients of the parameters."""
    labels = torch.arange(len(x)) % 10

    def step() -> list[Tensor]:
        model.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    return step


def interleaved(steps: dict[str, Step], seconds: float) -> dict[str, float]:
    """Median time of each step; they take turns, each at least three times."""
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 3:
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def difference(got: Any, exact: Any) -> float:
    """Largest difference over the largest value, the worst of several tensors."""
    pairs = zip(got, exact, strict=True) if isinstance(got, list) else [(got, exact)]
    return max(float((g.double() - e).abs().max() / e.abs().max()) for g, e in pairs)


def variants(
    model: nn.Module, x: Tensor, pack: bool = False, fuse: bool = False
) -> dict[str, tuple[nn.Module, Tensor]]:
    """The model and its input as PyTorch's own, in PyTorch's other format, and with fastconv."""
    channels_last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    return {
        "torch": (model, x),
        "channels_last": (channels_last, x.contiguous(memory_format=torch.channels_last)),
        "fastconv": (ft.accelerate(copy.deepcopy(model), pack_weights=pack, fuse=fuse), x.clone()),
    }


def compare(
    build: Callable[[], nn.Module], size: int, batch: int, train: bool, seconds: float, pack: bool, fuse: bool
) -> dict[str, Any]:
    torch.manual_seed(0)
    model = build().train(train)
    x = torch.randn(batch, 3, size, size)
    make: Any = training if train else inference
    steps = {name: make(*variant) for name, variant in variants(model, x, pack, fuse).items()}
    return {"times": interleaved(steps, seconds), "errors": errors(model, x[:2], fuse)}


def errors(model: nn.Module, x: Tensor, fuse: bool) -> list[float]:
    """Of the outputs, fastconv's and PyTorch's, from float64; of the gradients, fastconv's from PyTorch's."""
    exact = copy.deepcopy(model).double()
    ours = ft.accelerate(copy.deepcopy(exact))
    gradients = difference(training(ours, x.double())(), training(exact, x.double())())
    outputs = inference(exact, x.double())()
    both = ft.accelerate(copy.deepcopy(model), fuse=fuse), copy.deepcopy(model)
    return [*(difference(inference(one, x)(), outputs) for one in both), gradients]


def seen_layers(model: nn.Module, x: Tensor) -> Counter[tuple[str, tuple[int, ...]]]:
    """How often each kind of accelerated layer occurs, with the shape it sees."""
    seen: Counter[tuple[str, tuple[int, ...]]] = Counter()
    accelerated = ft.accelerate(model, inplace=False)
    for module, ours in zip(model.modules(), accelerated.modules(), strict=True):
        if type(module) is not type(ours):
            module.register_forward_hook(
                lambda module, inputs, _: seen.update([(repr(module), tuple(inputs[0].shape))])
            )
    inference(model.eval(), x)()
    return seen


def time_layer(text: str, shape: tuple[int, ...], train: bool, seconds: float) -> dict[str, float]:
    module: nn.Module = eval(text, vars(nn))
    module.train(train)
    x = torch.randn(shape)

    def step(module: nn.Module, x: Tensor) -> Step:
        if not train:
            return inference(module, x)
        x.requires_grad_()
        upper = torch.randn_like(module(x))
        return lambda: module(x).backward(upper)

    return interleaved({name: step(*variant) for name, variant in variants(module, x).items()}, seconds)


def print_layers(build: Callable[[], nn.Module], size: int, batch: int, train: bool, seconds: float) -> None:
    rows = []
    for (text, shape), count in seen_layers(build(), torch.randn(batch, 3, size, size)).items():
        times = time_layer(text, shape, train, seconds)
        best = min(times["torch"], times["channels_last"])
        numbers = " | ".join(f"{1e3 * t:.3f}" for t in times.values())
        row = f"| {text} | {','.join(map(str, shape))} | {count} | {numbers} | {best / times['fastconv']:.2f} |"
        rows.append((count * (best - times["fastconv"]), row))
    print("\n| layer | input | times | torch ms | channels_last ms | fastconv ms | faster |")
    print("| --- | --- |" + " ---: |" * 5)
    print(*(row for _, row in sorted(rows)), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--modes", nargs="+", choices=("inference", "training"), default=["inference", "training"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--seconds", type=float, default=4.0, help="for one row of the table")
    parser.add_argument("--pack-weights", action="store_true", help="as accelerate's argument")
    parser.add_argument("--fuse", action="store_true", help="as accelerate's argument")
    parser.add_argument("--layers", action="store_true", help="each layer by itself")
    options = parser.parse_args()
    if not options.layers:
        head = ("network", "batch", "mode", "threads", "torch ms", "channels_last ms", "fastconv ms", "faster")
        print("| " + " | ".join((*head, "error", "torch's", "gradients")) + " |")
        print("| --- | ---: | --- |" + " ---: |" * 8)
    for threads in options.threads:
        torch.set_num_threads(threads)
        for name in options.networks:
            build, size = NETWORKS[name]
            for batch in options.batches:
                for mode in options.modes:
                    if options.layers:
                        print(f"\n{name}, {size}x{size}, batch {batch}, {mode}, {threads} threads")
                        print_layers(build, size, batch, mode == "training", options.seconds / 10)
                        continue
                    how = options.seconds, options.pack_weights, options.fuse
                    result = compare(build, size, batch, mode == "training", *how)
                    ms = {key: 1e3 * t for key, t in result["times"].items()}
                    faster = min(ms["torch"], ms["channels_last"]) / ms["fastconv"]
                    numbers = " | ".join(f"{t:.1f}" for t in ms.values())
                    errors = " | ".join(f"{e:.1e}" for e in result["errors"])
                    print(
                        f"| {name} | {batch} | {mode} | {threads} | {numbers} | {faster:.2f} | {errors} |", flush=True
                    )


if __name__ == "__main__":
    main()
