"""fastconv.torch: its functions against torch.nn.functional, and its operators in autograd and the compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as fc

torch = pytest.importorskip("torch")
ft: Any = pytest.importorskip("fastconv.torch")
F: Any = torch.nn.functional

from fastconv.torch import convolution, resampling  # noqa: E402

DTYPES = {np.float32: torch.float32, np.float64: torch.float64}
SPATIAL = {1: (11,), 2: (9, 10), 3: (6, 5, 7)}


def integers(*shape: int, dtype: Any = torch.float32, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed + len(shape) + sum(shape))
    return torch.randint(-4, 5, shape, generator=generator).to(dtype)


def distinct(*shape: int, dtype: Any = torch.float64) -> Any:
    """No two elements alike, so that maxima have a derivative."""
    generator = torch.Generator().manual_seed(sum(shape))
    count = int(np.prod(shape))
    return (torch.randperm(count, generator=generator).to(dtype) / count - 0.5).reshape(shape)


def assert_same(got: Any, expected: Any) -> None:
    if isinstance(expected, tuple):
        assert isinstance(got, tuple)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other)
        return
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def gradients(function: Callable[..., Any], inputs: list[Any]) -> list[Any]:
    """Of a sum with weights that tell the elements apart."""
    leaves = [t.clone().requires_grad_() for t in inputs]
    result = function(*leaves)
    result = result[0] if isinstance(result, tuple) else result
    result.backward(integers(*result.shape, dtype=result.dtype, seed=9))
    return [leaf.grad for leaf in leaves]


def compare(ours: Callable[..., Any], theirs: Callable[..., Any], *inputs: Any) -> None:
    """The same result, and the same gradients, as PyTorch's."""
    assert_same(ours(*inputs), theirs(*inputs))
    assert_same(tuple(gradients(ours, list(inputs))), tuple(gradients(theirs, list(inputs))))


# The functions, with PyTorch's arguments. All data are small integers, all results exact.

CONV_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stride": {"stride": 2, "padding": 1},
    "dilation": {"dilation": 2, "padding": 2},
    "groups": {"groups": 2, "padding": 1},
    "depthwise": {"groups": 4, "padding": 1},
    "same": {"padding": "same"},
    "sequence of one": {"stride": (2,), "padding": [1]},
}


@pytest.mark.parametrize("options", CONV_OPTIONS.values(), ids=CONV_OPTIONS)
@pytest.mark.parametrize("nd", [1, 2, 3])
def test_convolution(nd: int, options: dict[str, Any], dtype: Any) -> None:
    kind = DTYPES[dtype]
    x = integers(2, 4, *SPATIAL[nd], dtype=kind)
    w, b = integers(8, 4 // options.get("groups", 1), *[3] * nd, dtype=kind), integers(8, dtype=kind)
    name = f"conv{nd}d"
    compare(
        lambda x, w, b: getattr(ft, name)(x, w, b, **options),
        lambda x, w, b: getattr(F, name)(x, w, b, **options),
        *(x, w, b),
    )
    compare(
        lambda x, w: getattr(ft, name)(x, w, **options), lambda x, w: getattr(F, name)(x, w, **options), x[0], w
    )  # one image, no bias


TRANSPOSE_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stride": {"stride": 2, "padding": 1, "output_padding": 1},
    "groups": {"groups": 2, "stride": 2},
    "dilation": {"dilation": 2, "padding": 1},
    "output padding of a stride": {"dilation": 3, "stride": 2, "output_padding": 2},
    "output padding of what padding takes": {"dilation": 2, "padding": 1, "output_padding": 1},
    "output padding of more than it takes": {"dilation": 3, "padding": 1, "output_padding": 2},
}


@pytest.mark.parametrize("options", TRANSPOSE_OPTIONS.values(), ids=TRANSPOSE_OPTIONS)
@pytest.mark.parametrize("nd", [1, 2, 3])
def test_transposed_convolution(nd: int, options: dict[str, Any]) -> None:
    x, w, b = integers(2, 4, *SPATIAL[nd]), integers(4, 2, *[3] * nd), integers(2 * options.get("groups", 1))
    name = f"conv_transpose{nd}d"
    compare(
        lambda x, w, b: getattr(ft, name)(x, w, b, **options),
        lambda x, w, b: getattr(F, name)(x, w, b, **options),
        *(x, w, b),
    )


POOLS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "max": ("max_pool", (2,), {}),
    "max overlapping": ("max_pool", (3, 2, 1), {"ceil_mode": True}),
    "max dilated": ("max_pool", (2, 1), {"dilation": 2, "return_indices": True}),
    "max of an empty stride": ("max_pool", (2, ()), {}),
    "avg": ("avg_pool", (2,), {}),
    "avg padded": ("avg_pool", (2, 2, 1), {"ceil_mode": True, "count_include_pad": False}),
    "adaptive avg": ("adaptive_avg_pool", (2,), {}),
    "adaptive max": ("adaptive_max_pool", (3,), {}),
    "adaptive max indices": ("adaptive_max_pool", (3,), {"return_indices": True}),
}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("nd", [1, 2, 3])
def test_pools(nd: int, pool: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
    name, arguments, options = pool
    if name == "avg_pool" and nd > 1:
        options = options | {"divisor_override": 4}
    x = 8 * integers(2, 3, *[8] * nd) if "avg" in name else 1000 * distinct(2, 3, *SPATIAL[nd], dtype=torch.float32)
    name += f"{nd}d"
    compare(
        lambda x: getattr(ft, name)(x, *arguments, **options),
        lambda x: getattr(F, name)(x, *arguments, **options),
        x,
    )


def test_adaptive_size_of_none() -> None:
    x = integers(2, 3, 8, 6)
    assert_same(ft.adaptive_avg_pool2d(x, (None, 1)).shape, torch.Size([2, 3, 8, 1]))
    assert_same(ft.adaptive_max_pool2d(x, (4, None)), F.adaptive_max_pool2d(x, (4, None)))


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_lp_pool(nd: int) -> None:
    x = distinct(2, 3, *SPATIAL[nd])
    ours, theirs = (gradients(lambda x, m=m: getattr(m, f"lp_pool{nd}d")(x, 2, 2), [x])[0] for m in (ft, F))
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(getattr(ft, f"lp_pool{nd}d")(x, 4, 3, 2), getattr(F, f"lp_pool{nd}d")(x, 4.0, 3, 2))


@pytest.mark.parametrize("nd", [2, 3])
def test_fractional_pool(nd: int) -> None:
    x = distinct(2, 3, *[9] * nd)
    samples = torch.rand(2, 3, nd, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    options = {"output_size": 4, "return_indices": True, "_random_samples": samples}
    name = f"fractional_max_pool{nd}d"
    compare(lambda x: getattr(ft, name)(x, 2, **options), lambda x: getattr(F, name)(x, 2, **options), x)
    torch.manual_seed(5)
    ours = getattr(ft, name)(x, 2, output_ratio=(0.5,) * nd)
    torch.manual_seed(5)
    assert_same(ours, getattr(F, name)(x, 2, output_ratio=(0.5,) * nd))


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_unpooling(nd: int) -> None:
    x, indices = getattr(F, f"max_pool{nd}d")(distinct(2, 3, *[8] * nd), 2, return_indices=True)
    for size in (None, [9] * nd):
        compare(
            lambda x: getattr(ft, f"max_unpool{nd}d")(x, indices, 2, output_size=size),  # noqa: B023
            lambda x: getattr(F, f"max_unpool{nd}d")(x, indices, 2, output_size=size),  # noqa: B023
            x,
        )


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad(mode: str) -> None:
    x, amounts = integers(2, 3, 5, 6), (1, 2, 3, 0)
    compare(lambda x: ft.pad(x, amounts, mode), lambda x: F.pad(x, amounts, mode), x)
    if mode == "constant":
        compare(lambda x: ft.pad(x, (1, -2), value=7.0), lambda x: F.pad(x, (1, -2), value=7.0), x)


def test_windows() -> None:
    x, options = integers(2, 3, 8, 9), {"dilation": 2, "padding": 1, "stride": 2}
    compare(lambda x: ft.unfold(x, 3, **options), lambda x: F.unfold(x, 3, **options), x)
    columns = F.unfold(x, (3, 2), **options)
    compare(lambda c: ft.fold(c, (8, 9), (3, 2), **options), lambda c: F.fold(c, (8, 9), (3, 2), **options), columns)


def test_channel_max_pool() -> None:
    x = distinct(2, 6, 4, 5)
    compare(lambda x: ft.channel_max_pool(x, 3), lambda x: x.unflatten(1, (2, 3)).amax(2), x)
    _, winners = ft.channel_max_pool(x[0], 3, True, dims=2)
    assert_same(x[0].gather(0, winners), ft.channel_max_pool(x, 3)[0])


# Ours beyond PyTorch's


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_fused_padding(mode: str) -> None:
    x, w = integers(2, 3, 6, 7), integers(4, 3, 3, 3)
    compare(
        lambda x, w: ft.conv2d(x, w, padding=((2, 1), (0, 2)), padding_mode=mode),
        lambda x, w: F.conv2d(F.pad(x, (0, 2, 2, 1), mode), w),
        *(x, w),
    )


def test_a_mode_for_each_axis() -> None:
    x, w = integers(2, 3, 6, 7), integers(4, 3, 3, 3)
    padded = F.pad(F.pad(x, (1, 1, 0, 0), "circular"), (0, 0, 1, 1))
    assert_same(ft.conv2d(x, w, padding=1, padding_mode=("zeros", "circular")), F.conv2d(padded, w))


@pytest.mark.parametrize("padding", ["valid", "same", "same_lower", "full"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_by_name(padding: str, stride: int) -> None:
    x, w = integers(2, 3, 7, 10), integers(4, 3, 3, 4)
    expected = fc.conv2d(x.numpy(), w.numpy(), stride=stride, padding=padding)
    got = ft.conv2d(x, w, stride=stride, padding=padding)
    assert_same(got, torch.from_numpy(expected))


@pytest.mark.parametrize("padding", ["valid", "same", "same_lower", "full"])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_transposed_padding_by_name(padding: str, stride: int) -> None:
    x, w = integers(2, 3, 7, 10), integers(3, 4, 3, 2)
    expected = fc.conv_transpose2d(x.numpy(), w.numpy(), stride=stride, padding=padding)
    assert_same(ft.conv_transpose2d(x, w, stride=stride, padding=padding), torch.from_numpy(expected))
    wanted = fc.conv_transpose2d_backward(2 * expected, x.numpy(), w.numpy(), stride=stride, padding=padding)
    leaves = [t.clone().requires_grad_() for t in (x, w)]
    ft.conv_transpose2d(*leaves, stride=stride, padding=padding).square().sum().backward()
    assert_same(tuple(t.grad for t in leaves), tuple(map(torch.from_numpy, wanted[:2])))


def test_transposed_options_that_do_not_go_together() -> None:
    x, w = integers(1, 3, 5, 5), integers(3, 4, 3, 3)
    with pytest.raises(ValueError, match="output_padding must be 0 with padding='same', got 1"):
        ft.conv_transpose2d(x, w, stride=2, padding="same", output_padding=1)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 0), (1, (0, 2))])
def test_transposed_output_padding_of_a_stride_in_every_mode(mode: str, stride: int, padding: Any) -> None:
    leaves = [t.double().requires_grad_() for t in (integers(2, 2, 4, 5), integers(2, 3, 2, 3))]
    options: Any = {"stride": stride, "padding": padding, "dilation": 3, "output_padding": 2, "padding_mode": mode}
    expected = fc.conv_transpose2d(*(t.detach().numpy() for t in leaves), **options)
    assert_same(ft.conv_transpose2d(*leaves, **options).detach(), torch.from_numpy(expected))
    assert torch.autograd.gradcheck(lambda x, w: ft.conv_transpose2d(x, w, **options), leaves)
    assert torch.autograd.gradgradcheck(lambda x, w: ft.conv_transpose2d(x, w, **options), leaves)


def test_causal_and_flipped() -> None:
    x, w = integers(2, 3, 9), integers(4, 3, 4)
    compare(
        lambda x, w: ft.conv1d(x, w, padding="causal", flip=True),
        lambda x, w: F.conv1d(F.pad(x, (3, 0)), w.flip(2)),
        x,
        w,
    )


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "relu6": F.relu6,
    "elu": F.elu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_fused_activation(name: str) -> None:
    x, w, b = distinct(2, 3, 6, 7), 3 * distinct(4, 3, 3, 3), distinct(4)
    after = ACTIVATIONS[name]
    for ours, theirs in zip(
        gradients(lambda *t: ft.conv2d(*t, activation=name), [x, w, b]),
        gradients(lambda *t: after(F.conv2d(*t)), [x, w, b]),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(ft.conv2d(x, w, b, activation=name), after(F.conv2d(x, w, b)))


# Derivatives

DIFFERENTIABLE: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "conv1d": (lambda x, w, b: ft.conv1d(x, w, b, 2, "same"), [distinct(2, 2, 5), distinct(2, 2, 3), distinct(2)]),
    "conv2d": (
        lambda x, w, b: ft.conv2d(x, w, b, (1, 2), 1, (2, 1), 2, padding_mode="reflect", activation="tanh"),
        [distinct(1, 4, 4, 5), distinct(2, 2, 2, 3), distinct(2)],
    ),
    "conv3d": (
        lambda x, w: ft.conv3d(x, w, padding=1, padding_mode="circular"),
        [distinct(2, 2, 2, 3), distinct(1, 2, 2, 1, 3)],
    ),
    "conv_transpose2d": (
        lambda x, w, b: ft.conv_transpose2d(x, w, b, 2, 1, 1, activation="sigmoid"),
        [distinct(1, 2, 2, 3), distinct(2, 2, 3, 3), distinct(2)],
    ),
    "max_pool2d": (lambda x: ft.max_pool2d(x, 3, 2, 1), [distinct(1, 2, 4, 5)]),
    "max_pool2d indices": (lambda x: ft.max_pool2d(x, 2, return_indices=True)[0], [distinct(1, 2, 4, 5)]),
    "adaptive_max_pool1d": (lambda x: ft.adaptive_max_pool1d(x, 2), [distinct(2, 7)]),
    "channel_max_pool": (lambda x: ft.channel_max_pool(x, 2), [distinct(2, 4, 3)]),
    "fractional_max_pool2d": (
        lambda x: ft.fractional_max_pool2d(x, 2, 2, _random_samples=torch.full((1, 2, 2), 0.3, dtype=x.dtype)),
        [distinct(1, 2, 5, 4)],
    ),
    "max_unpool2d": (
        lambda x: ft.max_unpool2d(x, torch.tensor([[[[0, 3], [9, 14]]]]), 2),
        [distinct(1, 1, 2, 2)],
    ),
    "avg_pool2d": (lambda x: ft.avg_pool2d(x, 3, 2, 1, ceil_mode=True), [distinct(1, 2, 4, 5)]),
    "adaptive_avg_pool3d": (lambda x: ft.adaptive_avg_pool3d(x, 2), [distinct(1, 3, 2, 4)]),
    "pad": (lambda x: ft.pad(x, (2, 1, 1, 0), "symmetric"), [distinct(2, 3, 3)]),
    "pad with a value": (lambda x: ft.pad(x, (2, 1), value=3.0), [distinct(2, 3)]),
    "unfold": (lambda x: ft.unfold(x, 2, padding=1), [distinct(1, 2, 3, 3)]),
    "fold": (lambda x: ft.fold(x, (3, 3), 2), [distinct(1, 8, 4)]),
}


@pytest.mark.parametrize("function, inputs", DIFFERENTIABLE.values(), ids=DIFFERENTIABLE)
def test_first_and_second_derivatives(function: Callable[..., Any], inputs: list[Any]) -> None:
    leaves = [t.clone().requires_grad_() for t in inputs]
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


def test_lp_pool_has_one_derivative() -> None:
    x = distinct(1, 2, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ft.lp_pool1d(x, 3, 2, mean=True), [x])
    (grad,) = torch.autograd.grad(ft.lp_pool1d(x, 3, 2).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="lp_pool has no second derivative"):
        grad.sum().backward()


def test_gradients_that_are_not_wanted_cost_nothing() -> None:
    """No input is kept for a weight that is frozen."""
    x, w = integers(1, 2, 5, 5).requires_grad_(), integers(2, 2, 3, 3)
    kept = ft.conv2d(x, w).grad_fn.saved_tensors
    assert kept[0] is None and kept[1] is not None
    kept = ft.conv2d(x.detach(), w.requires_grad_()).grad_fn.saved_tensors
    assert kept[0] is not None and kept[1] is None


def test_an_expanded_gradient() -> None:
    """What sum() sends back: one element with strides of 0."""
    x, w = integers(2, 3, 6, 7).requires_grad_(), integers(4, 3, 3, 3).requires_grad_()
    ft.conv2d(x, w).sum().backward()
    ours = x.grad.clone(), w.grad.clone()
    x.grad = w.grad = None
    F.conv2d(x, w).sum().backward()
    assert_same(ours, (x.grad, w.grad))


def test_a_changed_input_is_noticed() -> None:
    x, w = integers(1, 2, 5, 5), integers(2, 2, 3, 3).requires_grad_()
    y = ft.conv2d(x, w)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


# Operators

STEPS = ((2, 1), (1, 1, 0, 2), (1, 1), 1, "reflect,zeros", False, "auto")


def operator_calls() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    x, w, b = (distinct(*shape).requires_grad_() for shape in ((2, 2, 6, 7), (4, 2, 3, 3), (4,)))
    y = convolution.conv(x, w, b, *STEPS, None).detach().requires_grad_()
    windows = ((2, 2), (2, 2), (0, 0, 0, 0))
    samples = torch.full((2, 2, 2), 0.4, dtype=torch.float64)
    _, indices = F.max_pool2d(x, 2, return_indices=True)
    return {
        "conv": (convolution.conv, (x, w, b, *STEPS, "tanh")),
        "conv_grad_input": (convolution.conv_grad_input, (y, w, (6, 7), *STEPS)),
        "conv_grad_weight": (convolution.conv_grad_weight, (y, x, (3, 3), *STEPS)),
        "conv_transpose": (convolution.conv_transpose, (y, w, None, (0, 0), *STEPS, None)),
        "max_pool": (resampling.max_pool, (x, *windows, (1, 1), True)),
        "max_pool_with_indices": (resampling.max_pool_with_indices, (x, *windows, (1, 1), False)),
        "adaptive_max_pool": (resampling.adaptive_max_pool, (x, (2, 3))),
        "channel_max_pool": (resampling.channel_max_pool, (x, 2, 2)),
        "fractional_max_pool": (resampling.fractional_max_pool, (x, samples, (2, 2), (3, 3))),
        "max_unpool": (
            resampling.max_unpool,
            (distinct(2, 2, 3, 3).requires_grad_(), indices, (2, 2), (2, 2), (0, 0), (6, 7)),
        ),
        "avg_pool": (resampling.avg_pool, (x, *windows, True, True, None)),
        "adaptive_avg_pool": (resampling.adaptive_avg_pool, (x, (2, 3))),
        "lp_pool": (resampling.lp_pool, (x, 2.0, *windows, False, False)),
        "pad": (resampling.pad, (x, (1, 2, 0, 1), "reflect", 0.0)),
        "unfold": (resampling.unfold, (x, (2, 2), (1, 1), (0, 1, 0, 1), (1, 1), "circular")),
        "fold": (
            resampling.fold,
            (distinct(2, 8, 30).requires_grad_(), (6, 7), (2, 2), (1, 1), (0, 0, 0, 0), (1, 1), "zeros"),
        ),
    }


@pytest.mark.parametrize("name", operator_calls())
def test_operators_are_registered_as_they_should(name: str) -> None:
    operator, arguments = operator_calls()[name]
    torch.library.opcheck(getattr(torch.ops.fastconv, operator.name).default, arguments)


def network(x: Any, w: Any, b: Any) -> Any:
    y = ft.conv2d(x, w, b, padding="same", padding_mode="reflect", activation="relu")
    y = ft.max_pool2d(y, 3, stride=2, padding=1)
    y = ft.conv_transpose2d(y, w, stride=2, padding=1)
    return ft.adaptive_avg_pool2d(ft.pad(y, (1, 1), "circular"), 3).square().sum()


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_compiled(dynamic: bool) -> None:
    torch.compiler.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    w, b = distinct(4, 4, 3, 3), distinct(4)
    for size in (6, 9, 8) if dynamic else (6,):
        leaves = [t.clone().requires_grad_() for t in (distinct(2, 4, size, size + 1), w, b)]
        expected = network(*leaves)
        wanted = torch.autograd.grad(expected, leaves)
        got = compiled(*leaves)
        torch.testing.assert_close(got, expected)
        for one, other in zip(torch.autograd.grad(got, leaves), wanted, strict=True):
            torch.testing.assert_close(one, other)
    with torch.no_grad():
        torch.testing.assert_close(compiled(*leaves), expected)


def test_exported() -> None:
    class Net(torch.nn.Module):
        def forward(self, x: Any, w: Any) -> Any:
            return ft.max_pool2d(ft.conv2d(x, w, padding=1), 2)

    x, w = integers(2, 3, 8, 8), integers(4, 3, 3, 3)
    program = torch.export.export(Net(), (x, w))
    names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert names == ["fastconv.conv.default", "fastconv.max_pool.default"]
    assert_same(program.module()(x, w), Net()(x, w))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_traced() -> None:
    x, w = integers(1, 3, 8, 8), integers(4, 3, 3, 3)
    function = lambda x: ft.max_pool2d(ft.conv2d(x, w, padding=1), 2)  # noqa: E731
    traced = torch.jit.trace(function, x)
    assert_same(traced(x + 1), function(x + 1))


def test_shapes_without_data() -> None:
    x, w = torch.empty(2, 3, 8, 8, device="meta"), torch.empty(4, 3, 3, 3, device="meta")
    assert ft.conv2d(x, w, stride=2, padding=1).shape == (2, 4, 4, 4)


def test_function_transforms() -> None:
    x, w = distinct(2, 3, 6, 7), distinct(4, 3, 3, 3)
    loss = lambda w, m: m.conv2d(x, w).square().sum()  # noqa: E731
    torch.testing.assert_close(torch.func.grad(loss)(w, ft), torch.func.grad(loss)(w, F))
    torch.testing.assert_close(torch.func.jacrev(loss)(w, ft), torch.func.jacrev(loss)(w, F))


def test_vmap() -> None:
    """Each entry of the mapped axis by itself; of the gradient of each sample, too."""
    x, w, b = distinct(3, 2, 5, 6), distinct(4, 2, 3, 3), distinct(4)
    for dims in ((0, None, None), (0, None, 0), (3, None, None), (None, 3, None)):
        mapped = [torch.func.vmap(lambda x, w, b, m=m: m.conv2d(x, w, b, padding=1), dims) for m in (ft, F)]
        shaped = (x.movedim(0, 3) if dims[0] == 3 else x, w.unsqueeze(3) if dims[1] == 3 else w)
        biases = torch.stack([b, b + 1, b - 1]) if dims[2] == 0 else b
        torch.testing.assert_close(mapped[0](*shaped, biases), mapped[1](*shaped, biases))
    loss = lambda w, x, m: m.max_pool2d(m.conv2d(x, w, padding=1), 2).square().sum()  # noqa: E731
    ours, theirs = (torch.func.vmap(torch.func.grad(loss), (None, 0, None))(w, x, m) for m in (ft, F))
    torch.testing.assert_close(ours, theirs)
    pooled = [torch.func.vmap(lambda x, m=m: m.max_pool2d(x, 2, return_indices=True))(x) for m in (ft, F)]
    torch.testing.assert_close(*pooled)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # PyTorch's own, at its first dual tensor
def test_forward_mode_says_no() -> None:
    """Better than a tangent lost on the way."""
    import torch.autograd.forward_ad as fwd

    x, w = distinct(2, 3, 6, 7), distinct(4, 3, 3, 3)
    with fwd.dual_level(), pytest.raises((NotImplementedError, RuntimeError), match="forward"):
        ft.conv2d(fwd.make_dual(x, x), w)


# Tensors in memory, errors, threads


def test_any_strides() -> None:
    x, w = integers(2, 4, 6, 7), integers(8, 4, 3, 3)
    expected = F.conv2d(x, w, padding=1)
    for layout in (torch.channels_last, torch.contiguous_format):
        y = ft.conv2d(x.to(memory_format=layout), w.to(memory_format=layout), padding=1)
        assert y.is_contiguous()
        assert_same(y, expected)
    wide = torch.zeros(2, 4, 12, 14)
    wide[:, :, ::2, ::2] = x
    assert_same(ft.conv2d(wide[:, :, ::2, ::2], w, padding=1), expected)


def test_parameters_and_inference_mode() -> None:
    x, w = integers(2, 4, 6, 7), torch.nn.Parameter(integers(8, 4, 3, 3))
    assert ft.conv2d(x, w).requires_grad
    with torch.no_grad():
        assert not ft.conv2d(x, w).requires_grad
    with torch.inference_mode():
        assert_same(ft.conv2d(x + 0, w), F.conv2d(x, w))


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda x, w: (x.half(), w.half()), TypeError, "input has dtype float16"),
        (lambda x, w: (x.bfloat16(), w), TypeError, "input must be a dense CPU tensor .* torch.bfloat16 on cpu"),
        (lambda x, w: (x, w.double()), TypeError, "must have one dtype"),
        (lambda x, w: (x.to_sparse(), w), TypeError, "input must be a dense CPU tensor"),
        (lambda x, w: (x.numpy(), w), TypeError, "conv needs tensors, got <class 'numpy.ndarray'>"),
        (lambda x, w: (x[:, :2], w), ValueError, "input must have 3 channels"),
    ],
    ids=["half", "bfloat16", "mixed", "sparse", "array", "channels"],
)
def test_errors(change: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ft.conv2d(*change(integers(2, 3, 6, 7), integers(4, 3, 3, 3)))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x, w: ft.conv2d(x, w, stride=2.0), "stride must be an int or 2 of them, got 2.0"),
        (lambda x, w: ft.conv2d(x, w, dilation="2"), "dilation must be an int or 2 of them, got '2'"),
        (lambda x, w: ft.conv2d(x, w, padding=None), "padding must be an int, .* got None"),
        (lambda x, w: ft.pad(x, 1), "pad must be a flat sequence .* got 1"),
    ],
)
def test_options_of_another_type(call: Callable[..., Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(integers(2, 3, 6, 7), integers(4, 3, 3, 3))


def test_numbers_of_numpy() -> None:
    """As PyTorch's functions and modules take them; those of a module keep them as they were given."""
    x, w, one, two = integers(2, 4, 8, 9), integers(4, 4, 3, 3), np.int64(1), np.int32(2)
    for name, args in (
        ("conv2d", (w, None, two, one, one)),
        ("conv_transpose2d", (w, None, two, one, one)),
        ("max_pool2d", (two, one)),
        ("avg_pool2d", (two, two, one)),
        ("unfold", (two, one, one, two)),
    ):
        assert_same(getattr(ft, name)(x, *args), getattr(F, name)(x, *args))
    assert_same(ft.conv2d(x, w, padding=(one, two)), F.conv2d(x, w, padding=(one, two)))
    net = torch.nn.MaxPool2d(two, padding=one).to(x.dtype)
    expected = net(x)
    assert_same(ft.accelerate(net)(x), expected)


def test_other_devices() -> None:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():  # a processor we do not have
        x = torch.empty(1, 3, 5, 5, device="cuda")
    with pytest.raises(TypeError, match="conv computes on the CPU, got a tensor on cuda:0"):
        ft.conv2d(x, x)


@pytest.mark.parametrize(
    "options", [{"stride": (1, 2, 3)}, {"padding": "most"}, {"padding": (1, 2, 3)}, {"dilation": 0}]
)
def test_option_errors_name_the_option(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name):
        ft.conv2d(integers(2, 3, 6, 7), integers(4, 3, 3, 3), **options)


def test_as_many_threads_as_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastconv import _core
    from fastconv.torch.tensors import with_torch_threads

    seen = with_torch_threads(fc.get_num_threads)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert seen() == 3
        with fc.threads(2):
            assert seen() == 2
            assert fc.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert _core.set_thread_limit(0) == 0  # left as it was
