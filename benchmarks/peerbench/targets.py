"""What fastconv means to reach, by family: factors over the best of some peers."""

from __future__ import annotations

from typing import NamedTuple

from problems import parse

from peerbench.catalogue import RIVALS
from peerbench.measure import Row

TORCH = ("torch", "torch-cl")
FRAMEWORKS = (*TORCH, "onnxruntime", "openvino")
TRANSFORMS = ("scipy-fft", "scipy-oa", "opencv")


class Target(NamedTuple):
    factor: float
    rivals: tuple[str, ...]


class Family(NamedTuple):
    title: str
    forward: tuple[Target, ...]
    grad_input: tuple[Target, ...]
    grad_weight: tuple[Target, ...]


def _family(title: str, forward: tuple[Target, ...], gradients: tuple[float, float]) -> Family:
    return Family(title, forward, (Target(gradients[0], TORCH),), (Target(gradients[1], TORCH),))


FAMILIES = {
    "dense-3x3": _family(
        "3x3 stride 1, 64 channels and more, 14x14 and more",
        (Target(1.3, ("ncnn",)), Target(2.5, FRAMEWORKS)),
        (2.2, 2.0),
    ),
    "small-image": _family("7x7 and smaller images", (Target(1.0, RIVALS),), (1.5, 1.5)),
    "dense": _family("other dense: 1x1, 5x5, 7x7, stride 2, dilation, 1-d, 3-d", (Target(1.0, RIVALS),), (1.3, 1.3)),
    "few-channels": _family("few input channels, batches of small images", (Target(2.0, RIVALS),), (5.0, 5.0)),
    "depthwise": _family("depthwise, grouped", (Target(1.3, RIVALS),), (3.0, 3.0)),
    "one-channel": _family("one channel, small filters on large images", (Target(1.5, ("opencv",)),), (30.0, 30.0)),
    "large-kernel": _family("large kernels, long 1-d", (Target(1.5, TRANSFORMS),), (10.0, 10.0)),
    "pool": _family("pooling", (Target(2.0, TORCH),), (2.0, 2.0)),
    "float64": Family("float64: half of our float32 rate", *[(Target(0.5, ("fastconv-float32",)),)] * 3),
    "mode": Family("padding modes against zeros", *[(Target(f, ("fastconv-zeros",)),) for f in (0.95, 0.9, 0.9)]),
}  # fmt: skip


def ratio(row: Row, rivals: tuple[str, ...], ours: str = "fastconv") -> float | None:
    """How many times faster we are than the best of the rivals.

    None unless both sides ran and were right, or if one of the times was disturbed: it could be of the best.
    """
    mine, others = row.seconds([ours]), row.seconds(rivals)
    return min(others.values()) / mine[ours] if mine and others and row.quiet([ours, *rivals]) else None


def margin(row: Row) -> float | None:
    """The ratio over its target, the least of the row's targets: 1 and more is reached."""
    family = FAMILIES.get(parse(row.line).family)
    targets: tuple[Target, ...] = getattr(family, row.direction) if family else ()
    if not row.quiet([name for t in targets for name in t.rivals]):
        return None
    ratios = [(ratio(row, t.rivals), t.factor) for t in targets]
    return min((r / factor for r, factor in ratios if r is not None), default=None)


def beyond_roofline(row: Row, share: float = 0.95) -> bool:
    """Whether a row falls short of its target, and would need more than ``share`` of the roofline to reach it.

    Rows that an algorithm with fewer operations took past the roofline of the direct method do not count.
    """
    reached, mine = margin(row), row.seconds(["fastconv"]).get("fastconv")
    if reached is None or reached >= 1 or mine is None or mine < row.roofline:
        return False
    return mine * reached * share < row.roofline
