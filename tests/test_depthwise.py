"""Few channels a group, by the tile whose rows are rows of the image and by vectors whose lanes are channels: exact for
integers at every edge of tiles, strips and images, and the same bits however the work is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, Array, assert_exact, assert_same_bits
from cases import Case, assert_writes_the_output_alone, sample
from oracle import MODES
from test_determinism import random, vars_of

import fastconv as fc

# Around: 8 rows of a tile, 16 lanes and half of them, strips of tall planes, cuts of wide rows, 7 taps of a run.
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33]
HEIGHTS = [2, 7, 8, 9, 16, 17, 23]
CASES = [
    *[Case((9, n), (3, 3), padding=1, batch=2, groups=37) for n in WIDTHS],
    *[Case((9, n), (3, 2), groups=11) for n in WIDTHS if n > 1],
    *[Case((9, n), (3, 3), 2, 1, groups=23) for n in WIDTHS],
    *[Case((n, 7), (3, 3), padding=1, batch=3, groups=7) for n in HEIGHTS],
    *[Case((19, 7), (k, 3), padding=(k // 2, 1), groups=5, oc=2) for k in range(2, 18)],
    *[Case((10, 6), (5, 5), padding=2, mode=mode, groups=9) for mode in MODES],
    *[Case((11, 9), (4, 5), (2, 2), 3, mode=mode, groups=3) for mode in MODES],
    *[Case((12, 20), (3, 3), stride, 2, dilation, groups=5) for stride in (1, 2, 3) for dilation in (1, 2, 3)],
    *[
        Case((13, 12), (3, 3), (1, 2), ((0, 2), (1, 0)), batch=2, groups=2, ic=ic, oc=oc)
        for ic in (1, 2, 3)
        for oc in (1, 2, 5)
    ],
    # Squares at a stride of two: lines taken apart, every phase of the padding, borders within a vector.
    *[Case((n, 2 * n + 3), (3, 3), 2, pad, groups=3) for n in (3, 4, 7, 8, 15, 16, 17) for pad in (0, 1, 2, 3)],
    *[
        Case((20, n), (3, 3), 2, ((1, 0), (0, 2)), batch=2, groups=2, oc=2)
        for n in (29, 30, 31, 32, 33, 34, 35, 63, 66)
    ],
    *[Case((9, 36), (3, 3), 2, 1, mode=mode, groups=2) for mode in MODES],
    *[
        Case((6, n), (3, 3), 2, pad, groups=3)
        for n in (9, 24, 26, 49)
        for pad in (0, ((0, 1), (0, 1)), ((1, 0), (1, 0)))
    ],
    Case((150, 70), (3, 3), 2, 1, batch=2, groups=2),
    Case((12, 12), (3, 3), 2, 1, groups=2, ic=2),
    # Small images, two lines a vector.
    *[
        Case((h, w), (k, k), padding=k // 2, batch=2, groups=29, flip=flip)
        for k, flip in ((3, False), (5, True), (7, False))
        for h, w in ((5, 8), (8, 5), (7, 7), (6, 8), (8, 8))
    ],
    # At a stride of two, a row of outputs in eight lanes: last lines and elements that are there or not.
    *[
        Case(size, (3, 3), 2, 1, batch=2, groups=29)
        for size in ((9, 16), (16, 9), (10, 11), (11, 15), (14, 14), (16, 16))
    ],
    # The same of up to sixteen outputs, and the gradient of rows of an odd length.
    *[
        Case(size, (3, 3), 2, 1, batch=2, groups=19)
        for size in ((17, 17), (9, 32), (32, 17), (31, 18), (18, 31), (28, 28), (27, 23), (10, 33))
    ],
    # One tap that passes over elements: lines put side by side, in several parts.
    *[Case((11, n), (1, 1), stride, groups=21, oc=oc) for n, stride, oc in ((31, 4, 1), (9, (1, 2), 2), (70, 3, 1))],
    Case((260, 150), (1, 1), 2, batch=2, groups=3),
    Case((40000,), (1,), 3, groups=2),
    Case((5, 6, 7), (1, 1, 1), (2, 1, 3), batch=2, groups=4, ic=2),
    # Lanes whose weights are packed once for all images.
    *[Case((6, 5), (5, 4), 2, 2, batch=5, groups=g) for g in (16, 31, 33, 47)],
    # Tall planes, packed strip by strip.
    Case((290, 6), (5, 5), padding=(0, 4), batch=2, groups=3),
    # Lines: vectors of sums and pieces of lines, taps that are more or fewer than vectors have lanes.
    *[Case((n,), (9,), padding=4, batch=2, groups=3) for n in (63, 64, 65, 127, 128, 129, 200, 2049, 4500)],
    *[Case((300,), (k,), padding=k // 3, groups=5, flip=k % 2 > 0) for k in (2, 3, 8, 15, 16, 17, 31, 32, 33, 64, 75)],
    *[Case((290,), (19,), padding=((21, 3),), mode=mode, groups=4) for mode in MODES],
    # Read where they stand but for their ends, of which one may have no padding.
    *[
        Case((n,), (31,), padding=(pad,), groups=2)
        for n in (384, 415, 416, 417, 2500)
        for pad in ((15, 15), (0, 30), (30, 0))
    ],
    *[Case((700,), (9,), padding=4, mode=mode, batch=2, groups=2) for mode in MODES],
    # Of one channel, and fewer outputs than the kernel makes.
    *[Case((n,), (k,), padding=k // 2, batch=2, flip=k == 9) for n in (9, 31, 33, 64, 65, 127) for k in (2, 9, 31)],
    *[Case((40,), (13,), padding=((15, 2),), mode=mode) for mode in MODES],
    # Up to three outputs of many channels, and gradients of as many inputs: lines of one channel after another.
    *[Case((18, 37), (k, k), s, k // 2, ic=ic, oc=oc) for k in (3, 5) for s in (1, 2) for ic, oc in ((9, 3), (2, 11))],
    Case((17, 33), (3, 3), padding=1, mode="reflect", batch=2, ic=7, oc=2),
    Case((9, 700), (3, 3), padding=1, ic=90, oc=3),
    Case((150, 131), (3, 3), padding=1, oc=2),
    Case((90, 300), (5, 3), (2, 1), 2, ic=2),
    Case((3, 2049), (2, 3), padding=1),
    Case((5, 4200), (3, 5), (1, 2), 2, mode="reflect"),
    Case((40, 6), (9, 9), padding=4, groups=33, flip=True),
    Case((8, 9), (3, 3), padding="same", batch=None, groups=6),
    Case((6, 6), (5, 5), padding=2, batch=19),
    Case((1, 40), (1, 9), padding=(0, 4), groups=3),
    Case((40,), (9,), padding=4, groups=3),
    Case((4, 5), (3, 3), padding=1, batch=0, groups=3),
    # Enough channels for vectors of them: strides, modes, widths around the outputs of a segment, cuts of long rows.
    *[Case((7, n), (3, 3), padding=1, groups=150) for n in (1, 5, 7, 8, 9, 14, 15, 16, 29)],
    Case((9, 8), (1, 9), padding=(0, 4), batch=2, groups=77),
    Case((20, 17), (20, 1), batch=3, groups=8, oc=2),
    *[Case((7, 8), (k, k), stride, k // 2, groups=150) for k in (2, 3, 7, 9) for stride in (1, 2, 3)],
    *[Case((6, 7), (3, 5), (2, 1), 2, mode=mode, groups=150) for mode in MODES],
    *[Case((9, 6), (3, 3), (1, 2), 3, 2, mode=mode, batch=2, groups=131) for mode in MODES],
    *[Case((5, 6), (3, 3), padding=1, groups=90, ic=ic, oc=oc) for ic, oc in ((1, 2), (2, 1), (1, 4), (3, 1), (2, 2))],
    *[
        Case((70,), (9,), s, 4, d, mode=mode, groups=140)
        for s in (1, 2)
        for d in (1, 3)
        for mode in ("zeros", "circular")
    ],
    # Squares at a stride of one: blocks of columns and what stands beside them, rows that padding's gradient adds to,
    # strips of tall and of wide planes, padding that is missing on a side or too wide to be read in place.
    *[
        Case((5, n), (3, 3), padding=1, mode=mode, batch=2, groups=5)
        for n in (2, 3, 9, 15, 16, 17, 24, 25, 32, 33, 47, 63, 64, 65, 80, 81)
        for mode in MODES
    ],
    *[Case((n, 9), (3, 3), padding=1, mode=mode, groups=3, oc=2) for n in (2, 3, 4) for mode in MODES],
    *[
        Case((6, 18), (3, 3), padding=pad, mode=mode, groups=3)
        for pad in (0, 2, ((0, 1), (1, 0)), ((1, 0), (0, 1)), ((2, 0), (1, 2)))
        for mode in MODES
    ],
    *[
        Case(size, (3, 3), padding=1, mode=mode, ic=ic, oc=oc)
        for size in ((37, 530), (250, 90))
        for ic, oc in ((1, 1), (2, 3))
        for mode in ("zeros", "reflect", "circular")
    ],
    # Larger squares: rows that wait, borders within the vectors, tall and wide planes, padding of every width.
    *[
        Case((6, n), (k, k), padding=k // 2, batch=2, groups=5)
        for k in (5, 7)
        for n in (2, 3, 5, 15, 16, 17, 31, 32, 33, 49)
    ],
    *[Case((n, 8), (k, k), padding=k // 2, groups=3, oc=2) for k in (5, 7) for n in (2, 3, 4, 9)],
    *[Case((7, n), (5, 5), padding=((2, 1), (1, 2)), ic=2, oc=2) for n in (7, 8, 9, 10, 11, 12, 17, 25, 26)],
    *[
        Case((9, 20), (k, k), padding=pad, mode=mode, groups=3)
        for k in (5, 7)
        for pad in (0, 1, k - 1, ((0, 2), (3, 0)))
        for mode in ("zeros", "reflect", "circular")
    ],
    Case((300, 40), (5, 5), padding=2, oc=2),
    Case((5, 600), (7, 7), padding=3, mode="replicate"),
    Case((2100,), (5,), 2, 3, groups=33),
    Case((7, 5, 6), (4, 3, 3), (4, 1, 1), ((0, 3), (1, 1), (0, 2)), (3, 1, 1), mode="circular"),
    Case((9, 4, 5), (4, 2, 3), (5, 1, 1), ((0, 3), (2, 2), (1, 2)), (3, 1, 2), groups=3),
    Case((150, 40), (5, 5), padding=2, groups=67),
    # larger squares of several channels: what the channels before have summed is gone on with
    *[Case((21, 19), (5, 5), padding=2, mode=mode, batch=2, groups=2, ic=3, oc=2) for mode in MODES],
    *[Case((9, 35), (7, 7), padding=3, mode=mode, ic=2, oc=3) for mode in MODES],
    Case((2, 70), (5, 5), padding=((2, 2), (1, 3)), ic=5),
    Case((260, 33), (5, 5), padding=2, ic=3, oc=2),
    Case((300, 300), (7, 7), padding=3, mode="reflect", ic=6),
    # Rows of one tap each, some columns at a time: fewer than that, borders in parts, packed, of two phases, dilated.
    *[Case((17, n), (1, k), padding=(0, k // 2), ic=2) for n in (30, 63, 65, 80, 141) for k in (2, 5)],
    *[Case((9, 150), (1, 4), (1, s), (0, 2), mode=mode, groups=2) for s in (1, 2) for mode in MODES],
    Case((20, 131), (1, 3), padding=(0, 4), dilation=(1, 3), batch=2, oc=2),
    # Dilation: bands of every so many-th row, fewer rows than that, lines where they stand and packed.
    *[Case((h, 20), (3, 2), padding=(d, 1), dilation=(d, 1), groups=3, oc=2) for d in (2, 3, 7) for h in (5, 17, 40)],
    *[Case((150, 40), (5, 5), padding=4, dilation=2, mode=mode, groups=2) for mode in MODES],
    # Volumes, plane by plane: taps of the depth outside, the same plane read by several, strips of tall planes, lines
    # where they stand and packed, strides that leave planes pieces of their own.
    *[
        Case((4, 9, n), (3, 3, 3), stride, 1, mode=mode, batch=2, groups=2, ic=2)
        for n in (5, 16, 33)
        for stride in (1, 2, (2, 1, 1))
        for mode in MODES
    ],
    *[Case((5, 17, 18), (k, 3, 2), padding=(k, 1, 0), dilation=(d, 1, 2), ic=3) for k in (1, 2, 5) for d in (1, 2)],
    Case((3, 70, 40), (3, 3, 3), padding=1, ic=33, oc=2),
    Case((6, 21, 19), (3, 5, 5), padding=((2, 0), (2, 2), (0, 3)), mode=("circular", "zeros", "reflect"), oc=4),
    Case((3, 9, 7), (2, 3, 3), padding=1, batch=3, groups=90),
    # Squares of a volume, the taps of its depth one after another: slices that read nothing, steps of any size, planes
    # packed and where they stand, more of them than are packed together.
    *[
        Case((5, 9, 18), (kd, k, k), (sd, s, s), (kd, pad, pad), (dd, 1, 1), batch=2, groups=19, oc=oc)
        for kd, sd, dd, oc in ((3, 1, 1, 1), (2, 2, 1, 2), (3, 1, 3, 1), (1, 1, 1, 1), (3, 3, 2, 1))
        for k, s, pad in ((3, 1, 1), (3, 1, 2), (3, 2, 1), (5, 1, 2))
    ],
    Case((7, 150, 40), (3, 3, 3), padding=(1, 2, 1), groups=3),
    # Volumes in lanes: strips of deep and of high ones, the last smaller; slices, rows and elements that nothing
    # reads, between others that are transposed with them or not; taps of every axis that meet padding alone.
    *[
        Case(size, k, s, pad, dilation=d, mode=mode, batch=2, groups=18)
        for size, k, s, pad, d in (
            ((5, 6, 7), (3, 3, 3), 1, 1, 1),
            ((6, 7, 5), (2, 3, 2), 2, (0, 1, 1), 1),
            ((9, 4, 13), (2, 2, 1), 4, 0, 1),
            ((7, 9, 6), (3, 3, 3), 3, 2, 2),
            ((8, 13, 19), (3, 3, 3), 1, 4, 4),
        )
        for mode in ("zeros", "reflect", "circular")
        if mode == "zeros" or size[0] < 8
    ],
    Case((21, 15, 14), (3, 3, 3), padding=1, groups=9),
    Case((5, 6, 7), (3, 2, 3), padding=1, groups=9, oc=2),
    Case((2, 3, 1100), (2, 2, 3), padding=(1, 0, 1), groups=9),
    # Elements one by one: a few columns of a row, one column of each, a few rows.
    *[
        Case(size, k, s, groups=18)
        for size in ((36, 7), (40, 30))
        for k, s in (((8, 1), 4), ((3, 2), (2, 6)), ((2, 2), 5))
    ],
    *[Case((4, 9, 17), (3, 3, 3), padding=1, mode=("zeros", mode, mode), groups=3) for mode in MODES],
    *[c for c in sample(77, 300) if c.nd >= 2 and c.ic * c.oc <= 4],
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_direction(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    assert_exact(case.forward(x, w, b, algorithm="depthwise"), case.expected_output(x, w, b), dtype)
    assert_exact(case.grad_input(g, w, algorithm="depthwise"), case.expected_grad_input(g, w), dtype)
    assert_exact(case.grad_weight(g, x, algorithm="depthwise"), case.expected_grad_weight(g, x), dtype)


SPREAD = [
    Case((9, 7), (3, 3), padding=1, batch=5, groups=37),
    Case((9, 7), (3, 3), 2, 1, batch=5, groups=37),
    Case((7, 7), (3, 3), padding=1, batch=5, groups=150),
    Case((14, 13), (3, 3), 2, 1, batch=5, groups=40),
    Case((7, 9), (5, 5), 2, 2, mode="reflect", batch=5, groups=150),
    Case((60,), (9,), padding=4, batch=5, groups=40),
    Case((17, 30), (5, 5), padding=2, batch=5, groups=3, oc=2),
    Case((18, 21), (3, 3), 2, 1, batch=5, groups=4),
    Case((19, 40), (3, 3), 2, batch=5, groups=4),
    Case((18, 35), (3, 3), 2, 1, mode="reflect", batch=5, groups=4),
    Case((60, 60), (3, 3), 2, 1, batch=5, groups=30),
    Case((18, 20), (3, 3), padding=1, batch=5, ic=6, oc=3),
    Case((150, 131), (3, 3), padding=1, batch=5, oc=2),
    Case((150, 131), (3, 3), padding=1, mode="symmetric", batch=5, ic=2),
    Case((14, 14), (3, 3), padding=1, mode="reflect", batch=5, groups=40),
    Case((41, 37), (5, 5), padding=2, batch=5, groups=12),
    Case((7, 7), (7, 7), padding=3, batch=5, groups=20),
    Case((2500,), (31,), padding=15, batch=5, groups=4),
    *[Case((n,), (9,), padding=4, batch=5) for n in (28, 40, 100, 250)],
    Case((65,), (20,), padding=9, batch=5, groups=2),
    Case((300, 30), (7, 7), padding=3, mode="reflect", batch=5),
    Case((40, 23), (5, 5), padding=2, batch=5, ic=6),
    Case((170, 23), (7, 7), padding=3, mode="replicate", batch=5, ic=3, oc=2),
    Case((6, 5), (3, 3), batch=5, ic=3),
    Case((30, 20), (3, 3), padding=3, dilation=3, batch=5, groups=3),
    Case((135, 131), (3, 3), padding=1, batch=5, groups=11),
    Case((4, 18, 20), (3, 3, 3), padding=1, batch=5, ic=3, oc=2),
    Case((7, 30, 24), (3, 3, 3), padding=(2, 1, 1), mode="reflect", batch=5, oc=3),
    Case((3, 40, 40), (3, 3, 3), padding=1, batch=5, ic=16),
    *[Case((5, 12, 17), (3, 3, 3), s, (2, 1, 1), batch=5, groups=18) for s in (1, 2)],
    Case((9, 7, 6), (3, 3, 3), 2, 1, mode="reflect", batch=5, groups=18),
    Case((21, 15, 14), (3, 2, 3), padding=1, batch=5, groups=18),
    Case((6, 20, 30), (5, 5, 5), padding=(2, 2, 0), dilation=(2, 1, 1), batch=5, groups=3, oc=2),
    # Rows of taps: in lanes, or in rows where the image is wide or its planes lie in one set of the cache.
    *[Case((h, w), (1, 3), padding=(0, 1), batch=5, groups=17) for h, w in ((20, 30), (32, 32), (16, 200))],
    # Planes times numbers: whole, in pieces, several channels of a group, one pixel.
    Case((12, 17), (1, 1), batch=5, groups=37),
    Case((130, 131), (1, 1), batch=5, groups=3),
    *[Case((12, 17), (1, 1), batch=5, groups=5, ic=ic, oc=oc) for ic, oc in ((2, 1), (1, 4), (2, 4))],
    *[Case((60, 60), (1, 1), batch=5, groups=2, ic=ic, oc=oc) for ic, oc in ((4, 1), (1, 3))],
    Case((1, 1), (1, 1), batch=5, groups=40),
    # A stride of three, of fewer channels than lanes.
    Case((40, 37), (3, 3), stride=3, padding=1, batch=5, groups=8),
    # Few pairs of channels, of one group or of several.
    *[Case((12, 17), k, batch=5, ic=8, oc=8) for k in ((3, 3), (1, 3), (3, 1))],
    *[Case((12, 17), (3, 3), padding=1, batch=5, groups=4, ic=ic, oc=oc) for ic, oc in ((2, 2), (8, 4))],
    *[Case((12, 17), (2, 2), batch=5, groups=4, ic=4, oc=ic) for ic in (2, 4)],
]


@pytest.mark.parametrize("algorithm", ["auto", "depthwise"])
@pytest.mark.parametrize("case", SPREAD, ids=str)
def test_threads_batch_and_layout_change_no_bit(case: Case, algorithm: str, dtype: Any) -> None:
    x, w, b, g = random(case, dtype)

    def everything(x: Array, w: Array, b: Array, g: Array) -> list[Array]:
        return [
            case.forward(x, w, b, algorithm=algorithm),
            case.grad_input(g, w, algorithm=algorithm),
            case.grad_weight(g, x, algorithm=algorithm),
        ]

    with fc.threads(1):
        expected = everything(x, w, b, g)
    with fc.threads(3):
        for got, e in zip(everything(x, w, b, g), expected, strict=True):
            assert_same_bits(got, e)
    for arrange in LAYOUTS.values():
        for got, e in zip(everything(*map(arrange, (x, w, b, g))), expected, strict=True):
            assert_same_bits(got, e)
    alone = Case(**{**vars_of(case), "batch": None})
    for i in range(5):
        assert_same_bits(alone.forward(x[i], w, b, algorithm=algorithm), expected[0][i])
        assert_same_bits(alone.grad_input(g[i], w, algorithm=algorithm), expected[1][i])


@pytest.mark.parametrize("steps", [(1, 1, 1, 1), (2, 1, -1, 3), (1, -2, 3, -1)])
@pytest.mark.parametrize("case", [c for c in SPREAD if c.nd == 2], ids=str)
def test_writes_the_output_and_nothing_else(case: Case, steps: tuple[int, ...], dtype: Any) -> None:
    assert_writes_the_output_alone(case, steps, dtype, "depthwise")


PIECES = [
    # Both phases of an odd width, where one alone is small.
    *[
        Case(size, (3, 3), stride, groups=2, ic=8)
        for size in ((31, 33), (33, 31), (16, 65), (64, 17))
        for stride in (2, (1, 2))
    ],
    # A volume that a stride of the depth cuts into planes, each of its own tap.
    Case((4, 11, 12), (5, 3, 3), (3, 1, 1), ((1, 1), (0, 0), (1, 1)), batch=2, groups=3),
    Case((3, 11, 12), (3, 3, 3), (3, 2, 2), groups=3),
    Case((3, 1, 2500), (3, 1, 6), (3, 1, 1), groups=2),
    *[Case((7, 8, 9), k, 3, groups=18) for k in ((1, 1, 2), (2, 1, 1), (4, 2, 3))],
    # A stride of two in a dx that is fetched ahead.
    Case((230, 230), (3, 3), 2, 1, groups=41),
]


@pytest.mark.parametrize("algorithm", ["auto", "depthwise"])
@pytest.mark.parametrize("case", PIECES, ids=str)
def test_every_piece_of_an_input_gradient_is_written(case: Case, algorithm: str, dtype: Any) -> None:
    _, w, _, g = case.data(dtype)
    out = np.full(case.input_shape, np.nan, dtype)
    expected = case.grad_input(g, w, algorithm="reference")
    assert_exact(case.grad_input(g, w, algorithm=algorithm, out=out), expected, dtype)


@pytest.mark.parametrize("padding", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(3, 2), (2, 2), (9, 2), (2, 5)])
def test_a_single_pair_of_columns_of_any_layout(size: tuple[int, int], padding: int, dtype: Any) -> None:
    w = np.arange(1, 10, dtype=dtype).reshape(1, 1, 3, 3)
    shape = fc.conv2d(np.zeros((1, 1, *size), dtype), w, stride=2, padding=padding).shape
    dy = np.arange(1, 1 + np.prod(shape), dtype=dtype).reshape(shape)
    apart = np.repeat(dy, 2, axis=-1)[..., ::2]
    for g in (dy, apart):
        dx = fc.conv2d_grad_input(g, w, size, stride=2, padding=padding)
        expected = fc.conv2d_grad_input(dy, w, size, stride=2, padding=padding, algorithm="reference")
        np.testing.assert_array_equal(dx, expected)


@pytest.mark.parametrize("place", [0, 64, 1024, 2112, 4032])
@pytest.mark.parametrize("width", [70, 530])
def test_rows_begin_anywhere_in_a_page(width: int, place: int, dtype: Any) -> None:
    """Which end of a row is the first depends on where x and y are, so that no load waits for a store."""

    def at(offset: int, values: Array) -> Array:
        memory = np.empty(values.nbytes + 8192, np.uint8)
        begin = -memory.ctypes.data % 4096 + offset
        there = memory[begin : begin + values.nbytes].view(dtype).reshape(values.shape)
        there[...] = values
        return there

    case = Case((23, width), (3, 3), padding=1, groups=2, ic=2)
    x, w, b, _ = case.data(dtype)
    expected = case.expected_output(x, w, b)
    out = at(place, np.full(expected.shape, np.nan, dtype))
    assert_exact(case.forward(at(0, x), w, b, algorithm="depthwise", out=out), expected, dtype)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [5, 7, 20])
def test_an_infinity_stays_where_it_is(width: int, stride: int, dtype: Any) -> None:
    """Planes share vectors, and rows end within them: what is not to be summed must not even be multiplied by zero."""
    case = Case((6, width), (3, 3), stride, groups=8)
    x, w, _, g = case.data(dtype)
    clean = case.grad_weight(g, x, algorithm="depthwise")
    x[0, 3] = np.inf
    y, dw = case.forward(x, abs(w) + 1, algorithm="depthwise"), case.grad_weight(g, x, algorithm="depthwise")
    assert (y[0, 3] == np.inf).all() and np.isfinite(np.delete(y[0], 3, axis=0)).all()
    assert not np.isfinite(dw[3]).any()
    assert_same_bits(np.delete(dw, 3, axis=0), np.delete(clean, 3, axis=0))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [5, 8, 12, 15, 20, 33, 50])
@pytest.mark.parametrize("height", [7, 10])
def test_an_infinity_reaches_the_taps_that_meet_it_alone(height: int, width: int, stride: int, dtype: Any) -> None:
    """What stands beside a line is loaded with it, and must not be left in a sum."""
    case = Case((height, width), (3, 3), stride, 1, groups=3)
    x, _, _, g = case.data(dtype)
    g = abs(g) + 1
    end = height - 1
    for row, column in ((0, width - 1), (3, 0), (3, width - 1), (4, 0), (end, 0), (end, width - 1)):
        infinite = x.copy()
        infinite[0, 1, row, column] = np.inf
        got, expected = (case.grad_weight(g, infinite, algorithm=a) for a in ("depthwise", "reference"))
        assert_same_bits(np.isfinite(got), np.isfinite(expected))
        assert_exact(got[[0, 2]], expected[[0, 2]], dtype)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(9, 3), (9, 7), (12, 20), (9, 50)])
def test_lines_in_one_place(shape: tuple[int, int], stride: int, dtype: Any) -> None:
    """Nothing but a line of memory: around it there is nothing to be read."""
    case = Case(shape, (3, 3), stride, 1, groups=2)
    x, w, _, g = case.data(dtype)
    line = np.broadcast_to(x[:, :, :1], x.shape)
    expected = case.grad_weight(g, line.copy(), algorithm="reference")
    assert_exact(case.grad_weight(g, line, algorithm="depthwise"), expected, dtype)
    assert_exact(
        case.forward(line, w, algorithm="depthwise"), case.forward(line.copy(), w, algorithm="reference"), dtype
    )


@pytest.mark.parametrize("activation", ["relu", "relu6", "tanh"])
@pytest.mark.parametrize("case", SPREAD[:3], ids=str)
def test_activations(case: Case, activation: str, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    plain = case.expected_output(x, w, b)
    expected = {"relu": np.maximum(plain, 0), "relu6": np.clip(plain, 0, 6), "tanh": np.tanh(plain)}[activation]
    got = case.forward(x, w, b, algorithm="depthwise", activation=activation)
    np.testing.assert_allclose(got, expected, rtol=8 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((1, 144, 56, 56), (144, 1, 3, 3), {"padding": 1, "groups": 144}),
        ((1, 144, 56, 56), (144, 1, 3, 3), {"padding": 1, "groups": 144, "stride": 2}),
        ((1, 960, 3, 3), (960, 1, 3, 3), {"padding": 1, "groups": 960}),
        ((1, 256, 1000), (256, 1, 31), {"padding": 15, "groups": 256}),
        ((1, 1, 1024, 1024), (2, 1, 3, 3), {"padding": 1}),
    ],
)
def test_auto_takes_it(direction: str, x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any]) -> None:
    plan = fc.explain(x, w, direction=direction, **options)
    if plan["isa"] == "v2" and x[1] == 1:
        return  # rows that are packed are as quick as tiles
    assert plan["algorithm"] == "depthwise"
    if x[-1] == 3:
        assert plan["kernel"] == "channel lanes"
    elif x[-1] == 1000:
        assert plan["kernel"] in ("channel lanes", "packed lines")
    elif x[1] == 1:
        assert plan["kernel"] in ("image rows", "packed image rows")
    asked = fc.explain(x, w, direction=direction, algorithm="depthwise", **options)
    assert asked["workspace_bytes"] == plan["workspace_bytes"] > 0
    assert fc.explain(x, w, direction=direction, algorithm="direct", **options)["algorithm"] == "direct"


@pytest.mark.parametrize(
    ("direction", "ic", "oc", "kernel"),
    [
        ("forward", 2, 6, (3, 3)),
        ("grad_input", 1, 8, (3, 3)),
        ("grad_weight", 8, 2, (3, 3)),
        ("grad_weight", 2, 2, (1, 3)),
    ],
)
def test_auto_takes_it_for_few_pairs_of_channels(direction: str, ic: int, oc: int, kernel: tuple[int, int]) -> None:
    def algorithm(groups: int) -> str:
        x, w = (1, ic * groups, 28, 28), (oc * groups, ic, *kernel)
        return str(fc.explain(x, w, groups=groups, padding="same", direction=direction)["algorithm"])

    if fc.explain((1, 1, 9, 9), (1, 1, 3, 3))["isa"] == "v4":  # has registers for it
        assert algorithm(1) == "depthwise"
        if direction == "grad_weight" and kernel != (3, 3):
            assert algorithm(16) == "direct"


@pytest.mark.parametrize(
    ("x", "w", "options", "takers"),
    [
        ((1, 128, 56, 56), (128, 4, 3, 3), {"padding": 1, "groups": 32}, ("v4",)),
        ((1, 1, 512, 512), (32, 1, 7, 7), {"padding": 3}, ()),
        (
            (1, 6, 32, 16),
            (6, 6, 3, 3),
            {"padding": 1, "padding_mode": "reflect", "direction": "grad_input"},
            ("v3", "v4"),
        ),
        ((1, 54, 16, 28, 28), (54, 1, 5, 1, 1), {"padding": (2, 0, 0), "groups": 54}, ()),
    ],
)
def test_auto_weighs_it_against_tiles(x: Any, w: Any, options: dict[str, Any], takers: tuple[str, ...]) -> None:
    """Rows of the image fill no tile of many outputs, and tiles are not filled by few."""
    plan = fc.explain(x, w, **options)
    if plan["isa"] in ("v2", "v3", "v4"):
        assert (plan["algorithm"] == "depthwise") == (plan["isa"] in takers)


@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
def test_small_images_at_a_stride_of_two_are_rows(direction: str) -> None:
    plan = fc.explain((1, 512, 14, 14), (512, 1, 3, 3), stride=2, padding=1, groups=512, direction=direction)
    assert plan["kernel"] == ("image rows" if plan["isa"] in ("v3", "v4") else "channel lanes")


@pytest.mark.parametrize(("width", "stride", "taken"), [(70, 2, True), (70, 4, True), (20, 4, False)])
@pytest.mark.parametrize("direction", ["forward", "grad_weight"])
def test_one_tap_passes_over_elements_of_planes(width: int, stride: int, taken: bool, direction: str) -> None:
    plan = fc.explain((1, 32, 9, width), (32, 1, 1, 1), stride=stride, groups=32, direction=direction)
    if plan["isa"] in ("v3", "v4"):
        assert (plan["kernel"] == "scaled planes") == taken


@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
def test_small_volumes_and_many_channels_are_left_to_others(direction: str) -> None:
    assert fc.explain((1, 1, 5, 6, 7), (1, 1, 3, 2, 3), direction=direction)["algorithm"] == "direct"
    assert fc.explain((1, 64, 20, 20), (48, 64, 5, 5), direction=direction)["algorithm"] != "depthwise"


@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
@pytest.mark.parametrize(("size", "stride"), [((16, 16, 16), 4), ((10, 10, 10), 1), ((4, 30, 30), 2), ((23, 35, 2), 2)])
def test_volumes_of_many_channels_are_lanes(size: tuple[int, ...], stride: int, direction: str) -> None:
    options: dict[str, Any] = {"stride": stride, "padding": 1, "groups": 48, "direction": direction}
    assert fc.explain((1, 48, *size), (48, 1, 3, 3, 3), **options)["kernel"] == "channel lanes"


@pytest.mark.parametrize("direction", ["forward", "grad_input"])
def test_large_slices_at_a_stride_of_one_are_not(direction: str) -> None:
    plan = fc.explain((1, 48, 8, 40, 40), (48, 1, 3, 3, 3), padding=1, groups=48, direction=direction)
    assert plan["kernel"] != "channel lanes"


def test_auto_takes_volumes_of_few_outputs() -> None:
    assert fc.explain((1, 16, 8, 40, 40), (1, 16, 3, 3, 3), padding=1)["algorithm"] == "depthwise"
    if fc.explain((1, 1, 9, 9), (1, 1, 3, 3))["isa"] in ("v3", "v4"):  # has kernels for squares
        plan = fc.explain((1, 16, 8, 28, 28), (16, 1, 3, 3, 3), padding=1, groups=16)
        assert (plan["algorithm"], plan["kernel"]) == ("depthwise", "image rows")


@pytest.mark.parametrize("algorithm", ["auto", "direct", "winograd", "fft", "depthwise", "reference"])
@pytest.mark.parametrize("groups", [1, 3])
def test_no_channels_to_sum(groups: int, algorithm: str) -> None:
    """Then there is no line either, and the direct engine writes biases and zeros."""
    x, w = np.zeros((2, 0, 7, 9), np.float32), np.zeros((6, 0, 3, 3), np.float32)
    bias = np.arange(6, dtype=np.float32)
    y = fc.conv2d(x, w, bias, 2, 1, 1, groups, algorithm=algorithm)
    assert_exact(y, np.broadcast_to(bias[:, None, None], (2, 6, 4, 5)), np.float32)
    assert fc.explain(x.shape, w.shape, 2, 1, 1, groups, algorithm=algorithm)["algorithm"] in ("direct", "reference")
    dx = fc.conv2d_grad_input(y[:, :0], np.zeros((0, 2, 3, 3), np.float32), (7, 9), 2, 1, algorithm=algorithm)
    assert_exact(dx, np.zeros((2, 2, 7, 9)), np.float32)


@pytest.mark.parametrize("stride", [1, 2])
def test_low_strips_of_a_large_image_change_no_bit(stride: int) -> None:
    shape, w_shape = (1, 1, 300, 7001), (1, 1, 3, 3)  # in memory, where a plane of 300 rows alone is in a cache
    x, w = (np.random.default_rng(5).standard_normal(s, np.float32) for s in (shape, w_shape))
    options: dict[str, Any] = {"padding": 1, "stride": stride}
    plans = [fc.explain((1, 1, 300, n), w_shape, **options) for n in (7001, 3000)]
    rows = [plan["block_pixels"] // plan["output_shape"][-1] for plan in plans]
    assert rows[0] < rows[1] or plans[0]["isa"] not in ("v3", "v4")
    large = fc.conv2d(x, w, **options)
    narrow = fc.conv2d(x[..., :3000], w, **options)
    np.testing.assert_array_equal(large[..., : narrow.shape[-1] - 1], narrow[..., :-1])
