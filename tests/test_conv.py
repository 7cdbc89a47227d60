"""The forward call against the oracle, exactly, on small integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from arrays import LAYOUTS, Array, Guarded, assert_exact, integers
from cases import CONV, EMPTY, LAYOUT_CASES, MODE_CASES, UGLY, Case, sample

import fastconv as fc

ALL = [*UGLY, *EMPTY, *MODE_CASES, *sample(1, 250)]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_forward(case: Case, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    assert_exact(case.forward(x, w, b), case.expected_output(x, w, b), dtype)


@pytest.mark.parametrize("case", sample(2, 30), ids=str)
def test_without_bias(case: Case, dtype: Any) -> None:
    x, w, _, _ = case.data(dtype)
    assert_exact(case.forward(x, w), case.expected_output(x, w), dtype)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "reference"])
@pytest.mark.parametrize("case", [*sample(3, 20), MODE_CASES[8], UGLY[-5]], ids=str)
def test_algorithms(case: Case, algorithm: str, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    assert_exact(case.forward(x, w, b, algorithm=algorithm), case.expected_output(x, w, b), dtype)


# --- padding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("padding", "stride", "expected"),
    [
        ("valid", 1, 8),
        ("valid", 3, 3),
        ("same", 1, 10),
        ("same", 3, 4),
        ("same_lower", 4, 3),
        ("full", 1, 12),
        ("causal", 1, 10),
        ("causal", 2, 5),
        (2, 1, 12),
        ([2], 1, 12),
        (((2, 1),), 1, 11),
        (np.int64(1), 1, 10),
        (np.array([1]), 1, 10),
        (np.array([[1, 0]]), 1, 9),
    ],
    ids=str,
)
def test_padding_forms(padding: Any, stride: int, expected: int) -> None:
    x, w = np.ones((1, 1, 10)), np.ones((1, 1, 3))
    assert fc.conv1d(x, w, stride=stride, padding=padding).shape == (1, 1, expected)


def test_the_odd_element_of_same() -> None:
    x, w = np.array([[[1.0, 2, 3, 4]]]), np.array([[[1.0, 10]]])
    assert fc.conv1d(x, w, padding="same").ravel().tolist() == [21, 32, 43, 4]
    assert fc.conv1d(x, w, padding="same_lower").ravel().tolist() == [10, 21, 32, 43]


def test_causal_sees_no_future() -> None:
    x = np.zeros((1, 1, 20))
    x[..., 7] = 1
    y = fc.conv1d(x, np.ones((1, 1, 3)), padding="causal", dilation=2).ravel()
    assert np.flatnonzero(y).tolist() == [7, 9, 11]


@pytest.mark.parametrize(
    ("name", "ours"), [("constant", "zeros"), ("edge", "replicate"), ("wrap", "circular")], ids=lambda v: v
)
def test_names_of_numpy(name: str, ours: str) -> None:
    x, w = np.arange(12.0).reshape(1, 3, 4), np.arange(9.0).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(
        fc.conv2d(x, w, padding=2, padding_mode=name), fc.conv2d(x, w, padding=2, padding_mode=ours)
    )


@pytest.mark.parametrize("mode", oracle.MODES)
def test_padding_is_never_seen_where_there_is_none(mode: str, dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (2, 3, 6, 7), dtype), integers(rng, (4, 3, 3, 3), dtype)
    np.testing.assert_array_equal(fc.conv2d(x, w, padding_mode=mode), fc.conv2d(x, w))


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_unbatched_is_a_batch_of_one(nd: int, dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (3, 5, 6, 7)[: nd + 1], dtype), integers(rng, (4, 3, 2, 3, 3)[: nd + 2], dtype)
    np.testing.assert_array_equal(CONV[nd](x, w, padding=1), CONV[nd](x[None], w, padding=1)[0])


def test_empty_batch_has_a_shape(dtype: Any) -> None:
    y = fc.conv2d(np.empty((0, 3, 8, 9), dtype), np.ones((5, 3, 3, 3), dtype))
    assert y.shape == (0, 5, 6, 7) and y.dtype == dtype


def test_no_input_channels_leave_the_bias(dtype: Any) -> None:
    b = np.array([1, -2, 3], dtype)
    y = fc.conv1d(np.empty((2, 0, 5), dtype), np.empty((3, 0, 2), dtype), b)
    np.testing.assert_array_equal(y, np.broadcast_to(b[:, None], (2, 3, 4)))


# --- memory of the arguments ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=str)
def test_any_layout_of_the_arguments(case: Case, layout: str, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    expected, arrange = case.expected_output(x, w, b), LAYOUTS[layout]
    for args in ((arrange(x), w, b), (x, arrange(w), b), (x, w, arrange(b)), (arrange(x), arrange(w), arrange(b))):
        assert_exact(case.forward(*args), expected, dtype)


@pytest.mark.parametrize("case", LAYOUT_CASES, ids=str)
def test_zero_strides(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for axis in range(len(case.input_shape)):
        shape = [1 if i == axis else n for i, n in enumerate(case.input_shape)]
        x = np.broadcast_to(integers(rng, shape, dtype), case.input_shape)
        w = np.broadcast_to(integers(rng, (1, *case.weight_shape[1:]), dtype), case.weight_shape)
        b = np.broadcast_to(dtype(3), case.weight_shape[:1])
        assert_exact(case.forward(x, w, b), case.expected_output(x, w, b), dtype)


def test_windows_that_overlap_in_memory(dtype: Any, rng: np.random.Generator) -> None:
    line = integers(rng, (40,), dtype)
    x = np.lib.stride_tricks.as_strided(line, (3, 5, 20), (line.itemsize, 2 * line.itemsize, line.itemsize))
    w = integers(rng, (2, 3, 3, 3), dtype)
    assert_exact(fc.conv2d(x, w, padding=1), fc.conv2d(x.copy(), w, padding=1), dtype)


def test_strides_beyond_two_to_the_31(tmp_path: Path) -> None:
    # A sparse file: its few pages that are touched exist, the gigabytes between them do not.
    base = np.memmap(tmp_path / "sparse", np.float32, "w+", shape=(3 << 30,))
    x = np.lib.stride_tricks.as_strided(base, (3, 2, 9), (4 * 64, 4 * (5 << 29), 4))  # rows 2.5 G elements apart
    x[...] = np.arange(54).reshape(x.shape) % 7
    w = np.arange(2 * 3 * 2 * 3, dtype=np.float32).reshape(2, 3, 2, 3) % 5
    np.testing.assert_array_equal(fc.conv2d(x, w, padding=(0, 1)), fc.conv2d(x.copy(), w, padding=(0, 1)))


def test_arguments_are_left_alone(dtype: Any) -> None:
    case = LAYOUT_CASES[1]
    x, w, b, _ = case.data(dtype)
    before = [a.copy() for a in (x, w, b)]
    case.forward(x, w, b, activation="relu")
    for now, then in zip((x, w, b), before, strict=True):
        np.testing.assert_array_equal(now, then)


# --- out= -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 3, -1, -2])
@pytest.mark.parametrize("axis", [0, 1, 2, 3, None], ids=lambda a: "all" if a is None else f"axis{a}")
@pytest.mark.parametrize(
    "case",
    [
        Case((7, 19), (3, 3), 1, 1, batch=2, ic=3, oc=5),
        Case((9, 33), (3, 3), 2, 1, batch=2, groups=6, mode="reflect"),
        Case((5, 17), (1, 1), batch=2, ic=9, oc=17),
    ],
    ids=str,
)
def test_out(case: Case, axis: int | None, step: int, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    steps = [step if axis in (None, i) else 1 for i in range(4)]
    out = Guarded(case.output_shape, dtype, steps)
    assert case.forward(x, w, b, out=out.view) is out.view
    assert_exact(np.ascontiguousarray(out.view), case.expected_output(x, w, b), dtype)
    out.assert_intact()


@pytest.mark.parametrize("case", [*EMPTY, *sample(4, 60)], ids=str)
def test_nothing_is_written_beside_out(case: Case, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    out = Guarded(case.output_shape, dtype)
    case.forward(x, w, b, out=out.view)
    np.testing.assert_array_equal(out.view, case.expected_output(x, w, b))
    out.assert_intact()


def test_out_transposed(dtype: Any, rng: np.random.Generator) -> None:
    x, w = integers(rng, (2, 3, 8, 9), dtype), integers(rng, (4, 3, 3, 3), dtype)
    channels_last = np.full((2, 6, 7, 4), np.nan, dtype)
    fc.conv2d(x, w, out=channels_last.transpose(0, 3, 1, 2))
    assert_exact(np.ascontiguousarray(channels_last.transpose(0, 3, 1, 2)), fc.conv2d(x, w), dtype)


# --- activations ------------------------------------------------------------------------------------------------------

ACTIVATIONS = ("relu", "leaky_relu", "relu6", "elu", "sigmoid", "tanh")


def assert_close_to_activation(got: Array, sums: Array, name: str) -> None:
    eps = np.finfo(got.dtype).eps
    np.testing.assert_allclose(got, oracle.activate(name, sums), rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(
    "case",
    [
        Case((7, 19), (3, 3), 1, 1, batch=2, ic=3, oc=5),
        Case((9, 33), (3, 3), 2, 1, batch=2, groups=6, mode="reflect"),
        Case((5, 17), (1, 1), batch=2, ic=40, oc=17),
        Case((41,), (3,), ic=300, oc=2),  # long reductions are done in blocks: the activation comes after the last
    ],
    ids=str,
)
def test_activation(case: Case, name: str, dtype: Any) -> None:
    x, w, b, _ = case.data(dtype)
    for bias in (b, None):
        sums = case.expected_output(x, w, bias)
        assert (sums < 0).any() and (sums > 6).any()
        assert_close_to_activation(case.forward(x, w, bias, activation=name), sums, name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_over_the_whole_range(name: str, dtype: Any) -> None:
    values = np.concatenate([np.linspace(-12, 12, 2001), [-1e30, -745.2, -104, -89, -88, 0, 88, 89, 104, 1e30]])
    x = values.astype(dtype).reshape(1, 1, -1)
    got = fc.conv1d(x, np.ones((1, 1, 1), dtype), activation=name)
    assert_close_to_activation(got, x.astype(np.float64), name)


@pytest.mark.parametrize("name", [None, *ACTIVATIONS])
def test_nan_goes_through_activations(name: str | None, dtype: Any) -> None:
    x = np.ones((1, 1, 40), dtype)
    x[..., 17] = np.nan
    y = fc.conv1d(x, np.ones((1, 1, 1), dtype), activation=name)
    assert np.flatnonzero(np.isnan(y)).tolist() == [17]


def test_none_is_a_name_of_no_activation() -> None:
    x, w = -np.ones((1, 1, 3)), np.ones((1, 1, 1))
    assert (fc.conv1d(x, w, activation="none") == fc.conv1d(x, w, activation=None)).all()


# --- values that are no numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_bad_pixel_reaches_only_the_outputs_that_see_it(value: float, stride: int, dtype: Any) -> None:
    case = Case((11, 23), (3, 3), stride, 1, ic=3, oc=4)
    x, w, _, _ = case.data(dtype)
    w = abs(w) + 1
    x[0, 1, 5, 7] = value
    seen = np.zeros_like(x, dtype=np.float64)
    seen[0, 1, 5, 7] = 1
    touched = case.expected_output(seen, w) != 0
    assert (np.isfinite(case.forward(x, w, algorithm="direct")) == ~touched).all()


# Winograd, transforms of small and of large tiles, channels in lanes, lines, batches in lanes, cells, dense layers.
@pytest.mark.parametrize(
    "case",
    [
        Case((20, 17), (3, 3), 1, 1, batch=3, ic=32, oc=32),
        Case((30, 30), (3, 3), 2, 1, batch=3, ic=32, oc=32),
        Case((37, 41), (31, 31), 1, 15, batch=3),
        Case((40, 40), (15, 15), 1, 7, batch=3, groups=4, mode="reflect"),
        Case((500,), (65,), 1, 32, batch=4, ic=2, oc=3),
        Case((9, 9), (3, 3), 1, 1, batch=3, groups=40),
        Case((300,), (31,), 1, 15, batch=3, groups=40),
        Case((12, 12), (5, 5), 1, 2, batch=64, oc=6),
        Case((32, 32), (4, 4), 4, 0, batch=3, ic=3, oc=40),
        Case((5, 5), (5, 5), 1, 0, batch=3, ic=16, oc=40),
    ],
    ids=str,
)
def test_a_bad_image_reaches_no_other(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    bad_x, bad_g = x.copy(), g.copy()
    bad_x[1] = bad_g[1] = np.nan
    for got, expected in (
        (case.forward(bad_x, w, b), case.forward(x, w, b)),
        (case.grad_input(bad_g, w), case.grad_input(g, w)),
    ):
        assert np.isnan(got[1]).any()
        np.testing.assert_array_equal(np.delete(got, 1, 0), np.delete(expected, 1, 0))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shape", [(64, 16, 5, 5), (3, 7, 3, 3), (1, 1, 4, 4), (2, 3, 1, 5)], ids=str)
def test_kernel_of_the_size_of_the_image(
    shape: tuple[int, ...], flip: bool, dtype: Any, rng: np.random.Generator
) -> None:
    """A dense layer by another name, in any layout of the image, forward and backward."""
    x = rng.integers(-3, 4, shape).astype(dtype)
    w = rng.integers(-3, 4, (11, *shape[1:])).astype(dtype)
    b = rng.integers(-3, 4, 11).astype(dtype)
    y = fc.conv2d(x, w, b, flip=flip)
    matrix = (w[..., ::-1, ::-1] if flip else w).reshape(11, -1)
    np.testing.assert_array_equal(y.reshape(len(x), 11), x.reshape(len(x), -1) @ matrix.T + b)
    np.testing.assert_array_equal(fc.conv2d(np.asfortranarray(x), w, b, flip=flip), y)
    gradient = fc.conv2d_grad_input(y, w, x.shape, flip=flip)
    np.testing.assert_array_equal(gradient.reshape(len(x), -1), y.reshape(len(x), 11) @ matrix)
    out = np.full(x.shape, np.nan, dtype, order="F")
    np.testing.assert_array_equal(fc.conv2d_grad_input(y, w, x.shape, flip=flip, out=out), gradient)


# Every fourth element of a line, all four residues or some, in whatever order padding leaves them, with lines of less
# and of more than a vector.
@pytest.mark.parametrize("pad", [0, 1, 2, 3, ((0, 1), (2, 0))], ids=str)
@pytest.mark.parametrize("kernel", [3, 4, 5, 7])
@pytest.mark.parametrize("width", [19, 64, 67, 141])
def test_a_stride_of_four(width: int, kernel: int, pad: Any, dtype: Any) -> None:
    case = Case((13, width), (kernel, kernel), 4, pad, batch=2, ic=3, oc=9)
    x, w, b, _ = case.data(dtype)
    assert_exact(case.forward(x, w, b, algorithm="direct"), case.expected_output(x, w, b), dtype)
