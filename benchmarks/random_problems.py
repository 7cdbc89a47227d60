"""Convolutions drawn at random, for benchmarks/peers.py --random: what no list of known layers holds.

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
AXES = {1: 2, 2: 7, 3: 1.5}
KINDS = {"dense": 5, "few-channels": 2, "depthwise": 2, "grouped": 1.5}


def draw(count: int, seed: int) -> list[str]:
    """``count`` lines of a shapes file, the same for the same seed; names are the seed and a number."""
    random = Random(seed)
    lines: list[str] = []
    while len(lines) < count:
        line = _line(random, f"r{seed}-{len(lines)}")
        if line and _is_fair(parse(line)):
            lines.append(line)
    return lines


def _is_fair(problem: Problem) -> bool:
    return FLOPS[0] < problem.flops < FLOPS[1] and problem.bytes < BYTES


def _line(random: Random, name: str) -> str | None:
    """One layer, or None where the kernel does not fit the image."""
    nd, kind = _pick(random, AXES), _pick(random, KINDS)
    ic, oc, groups = _channels(random, kind)
    longest = SIZES[nd]
    size = [_log_uniform(random, 2, longest) for _ in range(nd)] if random.random() < 0.4 else []
    size = size or [_log_uniform(random, 2, longest)] * nd
    kernel = [_pick(random, KERNELS)] * nd
    if nd > 1 and random.random() < 0.2:
        kernel[random.randrange(nd)] = random.choice((1, 2, 3))
    stride, dilation = _pick(random, STRIDES), _pick(random, DILATIONS)
    share = random.choices((0.5, 0, 1), (12, 5, 1))[0]  # of the kernel: same size, none, full
    padding = [int(share * dilation * (k - 1)) for k in kernel]
    if any(n + 2 * p < dilation * (k - 1) + 1 for n, p, k in zip(size, padding, kernel, strict=True)):
        return None
    words = [name, "depthwise" if kind == "grouped" else kind, str(random.choice((1, 1, 1, 2, 4, 8, 16, 32))), str(ic)]
    words += [*map(str, size), "->", str(oc), "k" + "x".join(map(str, kernel)), "p" + "x".join(map(str, padding))]
    words += [f"s{stride}"] * (stride > 1) + [f"d{dilation}"] * (dilation > 1) + [f"g{groups}"] * (groups > 1)
    if random.random() < 0.08:
        words[1] = "float64"
        words.append("float64")
    return " ".join(words)


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
