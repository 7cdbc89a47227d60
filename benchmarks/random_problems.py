"""Convolutions and pools drawn at random, for benchmarks/peers.py --random: what no list of known layers holds.

python benchmarks/random_problems.py 300 --seed 1      # prints them, as lines of a shapes file
"""

from __future__ import annotations

import argparse
import math
from random import Random
from typing import TypeVar

from problems import Problem, parse

Choice = TypeVar("Choice", int, str)

FLOPS = (2e5, 1e9)  # at least some microseconds, at most some ten milliseconds
BYTES = 3e7
SIZES = {1: 20000, 2: 256, 3: 40}  # the longest axis, by the number of axes
KERNELS = {1: 4, 2: 2, 3: 8, 4: 3, 5: 4, 6: 1, 7: 3, 8: 1, 9: 1, 11: 1, 13: 0.7, 15: 0.7, 21: 0.5, 31: 0.5}  # share
STRIDES = {1: 7, 2: 3, 3: 0.5, 4: 0.7}
DILATIONS = {1: 9, 2: 1, 3: 0.3, 4: 0.3}
BATCHES = (1, 1, 1, 2, 4, 8, 16, 32)
AXES = {1: 2, 2: 7, 3: 1.5}
KINDS = {"dense": 5, "few-channels": 2, "depthwise": 2, "grouped": 1.5}
POOLS = 1 / 8  # of all problems
POOL_WINDOWS = {2: 6, 3: 8, 4: 2, 5: 3, 6: 1, 7: 1}
POOL_STRIDES = {1: 3, 2: 6, 3: 1, 4: 0.7, 0: 3}  # 0: windows side by side
POOL_FLOPS = (2e4, 1e8)  # one an element of a window


def draw(count: int, seed: int) -> list[str]:
    """``count`` lines of a shapes file, the same for the same seed; names are the seed and a number."""
    random, pools = Random(seed), Random(~seed)  # of their own: convolutions are what they are without pools
    lines: list[str] = []
    while len(lines) < count:
        name = f"r{seed}-{len(lines)}"
        line = _pool(pools, name) if pools.random() < POOLS else _line(random, name)
        if line and _is_fair(parse(line)):
            lines.append(line)
    return lines


def _is_fair(problem: Problem) -> bool:
    least, most = FLOPS if problem.op == "conv" else POOL_FLOPS
    return least < problem.flops < most and problem.bytes < BYTES


def _line(random: Random, name: str) -> str | None:
    """One layer, or None where the kernel does not fit the image."""
    nd, kind = _pick(random, AXES), _pick(random, KINDS)
    ic, oc, groups = _channels(random, kind)
    size, kernel = _size(random, nd), _window(random, nd, KERNELS)
    stride, dilation = _pick(random, STRIDES), _pick(random, DILATIONS)
    share = random.choices((0.5, 0, 1), (12, 5, 1))[0]  # of the kernel: same size, none, full
    padding = [int(share * dilation * (k - 1)) for k in kernel]
    if any(n + 2 * p < dilation * (k - 1) + 1 for n, p, k in zip(size, padding, kernel, strict=True)):
        return None
    words = [name, "depthwise" if kind == "grouped" else kind, str(random.choice(BATCHES)), str(ic)]
    words += [*map(str, size), "->", str(oc), "k" + "x".join(map(str, kernel)), "p" + "x".join(map(str, padding))]
    words += [f"s{stride}"] * (stride > 1) + [f"d{dilation}"] * (dilation > 1) + [f"g{groups}"] * (groups > 1)
    if random.random() < 0.08:
        words[1] = "float64"
        words.append("float64")
    return " ".join(words)


def _pool(random: Random, name: str) -> str | None:
    """One pool, or None where the window does not fit the image."""
    nd = _pick(random, AXES)
    size, kernel, stride = _size(random, nd), _window(random, nd, POOL_WINDOWS), _pick(random, POOL_STRIDES)
    padding = [k // 2 if random.random() < 0.1 else 0 for k in kernel]
    if random.random() < 0.5:
        padding = [k // 2 for k in kernel]
    if any(n + 2 * p < k for n, p, k in zip(size, padding, kernel, strict=True)):
        return None
    op = random.choices(("max_pool", "avg_pool", "global_avg_pool"), (5, 4, 1))[0]
    words = [name, "pool", str(random.choice(BATCHES)), str(_width(random, 1, 512)), *map(str, size), "->", op]
    if op != "global_avg_pool":
        words += ["k" + "x".join(map(str, kernel)), "p" + "x".join(map(str, padding))] + [f"s{stride}"] * (stride > 0)
    return " ".join(words)


def _size(random: Random, nd: int) -> list[int]:
    """Axes of an image, most of them alike."""
    size = [_log_uniform(random, 2, SIZES[nd]) for _ in range(nd)] if random.random() < 0.4 else []
    return size or [_log_uniform(random, 2, SIZES[nd])] * nd


def _window(random: Random, nd: int, shares: dict[int, float]) -> list[int]:
    """A kernel or window, with one axis in five of another length."""
    kernel = [_pick(random, shares)] * nd
    if nd > 1 and random.random() < 0.2:
        kernel[random.randrange(nd)] = random.choice((1, 2, 3))
    return kernel


def _channels(random: Random, kind: str) -> tuple[int, int, int]:
    """Channels in and out, and groups."""
    if kind == "dense":
        return _width(random, 8, 768), _width(random, 8, 768), 1
    if kind == "few-channels":
        few, many = _width(random, 1, 7), _width(random, 1, 128)
        return (many, few, 1) if random.random() < 0.3 else (few, many, 1)
    if kind == "depthwise":
        channels = _width(random, 8, 512)
        return channels, channels * random.choice((1, 1, 1, 2)), channels
    groups = random.choice((2, 3, 4, 8, 16, 32))
    return groups * _width(random, 2, 64), groups * _width(random, 2, 64), groups


def _width(random: Random, low: int, high: int) -> int:
    """A number of channels; of eight and more most are multiples of eight."""
    channels = _log_uniform(random, low, high)
    return max(8, round(channels / 8) * 8) if channels >= 8 and random.random() < 0.6 else channels


def _log_uniform(random: Random, low: int, high: int) -> int:
    return round(math.exp(random.uniform(math.log(low), math.log(high))))


def _pick(random: Random, shares: dict[Choice, float]) -> Choice:
    return random.choices(list(shares), list(shares.values()))[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("\n".join(draw(options.count, options.seed)))
