"""The counters: every number of the lectures exactly, and connections against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from fastconv import analysis, conv2d

EDGE = ((1, 280, 320), (1, 1, 1, 2))
FILTERS = ((3, 32, 32), (6, 3, 5, 5))


def test_edge_detector_at_full_size() -> None:
    sides = analysis.compare(*EDGE, bias=False)
    assert sides.convolution.outputs == 319 * 280
    assert sides.convolution.multiply_add_ops == 267_960
    assert sides.convolution.flops == 357_280
    assert sides.convolution.macs == 178_640
    assert sides.convolution.parameters == 2
    assert sides.dense.flops == 16_006_144_000
    assert sides.dense.multiply_add_ops == 16_006_054_680
    assert sides.dense.parameters == 8_003_072_000
    assert sides.dense.macs // sides.convolution.macs == 44_800
    assert sides.dense.macs % sides.convolution.macs == 0
    assert round(sides.dense.flops / sides.convolution.multiply_add_ops) == 59_733
    assert sides.dense.weights * 4 == 32_012_288_000


def test_six_filters_of_5x5() -> None:
    sides = analysis.compare(*FILTERS)
    assert analysis.output_shape(*FILTERS) == (6, 28, 28)
    assert sides.convolution.inputs == 3072
    assert sides.convolution.outputs == 4704
    assert sides.convolution.parameters == 456
    assert sides.convolution.macs == 352_800
    assert sides.dense.macs == 14_450_688
    assert sides.dense.parameters == 14_455_392
    assert sides.dense.macs / sides.convolution.macs == 40.96


def test_sparsity_lowers_connections_and_sharing_lowers_parameters() -> None:
    sides = analysis.compare(*FILTERS)
    assert sides.dense.connections == 3072 * 4704
    assert sides.locally_connected.connections == sides.convolution.connections == 352_800
    assert sides.locally_connected.parameters == 352_800 + 4704
    assert sides.convolution.parameters == 456


def test_digits_by_a_dense_layer_of_ten() -> None:
    hidden = analysis.dense_cost(32 * 32, 10)
    assert hidden.parameters == 10_250
    assert hidden.parameters + analysis.dense_cost(10, 10).parameters == 10_360


def test_lenet_5_has_61706_parameters() -> None:
    convolutions = [((1, 32, 32), (6, 1, 5, 5)), ((6, 14, 14), (16, 6, 5, 5)), ((16, 5, 5), (120, 16, 5, 5))]
    total = sum(analysis.conv_cost(*shapes).parameters for shapes in convolutions)
    total += analysis.dense_cost(120, 84).parameters + analysis.dense_cost(84, 10).parameters
    assert total == 61_706


def test_convolution_as_a_matrix() -> None:
    """A 3x3 kernel on a 5x5 image is a 9 x 25 matrix with 81 entries that are not zero, 9 of them distinct."""
    sides = analysis.compare((1, 5, 5), (1, 1, 3, 3), bias=False)
    assert sides.dense.connections == 9 * 25
    assert sides.convolution.connections == 81
    assert sides.convolution.parameters == 9


def test_a_convolution_that_covers_its_input_is_a_dense_layer() -> None:
    sides = analysis.compare((16, 5, 5), (120, 16, 5, 5))
    assert sides.convolution == sides.dense == sides.locally_connected


def test_batch_multiplies_the_work_and_not_the_parameters() -> None:
    one, many = analysis.compare((3, 9, 8), (4, 3, 3, 2)), analysis.compare((7, 3, 9, 8), (4, 3, 3, 2))
    for name in ("dense", "locally_connected", "convolution"):
        a, b = getattr(one, name), getattr(many, name)
        assert (b.macs, b.inputs, b.outputs) == (7 * a.macs, 7 * a.inputs, 7 * a.outputs)
        assert (b.parameters, b.connections) == (a.parameters, a.connections)


def test_bytes_count_each_array_once() -> None:
    cost = analysis.conv_cost((2, 3, 8, 8), (5, 3, 3, 3))
    assert cost.bytes() == 4 * (2 * 3 * 64 + 5 * 27 + 5 + 2 * 5 * 36)
    assert cost.bytes(8) == 2 * cost.bytes()


GEOMETRIES = list(product([1, 2, 3], [0, 1, (2, 0), "same", "same_lower", "full", "valid"], [1, 2], [1, 2]))


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), GEOMETRIES)
def test_connections_and_sizes_are_those_of_the_operator(
    stride: int, padding: str | int | tuple[int, int], dilation: int, groups: int
) -> None:
    """The convolution of ones by ones counts, at each output, the inputs it reads."""
    pads = [padding, padding] if isinstance(padding, tuple) else padding
    ones = conv2d(np.ones((4, 7, 10)), np.ones((6, 4 // groups, 3, 2)), None, stride, pads, dilation, groups)
    arguments = ((4, 7, 10), (6, 4 // groups, 3, 2), stride, pads, dilation, groups)
    assert analysis.output_shape(*arguments) == ones.shape
    assert analysis.conv_cost(*arguments).connections == ones.sum()


@pytest.mark.parametrize("padding", ["causal", "same", [(3, 1)], 5])
def test_one_dimension(padding: str | int | list[tuple[int, int]]) -> None:
    from fastconv import conv1d

    ones = conv1d(np.ones((2, 1, 6)), np.ones((1, 1, 4)), None, 2, padding)
    assert analysis.output_shape((2, 1, 6), (1, 1, 4), 2, padding) == ones.shape
    assert analysis.conv_cost((2, 1, 6), (1, 1, 4), 2, padding).connections == ones[0].sum()


def test_numbers_of_numpy() -> None:
    two = np.int64(2)
    numpy_s = analysis.output_shape((1, 9, 9), (1, 1, 3, 3), stride=two, padding=two, dilation=two)
    assert numpy_s == analysis.output_shape((1, 9, 9), (1, 1, 3, 3), stride=2, padding=2, dilation=2)


@pytest.mark.parametrize(
    ("layers", "size", "jump"),
    [
        ([], 1, 1),
        ([(3,)], 3, 1),
        ([(3,), (3,)], 5, 1),
        ([(3, 1, 2), (3, 1, 4)], 13, 1),
        ([(5,), (2, 2), (5,), (2, 2), (5,)], 32, 4),  # LeNet-5: one output of C5 sees the whole 32-pixel row
        ([analysis.Window(7, 2), analysis.Window(3, 2)], 11, 4),
    ],
)
def test_receptive_field(layers: list[tuple[int, ...]], size: int, jump: int) -> None:
    assert analysis.receptive_field(layers) == analysis.ReceptiveField(size, jump)


@pytest.mark.parametrize("layers", [[(3,), (3, 2)], [(5, 2), (3, 1, 2)], [(2, 2), (3,), (2, 2)]])
def test_receptive_field_is_the_support_of_the_gradient(layers: list[tuple[int, ...]]) -> None:
    from fastconv import conv1d, conv1d_grad_input

    sizes, options = [(1, 64)], []
    for kernel, stride, dilation in ((*layer, 1, 1)[:3] for layer in layers):
        options.append((np.ones((1, 1, kernel)), stride, dilation))
        sizes.append(conv1d(np.ones(sizes[-1]), options[-1][0], None, stride, 0, dilation).shape)
    grad = np.zeros(sizes[-1])
    grad[0, grad.shape[1] // 2] = 1
    for (weight, stride, dilation), shape in zip(reversed(options), reversed(sizes[:-1]), strict=True):
        grad = conv1d_grad_input(grad, weight, shape, stride, 0, dilation)
    touched = np.flatnonzero(grad)
    assert analysis.receptive_field(layers).size == touched[-1] - touched[0] + 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analysis.conv_cost((3, 4, 4), (2, 3, 5, 5)), r"kernel \(5, 5\)"),
        (lambda: analysis.conv_cost((3, 4, 4), (2, 2, 3, 3)), "groups=1"),
        (lambda: analysis.conv_cost((4, 4), (2, 1, 3, 3)), r"input_shape.*\(4, 4\)"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1)), r"weight_shape.*\(2, 1\)"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1, 3, 3), stride=0), "stride.*0"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1, 3, 3), padding="sam"), "padding.*'sam'"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1, 3, 3), padding=-1), "padding.*-1"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1, 3, 3), padding=[(1, 2, 3), 0]), r"padding.*\(1, 2, 3\)"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1, 3, 3), padding="causal"), "causal"),
        (lambda: analysis.dense_cost(0, 4), "in_features"),
        (lambda: analysis.receptive_field([(3, 0)]), r"layers\[0\].stride must be at least 1, got 0"),
        (lambda: analysis.receptive_field([(3, 1), ()]), r"layers\[1\] must be \(kernel, .*, got \(\)"),
        (lambda: analysis.receptive_field([(3, 1, 1, 1)]), r"layers\[0\] must be .*, got \(3, 1, 1, 1\)"),
    ],
)
def test_errors_name_the_argument(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analysis.conv_cost(3, (2, 1, 3, 3)), "input_shape must be a sequence of integers, got 3"),
        (lambda: analysis.receptive_field(3), r"layers must be an iterable of Window or .*, got 3"),
        (lambda: analysis.receptive_field([3]), r"layers\[0\] must be a sequence of integers, got 3"),
        (lambda: analysis.receptive_field([(3, 1.5)]), r"layers\[0\] must be a sequence of integers, got \(3, 1.5\)"),
        (lambda: analysis.receptive_field([analysis.Window("3")]), r"layers\[0\].kernel must be an integer, got '3'"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1, 3, 3.0)), r"weight_shape must be a sequence .*3\.0"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1, 3, 3), stride=1.5), "stride must be .*1.5"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1, 3, 3), padding=None), "padding must be .*None"),
        (lambda: analysis.conv_cost((1, 4, 4), (2, 1, 3, 3), groups="1"), "groups must be an integer, got '1'"),
        (lambda: analysis.dense_cost(4.0, 4), "in_features must be an integer, got 4.0"),
    ],
)
def test_other_types_are_named_too(call: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()  # type: ignore[operator]
