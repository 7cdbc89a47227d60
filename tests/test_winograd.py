"""Winograd's algorithm where it is asked for: the value within its rounding, and the same promises as everywhere.

Its transforms round what they pass on: errors are held to 60 eps of the largest sum of absolute values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Array, assert_same_bits, written
from cases import OLDEST, Case, assert_takes_winograd, sample
from oracle import MODES
from test_determinism import random, vars_of

import fastconv as fc

SIZES = [(1, 1), (2, 5), (4, 4), (5, 17), (13, 6), (29, 31)]
CASES = [
    Case((14, 15), (3, 3), padding=1, ic=300, oc=70),  # sums in several pieces, rows in several chunks
    Case((14, 15), (3, 3), padding=1, batch=9, ic=37, oc=150),  # several blocks of several images
    Case((5, 601), (3, 3), padding=1, ic=18, oc=17),  # several blocks along a row
    *[Case(size, (3, 3), padding=1, batch=2, ic=3, oc=5) for size in SIZES],
    *[Case((9, 14), (3, 3), padding=2, mode=mode, ic=9, oc=2) for mode in MODES],
    Case((19, 23), (3, 3), groups=3, ic=17, oc=11),
    Case((19, 23), (3, 3), padding=((0, 2), (1, 0)), batch=3, ic=67, oc=37),
    Case((8, 9), (3, 3), padding="same", batch=None, ic=4, oc=33, flip=True),
    Case((3, 7, 11), (1, 3, 3), padding=(0, 1, 1), ic=6, oc=9),
    *[c for c in sample(51, 400) if c.kernel[-2:] in ((3, 3), (5, 5), (2, 2), (4, 4))],
]
FURTHER = [  # two, four and five taps, taps apart, slices of taps
    Case((14, 16), (2, 2), ic=130, oc=70),
    Case((33, 29), (2, 2), padding=(4, 7), dilation=(4, 7), ic=18, oc=17),
    *[Case((19, 22), (4, 4), stride=2, padding=2, mode=mode, batch=2, ic=18, oc=9) for mode in MODES],
    Case((28, 31), (3, 3), stride=2, padding=1, ic=20, oc=33),  # of the input gradient one piece has 2x2 taps
    Case((6, 12, 14), (3, 4, 4), stride=(1, 2, 2), padding=1, ic=18, oc=9),
    Case((14, 15), (5, 5), padding=2, ic=130, oc=70),
    Case((27, 27), (5, 5), padding=2, ic=18, oc=37),  # several blocks
    Case((32, 31), (4, 4), padding=1, batch=2, ic=130, oc=70),
    *[Case(size, (4, 4), padding=2, batch=2, ic=3, oc=5) for size in SIZES],
    *[Case((9, 14), (4, 4), padding=3, mode=mode, ic=9, oc=20) for mode in MODES],
    Case((19, 23), (4, 4), padding=((0, 3), (1, 0)), groups=3, ic=17, oc=11, flip=True),
    Case((31, 44), (4, 4), padding=(3, 5), dilation=(2, 3), mode="reflect", ic=7, oc=20),
    Case((7, 6, 9), (3, 4, 4), padding=(1, 2, 2), ic=18, oc=33),
    Case((3, 401), (5, 5), padding=2, ic=18, oc=17),
    *[Case(size, (5, 5), padding=2, batch=2, ic=3, oc=5) for size in SIZES],
    *[Case((9, 14), (5, 5), padding=4, mode=mode, ic=9, oc=2) for mode in MODES],
    Case((19, 23), (5, 5), padding=((0, 3), (1, 0)), groups=3, ic=17, oc=11, flip=True),
    *[Case((13, 23), (3, 3), padding=2, dilation=2, mode=mode, batch=2, ic=9, oc=18) for mode in MODES],
    Case((33, 29), (3, 3), padding=(8, 3), dilation=(8, 3), ic=33, oc=17),  # fewer outputs than a tile of each residue
    Case((65, 63), (3, 3), padding=4, dilation=4, ic=19, oc=5),  # residues of unequal length
    Case((97, 41), (3, 3), padding=(31, 5), dilation=(31, 5), ic=40, oc=3),  # blocks within a residue's tiles
    Case((5, 601), (3, 3), padding=1, dilation=(1, 7), ic=18, oc=17),  # blocks along a dilated row
    Case((31, 44), (5, 5), padding=(4, 6), dilation=(2, 3), mode="reflect", ic=7, oc=20),
    Case((4, 3), (3, 3), padding=9, dilation=9, ic=3, oc=2),
    Case((5, 9, 11), (3, 3, 3), padding=1, ic=16, oc=9),
    *[Case((4, 9, 10), (3, 3, 3), padding=(2, 1, 1), mode=mode, ic=17, oc=9) for mode in MODES],
    Case(
        (9, 6, 7), (2, 3, 3), padding=(3, 1, 1), stride=(3, 1, 1), batch=2, ic=32, oc=4
    ),  # some outputs see only zeros
    Case((9, 8, 7), (3, 3, 3), padding=(2, 1, 2), dilation=(2, 1, 2), groups=2, ic=18, oc=5, flip=True),
    Case((7, 6, 9), (4, 5, 5), padding=(2, 2, 2), ic=5, oc=33),
]
BORDERS = [  # padding whose share of the input gradient tiles add where it came from
    *[
        Case(size, (5, 5), padding=2, mode=m, batch=2, ic=9, oc=18)
        for m in MODES
        for size in [(3, 5), (27, 14), (6, 63)]
    ],
    *[Case((12, 37), (4, 4), padding=(2, 1), mode=m, batch=2, ic=9, oc=18) for m in MODES],
    *[Case((29, 36), (3, 3), padding=d, dilation=d, mode=m, ic=9, oc=18) for m in MODES for d in (2, 8)],
    *[Case((9, 7), (3, 3), padding=((11, 16), (20, 9)), mode=m, ic=9, oc=18) for m in MODES],  # more than there is
    *[Case((13, 12), (2, 2), padding=1, mode=m, ic=9, oc=18) for m in MODES],
    # several blocks, which add to the same lines: next to one another, at both ends, apart
    *[Case((110, 68), (5, 5), padding=(3, 2), mode=m, batch=2, ic=18, oc=17) for m in ("reflect", "circular")],
    Case((75, 74), (3, 3), padding=9, dilation=9, mode="reflect", ic=17, oc=18),
    Case((3, 67, 70), (2, 3, 3), padding=(1, 2, 1), mode="circular", ic=17, oc=18),
    *[
        Case(size, (3, 3), padding=1, mode=m, batch=2, ic=9, oc=18)
        for m in MODES
        for size in [(2, 2), (9, 14), (57, 61)]
    ],
    *[Case(size, (3, 3), padding=1, mode="reflect", ic=17, oc=18) for size in [(5, 517), (261, 5), (13, 257)]],
    *[Case((13, 9), (3, 3), padding=((1, 0), (0, 1)), mode=m, ic=9, oc=18) for m in MODES],
    *[
        Case((13, 18), (3, 3), padding=1, mode=m, ic=9, oc=18)
        for m in (("zeros", "reflect"), ("symmetric", "circular"))
    ],
    Case((14, 14), (3, 3), padding=1, mode="replicate", ic=67, oc=600),  # weights transformed some channels at a time
    Case((3, 9, 11), (1, 3, 3), padding=1, mode=("zeros", "reflect", "symmetric"), ic=6, oc=9),
    Case((11, 14), (3, 3), padding=1, mode="symmetric", groups=3, ic=17, oc=11, flip=True),
]
STRIPS = [  # kernels of one axis: 2 to 32 taps in parts of 2, 3, 4 and 5, along and down, dilated, of volumes
    *[Case((5, 41), (1, k), padding=(0, k // 2), batch=2, ic=18, oc=17) for k in (*range(2, 18), 25, 32)],
    *[Case((41, 5), (k, 1), padding=(k // 2, 0), batch=2, ic=9, oc=33) for k in (*range(2, 18), 25, 32)],
    *[Case((13, 9), (1, 2), padding=(0, 1), mode=mode, batch=2, ic=18, oc=9) for mode in MODES],
    Case((700,), (2,), padding=32, dilation=64, ic=18, oc=17),
    *[Case((13, 9), (1, 7), padding=(0, 5), mode=mode, batch=2, ic=18, oc=9) for mode in MODES],
    *[Case((13, 9), (5, 1), padding=(3, 2), mode=mode, ic=7, oc=20) for mode in MODES],
    *[Case(size, (1, 3), padding=(0, 1), batch=2, ic=3, oc=5) for size in SIZES],
    *[Case(size, (4, 1), padding=(2, 0), batch=2, ic=3, oc=5) for size in SIZES],
    Case((601,), (9,), padding=4, ic=130, oc=70),  # several blocks
    Case((700,), (3,), padding=64, dilation=64, ic=18, oc=17),
    Case((83,), (16,), padding=((3, 40),), dilation=5, ic=19, oc=5, flip=True),
    Case((29, 7), (9, 1), padding=(9, 1), dilation=(4, 3), groups=3, ic=17, oc=11),
    Case((14, 14), (1, 7), padding=(0, 3), batch=9, ic=37, oc=150),  # several images a block, rows in several chunks
    Case((17, 17), (7, 1), padding=(3, 0), ic=300, oc=70),
    Case((5, 4, 23), (3, 1, 7), padding=(1, 0, 3), ic=18, oc=9),
    Case((4, 23, 3), (2, 6, 1), padding=(2, 3, 0), stride=(2, 1, 1), batch=2, ic=16, oc=4),
    Case((11, 20), (1, 5), padding=(0, 2), stride=(2, 1), ic=18, oc=9),  # the input gradient alone
]
STRIDED = [  # a stride of two: four parts of even and odd taps
    *[Case(size, (k, k), stride=2, padding=k // 2, batch=2, ic=18, oc=17) for k in (3, 4, 5, 6) for size in SIZES[2:]],
    *[Case((13, 18), (3, 3), stride=2, padding=2, mode=mode, batch=2, ic=18, oc=9) for mode in MODES],
    *[Case((13, 18), (5, 5), stride=2, padding=2, mode=mode, ic=7, oc=20) for mode in MODES],
    Case((29, 27), (3, 3), stride=2, padding=1, batch=9, ic=64, oc=150),  # several blocks, rows in several chunks
    Case((28, 28), (3, 3), stride=2, padding=1, ic=300, oc=70),
    Case((5, 601), (4, 4), stride=2, padding=1, ic=18, oc=17),
    Case((19, 23), (5, 5), stride=2, padding=((0, 3), (1, 0)), groups=3, ic=17, oc=11, flip=True),
    Case((5, 9, 12), (3, 3, 3), stride=2, padding=1, ic=16, oc=9),
    Case((1, 2), (6, 6), stride=2, padding=5, ic=3, oc=2),
    # of the input gradient four phases: short parts with the first tap or the last, phases of unequal length
    *[
        Case((18, 23), (k, k), stride=2, padding=(p, q), batch=3, ic=19, oc=18)
        for k in (3, 5)
        for p, q in [(0, 1), (1, 2), (2, 0)]
    ],
    Case((21, 150), (3, 3), stride=2, padding=1, ic=40, oc=150),  # several blocks, channels some at a time
    Case((3, 17, 18), (2, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), groups=2, ic=17, oc=9),
]
SHORT = [  # last tiles short in height, in width, in both; several images and blocks; with borders
    *[
        Case(size, (3, 3), padding=1, mode=m, batch=3, ic=18, oc=17)
        for size in [(6, 9), (8, 14), (13, 16), (1, 2)]
        for m in ("zeros", "replicate")
    ],
    *[Case(size, (2, 2), batch=2, ic=18, oc=17) for size in [(4, 9), (11, 9), (14, 12)]],
    Case((14, 14), (3, 3), padding=1, batch=5, ic=70, oc=130),
    Case((4, 14, 14), (3, 3, 3), padding=1, ic=17, oc=18),
    Case((42, 314), (3, 3), padding=1, mode="reflect", ic=17, oc=18),
]
LARGE = [  # tiles of 6x6 outputs: whole and short ones, with borders, apart, of volumes, several blocks and images
    *[
        Case(size, (3, 3), padding=1, mode=m, batch=2, ic=9, oc=18)
        for m in MODES
        for size in [(18, 24), (26, 30), (37, 49)]
    ],
    *[Case((50, 43), (3, 3), padding=p, ic=18, oc=17) for p in (0, 2, ((1, 0), (0, 1)))],
    *[Case((49, 37), (3, 3), padding=2, dilation=2, mode=mode, batch=2, ic=9, oc=18) for mode in MODES],
    Case((7, 24, 30), (3, 3, 3), padding=1, ic=17, oc=9),
    Case((61, 54), (3, 3), groups=3, ic=17, oc=11, flip=True),
    Case((24, 24), (3, 3), batch=9, padding=1, mode="reflect", ic=37, oc=70),
    Case((38, 314), (3, 3), padding=1, ic=18, oc=150),
]
FURTHER += STRIPS + STRIDED + SHORT + LARGE
CASES += FURTHER + BORDERS


def assert_close(got: Array, expected: Array, magnitude: Array) -> None:
    bound = 60 * np.finfo(got.dtype).eps * magnitude.max(initial=0)
    assert np.abs(got - expected).max(initial=0) <= bound


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_grad_input(case: Case, dtype: Any) -> None:
    x, w, b, g = random(case, dtype)
    y = case.forward(x, w, b, algorithm="winograd")
    assert_close(y, case.expected_output(x, w, b), case.expected_output(abs(x), abs(w), abs(b)))
    dx = case.grad_input(g, w, algorithm="winograd")
    assert_close(dx, case.expected_grad_input(g, w), case.expected_grad_input(abs(g), abs(w)))


@pytest.mark.parametrize("case", [*CASES[:17], *FURTHER, *BORDERS], ids=str)
def test_threads_and_batch_change_no_bit(case: Case, dtype: Any) -> None:
    case = Case(**{**vars_of(case), "batch": 5})
    x, w, b, g = random(case, dtype)
    with fc.threads(1):
        y, dx = case.forward(x, w, b, algorithm="winograd"), case.grad_input(g, w, algorithm="winograd")
    with fc.threads(3):
        assert_same_bits(case.forward(x, w, b, algorithm="winograd"), y)
        assert_same_bits(case.grad_input(g, w, algorithm="winograd"), dx)
    alone = Case(**{**vars_of(case), "batch": None})
    for i in range(5):
        assert_same_bits(alone.forward(x[i], w, b, algorithm="winograd"), y[i])
        assert_same_bits(alone.grad_input(g[i], w, algorithm="winograd"), dx[i])


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_weights_of_some_rows_at_a_time_change_no_bit(mode: str) -> None:
    case = Case((52, 49), (3, 3), padding=1, mode=mode, ic=260, oc=250)
    x, w, b, g = random(case, np.float32)
    results = []
    for n in (1, 2):  # one thread goes over the rows twice
        with fc.threads(n):
            results.append((case.forward(x, w, b), case.grad_input(g, w)))
    for one, two in zip(*results, strict=True):
        assert_same_bits(one, two)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(13, 14), (70, 93)], ids=str)
def test_gradients_are_added_to_outputs_of_any_layout(size: tuple[int, int], mode: str, dtype: Any) -> None:
    case = Case(size, (3, 3), padding=2, mode=mode, batch=2, ic=17, oc=18)
    _, w, _, g = random(case, dtype)
    dx = case.grad_input(g, w, algorithm="winograd")
    out = np.full((2, *size, 17), np.nan, dtype).transpose(0, 3, 1, 2)
    assert_same_bits(case.grad_input(g, w, algorithm="winograd", out=out), dx)
    assert_same_bits(case.grad_input(g, w, algorithm="winograd", out=np.full_like(dx, np.nan)[:, :, ::-1, ::-1]), dx)


@pytest.mark.skipif(OLDEST, reason="has no large tiles")
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_large_tiles_are_of_large_images(case: Case) -> None:
    options = {name: value for name, value in case.options.items() if name != "flip"}
    for direction, kernel in [("forward", "F(6x6, 3x3)"), ("grad_weight", "F(3x3, 6x6)")]:
        told = fc.explain(case.input_shape, case.weight_shape, direction=direction, algorithm="winograd", **options)
        assert told["kernel"] == kernel


@pytest.mark.parametrize("case", [*CASES[:9], *LARGE[:3], LARGE[-1]], ids=str)
def test_packed_weights_change_no_bit(case: Case, dtype: Any) -> None:
    x, w, b, _ = random(case, dtype)
    packed = fc.PackedConv2d(w, b, padding=1, padding_mode=case.mode, algorithm="winograd")
    assert_same_bits(packed(x), case.forward(x, w, b, algorithm="winograd"))


@pytest.mark.skipif(OLDEST, reason="has no large tiles, and more blocks")
def test_two_blocks_make_large_weights_twice(dtype: Any) -> None:
    """Instead of writing them once to where neither finds them in its cache: a choice that changes no bit."""
    case = Case((56, 56), (3, 3), padding=1, batch=1, ic=152, oc=152)
    x, w, b, g = random(case, dtype)
    for direction in ("forward", "grad_input"):
        told = fc.explain(case.input_shape, case.weight_shape, padding=1, direction=direction, dtype=dtype)
        assert told["kernel"] == "F(6x6, 3x3)" and told["shared_bytes"] == 0
    small = fc.explain((1, 64, 56, 56), (64, 64, 3, 3), padding=1)
    assert small["kernel"] == "F(6x6, 3x3)" and small["shared_bytes"] > 0
    y = case.forward(x, w, b)
    assert_same_bits(fc.PackedConv2d(w, b, padding=1)(x), y)
    with fc.threads(1):
        assert_same_bits(case.forward(x, w, b), y)
    direct = [case.forward(x, w, b, algorithm="direct"), case.forward(abs(x), abs(w), abs(b), algorithm="direct")]
    assert_close(y, *direct)
    direct = [case.grad_input(g, w, algorithm="direct"), case.grad_input(abs(g), abs(w), algorithm="direct")]
    assert_close(case.grad_input(g, w), *direct)


@pytest.mark.parametrize(
    "sizes, kernel, more",
    [
        ((27, 27), (5, 5), {"padding": 2}),
        ((27, 27), (4, 4), {"padding": 2}),
        ((28, 31), (3, 3), {"padding": 2, "dilation": 2}),
        ((6, 14, 14), (3, 3, 3), {"padding": 1}),
        ((27, 30), (1, 7), {"padding": (0, 3)}),
        ((300,), (9,), {"padding": 4}),
    ],
    ids=str,
)
@pytest.mark.parametrize("algorithm", ["auto", "winograd"])
def test_packed_weights_of_other_shapes(
    sizes: tuple[int, ...], kernel: tuple[int, ...], more: dict[str, Any], algorithm: str, dtype: Any
) -> None:
    case = Case(sizes, kernel, ic=48, oc=40, **more)
    x, w, b, _ = random(case, dtype)
    packed = getattr(fc, f"PackedConv{case.nd}d")(w, b, algorithm=algorithm, **more)
    told = fc.explain(x.shape, w.shape, dtype=dtype, algorithm=algorithm, **more)["algorithm"]
    fits = not OLDEST or (dtype is np.float32 and kernel[-2:] == (3, 3))
    assert (told == "winograd") == fits
    assert_same_bits(packed(x), case.forward(x, w, b, algorithm=algorithm))


PLANES = [
    Case((13, 29), (3, 3), padding=1, batch=2, ic=19, oc=37),
    Case((13, 29), (5, 5), padding=2, batch=2, ic=19, oc=37),
    Case((13, 29), (4, 4), padding=2, batch=2, ic=19, oc=37),
    Case((13, 29), (3, 3), padding=3, dilation=3, batch=2, ic=19, oc=37),
    Case((13, 29), (3, 3), padding=(1, 3), dilation=(1, 3), batch=2, ic=19, oc=37),
    Case((13, 29), (1, 7), padding=(0, 3), batch=2, ic=19, oc=37),
    Case((13, 29), (2, 1), batch=2, ic=19, oc=37),
    Case((13, 29), (6, 1), padding=(4, 0), dilation=(2, 1), batch=2, ic=19, oc=37),
    Case((27, 29), (3, 3), stride=2, padding=1, batch=2, ic=19, oc=37),
]


@pytest.mark.parametrize("case", PLANES, ids=str)
@pytest.mark.parametrize("steps", [(1, 1, 1, 1), (2, 1, 1, 1), (1, -1, 2, 3), (-2, 3, 1, -1)], ids=str)
def test_writes_the_output_and_nothing_else(case: Case, steps: tuple[int, ...], dtype: Any) -> None:
    x, w, b, _ = random(case, dtype)
    got = written(case.forward, case.output_shape, steps, x, w, b, algorithm="winograd")
    assert_same_bits(got, case.forward(x, w, b, algorithm="winograd"))


@pytest.mark.parametrize("case", PLANES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bits_for_any_layout(case: Case, layout: str, dtype: Any) -> None:
    x, w, b, g = random(case, dtype)
    spread = LAYOUTS[layout]
    assert_same_bits(
        case.forward(spread(x), spread(w), b, algorithm="winograd"), case.forward(x, w, b, algorithm="winograd")
    )
    assert_same_bits(
        case.grad_input(spread(g), spread(w), algorithm="winograd"), case.grad_input(g, w, algorithm="winograd")
    )


@pytest.mark.parametrize("direction", ["forward", "grad_input"])
def test_auto_takes_it_for_many_channels(direction: str) -> None:
    plan = fc.explain((1, 128, 56, 56), (128, 128, 3, 3), padding=1, direction=direction)
    assert plan["algorithm"] == "winograd"
    assert fc.explain((1, 2, 56, 56), (7, 2, 3, 3), padding=1, direction=direction)["algorithm"] != "winograd"
    # images so small that transforming the weights takes longer than all else, unless they are many
    small = fc.explain((1, 1024, 7, 7), (1024, 32, 3, 3), groups=32, padding=1, direction=direction)
    assert small["lanes"] < 8 or small["algorithm"] == "winograd"
    # weights of a volume that would pass through memory, for few tiles
    deep = fc.explain((1, 524, 3, 23, 4), (184, 524, 3, 3, 3))
    assert deep["lanes"] < 8 or deep["algorithm"] == "direct"
    # Groups count together: each of these alone would be left to exact sums.
    grouped = fc.explain((1, 512, 14, 14), (512, 16, 3, 3), groups=32, padding=1, direction=direction)
    assert grouped["algorithm"] == "winograd"


@pytest.mark.parametrize("direction", ["forward", "grad_input"])
@pytest.mark.parametrize(("ic", "oc", "k"), [(12, 32, 3), (8, 128, 5)])
def test_auto_takes_it_for_few_channels_of_one_side(direction: str, ic: int, oc: int, k: int) -> None:
    for shape in ((1, ic, 64, 64), (4, ic, 64, 64)):
        plan = fc.explain(shape, (oc, ic, k, k), padding=k // 2, direction=direction)
        assert (plan["algorithm"] == "winograd") == (k == 3 or not OLDEST)


@pytest.mark.parametrize(
    "shape, weight, more, kernel",
    [
        ((1, 64, 27, 27), (192, 64, 5, 5), {"padding": 2}, "F(4x4, 5x5)"),
        ((1, 48, 35, 35), (64, 48, 5, 5), {"padding": 2}, "F(4x4, 5x5)"),
        ((1, 64, 32, 32), (128, 64, 4, 4), {"padding": 1}, "F(5x5, 4x4)"),
        ((1, 256, 28, 28), (256, 256, 3, 3), {"padding": 2, "dilation": 2}, "F(4x4, 3x3)"),
        ((1, 64, 56, 56), (64, 64, 3, 3), {"padding": 8, "dilation": 8, "padding_mode": "replicate"}, "F(4x4, 3x3)"),
        ((1, 32, 24, 28, 28), (64, 32, 3, 3, 3), {"padding": 1}, "F(6x6, 3x3)"),
        ((1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1, "padding_mode": "reflect"}, "F(6x6, 3x3)"),
        ((1, 128, 28, 28), (128, 128, 3, 3), {"padding": 1}, "F(4x4, 3x3)"),
        ((1, 64, 33, 33), (64, 64, 2, 2), {}, "F(5x5, 2x2)"),
        ((1, 192, 17, 17), (192, 192, 1, 7), {"padding": (0, 3)}, "F(5, 4)"),
        ((1, 192, 17, 17), (192, 192, 7, 1), {"padding": (3, 0)}, "F(5, 4)"),
        ((1, 64, 28, 28), (64, 64, 3, 1), {"padding": (1, 0), "padding_mode": "reflect"}, "F(6, 3)"),
        ((1, 64, 16000), (64, 64, 9), {"padding": 4}, "F(4, 5)"),
        ((1, 64, 4000), (64, 64, 3), {"padding": 64, "dilation": 64}, "F(6, 3)"),
        ((1, 64, 4000), (128, 64, 2), {"dilation": 64}, "F(7, 2)"),
        ((1, 64, 1000), (128, 64, 17), {"padding": 8}, "F(4, 5)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("direction", ["forward", "grad_input"])
def test_auto_takes_other_shapes(
    shape: tuple[int, ...], weight: tuple[int, ...], more: dict[str, Any], kernel: str, direction: str
) -> None:
    for batch in (1, 8):
        told = fc.explain((batch, *shape[1:]), weight, direction=direction, **more)
        assert_takes_winograd(told, kernel, "F(4x4, 3x3)")


@pytest.mark.skipif(OLDEST, reason="has no parts of squares")
def test_auto_takes_it_for_a_stride_of_two() -> None:
    for shape, weight, kernel in [
        ((1, 128, 56, 56), (128, 128, 3, 3), "4 F(5x5, 2x2)"),
        ((1, 64, 56, 56), (64, 64, 4, 4), "4 F(5x5, 2x2)"),
        ((3, 29, 33, 31), (47, 29, 5, 5), "4 F(4x4, 3x3)"),
    ]:
        directions = ["forward", "grad_input"] if weight[-1] % 2 else ["forward"]
        for direction in directions:
            told = fc.explain(shape, weight, stride=2, padding=1, direction=direction)
            assert told["algorithm"] == "winograd" and told["kernel"] == kernel
    told = fc.explain((1, 128, 64, 64), (256, 128, 4, 4), stride=2, padding=1, direction="grad_input")
    assert told["algorithm"] == "winograd" and told["kernel"] == "F(5x5, 2x2)"


@pytest.mark.parametrize(
    "shape, weight, more",
    [
        ((1, 6, 14, 14), (16, 6, 5, 5), {}),
        ((1, 16, 10, 10), (16, 16, 5, 5), {}),  # small: exact
        ((1, 256, 9, 9), (256, 256, 3, 3), {"padding": 8, "dilation": 8}),  # nearly a tile for each output
        ((1, 64, 56, 56), (64, 64, 3, 5), {"padding": 2}),
        ((1, 64, 56, 56), (64, 64, 5, 5), {"padding": 2, "stride": (1, 2)}),
    ],
    ids=str,
)
@pytest.mark.parametrize("direction", ["forward", "grad_input"])
def test_auto_leaves_it(shape: tuple[int, ...], weight: tuple[int, ...], more: dict[str, Any], direction: str) -> None:
    assert fc.explain(shape, weight, direction=direction, **more)["algorithm"] == "direct"


def test_no_channels_are_left_to_others() -> None:
    x, w = np.ones((2, 0, 8, 9), np.float32), np.ones((4, 0, 3, 3), np.float32)
    bias = np.arange(4, dtype=np.float32)
    want = np.broadcast_to(bias[:, None, None], (2, 4, 8, 9))
    np.testing.assert_array_equal(fc.conv2d(x, w, bias, padding=1, algorithm="winograd"), want)
    np.testing.assert_array_equal(fc.PackedConv2d(w, bias, padding=1, algorithm="winograd")(x), want)
    dy, w = np.ones((1, 0, 8, 9), np.float32), np.ones((0, 4, 3, 3), np.float32)
    dx = fc.conv2d_grad_input(dy, w, (1, 4, 8, 9), padding=1, algorithm="winograd")
    np.testing.assert_array_equal(dx, np.zeros((1, 4, 8, 9), np.float32))


def test_what_blocks_keep_for_others_is_bounded() -> None:
    """A large batch goes in turns: images have the bits of one alone, and memory does not grow with their number."""
    options: dict[str, Any] = {"padding": 1, "padding_mode": "reflect"}
    rng = np.random.default_rng(2)
    g, w = rng.standard_normal((35, 16, 20, 600), np.float32), rng.standard_normal((16, 16, 3, 3), np.float32)
    dx = fc.conv2d_grad_input(g, w, g.shape, **options)
    for n in (0, 20, 34):
        np.testing.assert_array_equal(fc.conv2d_grad_input(g[n], w, g.shape[1:], **options), dx[n])
    plan = fc.explain((1000, 16, 20, 600), w.shape, direction="grad_input", **options)
    assert plan["algorithm"] == "winograd" and plan["shared_bytes"] < 10 << 20
