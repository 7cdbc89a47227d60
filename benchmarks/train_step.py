"""Images per second of a whole training step, and of inference, side by side with PyTorch eager.

    python benchmarks/train_step.py [--networks lenet5 small-cnn mlp] [--batches 64 128] [--threads 1 2] [--seconds 2]

Each library runs in a process of its own, fastconv and torch in turn, several rounds of each; the table shows the best
round of each (the machine may be shared) and their ratio. The step is forward, cross-entropy, backward, SGD with
momentum on a batch that is already in memory. 28x28 grey images, 10 classes.

MB is the most memory the process held while it made the model and trained, less what it held before: weights,
gradients, the optimiser's state, what forward keeps for backward, and scratch. Before that point each library has
trained on a tiny batch, so that its code is loaded (Linux: VmHWM after a reset).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NETWORKS = ("lenet5", "small-cnn", "mlp")
Step = Callable[[], object]


class Memory:
    """Growth of the process's peak resident memory since this was made."""

    def __init__(self) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is held now
        self.start = self._megabytes("VmRSS")

    def growth(self) -> float:
        return self._megabytes("VmHWM") - self.start

    @staticmethod
    def _megabytes(field: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def fastconv_steps(network: str, x: np.ndarray, y: np.ndarray, threads: int) -> tuple[Step, Step]:
    import fastconv as fc

    fc.set_num_threads(threads)
    model = fc.nn.models.build(network, x.shape[1:], 10, seed=0)
    loss, optimizer = fc.nn.CrossEntropyLoss(), fc.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def train() -> None:
        loss(model.forward(x), y)
        model.backward(loss.backward(), need_input_grad=False)
        optimizer.step()

    def infer() -> None:
        model.forward(x)

    return lambda: (model.train(), train)[1], lambda: (model.eval(), infer)[1]


def torch_steps(network: str, x: np.ndarray, y: np.ndarray, threads: int) -> tuple[Step, Step]:
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    networks: dict[str, Callable[[], list[Any]]] = {
        "lenet5": lambda: [
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        ],
        "small-cnn": lambda: [
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
        ],
        "mlp": lambda: [
            nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10),
        ],
    }  # fmt: skip
    model = nn.Sequential(*networks[network]())
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)

    def train() -> None:
        optimizer.zero_grad()
        loss(model(tx), ty).backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode():
            model(tx)

    return lambda: (model.train(), train)[1], lambda: (model.eval(), infer)[1]


LIBRARIES = {"fastconv": fastconv_steps, "torch": torch_steps}


def rate(step: Step, images: int, seconds: float) -> float:
    """Images per second: batches as fast as they go for ``seconds``, by the median time of a batch."""
    for _ in range(3):
        step()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return images / float(np.median(times))


def measure(library: str, network: str, batch: int, threads: int, seconds: float) -> dict[str, float]:
    """What a child process prints."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, 1, 28, 28)).astype(np.float32)
    y = rng.integers(0, 10, batch)
    LIBRARIES[library](network, x[:2], y[:2], threads)[0]()()
    memory = Memory()
    train, infer = LIBRARIES[library](network, x, y, threads)
    result = {"train": rate(train(), batch, seconds)}
    result["megabytes"] = memory.growth()
    result["inference"] = rate(infer(), batch, seconds / 2)
    return result


def in_child(library: str, network: str, batch: int, threads: int, seconds: float) -> dict[str, float]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    arguments = ["--child", library, network, str(batch), str(threads), str(seconds)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    result = {name: max(run[name] for run in runs) for name in ("train", "inference")}
    return {**result, "megabytes": min(run["megabytes"] for run in runs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="file to write the figures to")
    options = parser.parse_args()

    titles = ("train: fastconv", "torch", "ratio", "inference: fastconv", "torch", "ratio", "MB: fastconv", "torch")
    print(f"{'images/s':22}" + "".join(f"{title:>{max(9, len(title) + 2)}}" for title in titles))
    rows = []
    for network in options.networks:
        for batch in options.batches:
            for threads in options.threads:
                runs: dict[str, list[dict[str, float]]] = {library: [] for library in LIBRARIES}
                for _ in range(options.rounds):
                    for library, found in runs.items():
                        found.append(in_child(library, network, batch, threads, options.seconds))
                ours, theirs = best(runs["fastconv"]), best(runs["torch"])
                cells = []
                for kind in ("train", "inference"):
                    ratio = f"{ours[kind] / theirs[kind]:.2f}x"
                    cells += [f"{ours[kind]:,.0f}", f"{theirs[kind]:,.0f}", ratio]
                cells += [f"{ours['megabytes']:.0f}", f"{theirs['megabytes']:.0f}"]
                name = f"{network} {batch} x{threads}"
                line = "".join(f"{c:>{max(9, len(t) + 2)}}" for c, t in zip(cells, titles, strict=True))
                print(f"{name:22}{line}", flush=True)
                rows.append({"network": network, "batch": batch, "threads": threads, "fastconv": ours, "torch": theirs})
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        library, network, batch, threads, seconds = sys.argv[2:]
        print(json.dumps(measure(library, network, int(batch), int(threads), float(seconds))))
    else:
        main()
