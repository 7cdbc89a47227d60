"""Every layer: its backward is the derivative of its forward, and its forward is what the formula says."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn

RNG = np.random.default_rng(7)


def spread(*shape: int) -> np.ndarray:
    """Distinct values away from 0, so that neither a kink nor a tie is near."""
    count = int(np.prod(shape))
    values = (np.arange(count) - count // 2 + 0.5) / max(count, 1) * 3
    return RNG.permutation(values).reshape(shape)


class FixedEval(nn.Module):
    """A scale, to sit in a branch."""

    def __init__(self) -> None:
        self.scale = nn.Parameter(np.float32([1.5]), "weight")

    def forward(self, x: np.ndarray) -> np.ndarray:
        self._save(x)
        return x * self.scale.data

    def backward(self, grad: np.ndarray, need_input_grad: bool = True) -> np.ndarray:
        self.scale.grad[...] = (grad * self._take_saved()).sum()
        return grad * self.scale.data


MODES = ["zeros", "reflect", "replicate", "circular"]
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{f"conv1d-{m}": (lambda m=m: nn.Conv1d(2, 3, 3, padding=2, padding_mode=m), (2, 2, 5)) for m in MODES},
    **{
        f"conv2d-{m}": (lambda m=m: nn.Conv2d(2, 2, (3, 2), stride=(2, 1), padding=1, padding_mode=m), (2, 2, 5, 4))
        for m in MODES
    },
    **{f"conv3d-{m}": (lambda m=m: nn.Conv3d(1, 2, 2, padding=1, padding_mode=m), (1, 1, 3, 2, 3)) for m in MODES},
    "conv2d-same-groups": (lambda: nn.Conv2d(4, 2, 3, padding="same", groups=2, dilation=2), (1, 4, 4, 4)),
    "conv2d-nobias": (lambda: nn.Conv2d(1, 2, 3, bias=False), (2, 1, 4, 4)),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, output_padding=1), (2, 2, 4)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1), (1, 2, 3, 3)),
    "conv_transpose3d": (lambda: nn.ConvTranspose3d(1, 1, 2, bias=False), (1, 1, 2, 2, 2)),
    "locally_connected": (lambda: nn.LocallyConnected2d(2, 3, (5, 4), (3, 2), stride=(2, 1)), (2, 2, 5, 4)),
    "locally_connected-nobias": (lambda: nn.LocallyConnected2d(1, 1, 3, 2, bias=False), (2, 1, 3, 3)),
    "linear": (lambda: nn.Linear(5, 3), (4, 5)),
    "linear-nobias": (lambda: nn.Linear(5, 3, bias=False), (4, 5)),
    "linear-3axes": (lambda: nn.Linear(3, 2), (2, 4, 3)),
    "maxout": (lambda: nn.Maxout(4, 3, pieces=3), (5, 4)),
    "batchnorm1d": (lambda: nn.BatchNorm1d(3), (5, 3)),
    "batchnorm1d-length": (lambda: nn.BatchNorm1d(2), (3, 2, 4)),
    "batchnorm2d": (lambda: nn.BatchNorm2d(2), (3, 2, 2, 3)),
    "batchnorm2d-plain": (lambda: nn.BatchNorm2d(2, affine=False), (3, 2, 2, 3)),
    "batchnorm3d": (lambda: nn.BatchNorm3d(1), (2, 1, 2, 2, 2)),
    "dropout": (lambda: nn.Dropout(0.4), (6, 7)),
    "dropout-none": (lambda: nn.Dropout(0.0), (2, 3)),
    "flatten": (lambda: nn.Flatten(), (2, 3, 2)),
    "relu": (lambda: nn.ReLU(), (4, 5)),
    "leaky_relu": (lambda: nn.LeakyReLU(0.1), (4, 5)),
    "elu": (lambda: nn.ELU(0.7), (4, 5)),
    "sigmoid": (lambda: nn.Sigmoid(), (4, 5)),
    "tanh": (lambda: nn.Tanh(), (4, 5)),
    "softmax": (lambda: nn.Softmax(temperature=0.6), (3, 4)),
    "softmax-last": (lambda: nn.Softmax(dim=-1), (2, 3, 4)),
    "log_softmax": (lambda: nn.LogSoftmax(), (3, 4)),
    "sequential": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), (3, 4)),
    "sequential-fused": (lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 1, 2)), (2, 1, 5, 5)),
    "sequential-norm": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.BatchNorm2d(2), nn.ReLU()),
        (3, 1, 3, 3),
    ),
    "max_pool1d": (lambda: nn.MaxPool1d(2), (2, 2, 7)),
    "max_pool2d": (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 2, 6, 5)),
    "max_pool2d-halving": (lambda: nn.MaxPool2d(2), (2, 2, 4, 6)),
    "max_pool2d-halving-odd": (lambda: nn.MaxPool2d(2, 2), (2, 1, 5, 7)),
    "max_pool3d": (lambda: nn.MaxPool3d(2, 1), (1, 2, 3, 3, 3)),
    "avg_pool1d": (lambda: nn.AvgPool1d(3, 1, 1), (2, 2, 5)),
    "avg_pool2d": (lambda: nn.AvgPool2d(2, padding=1, count_include_pad=False), (2, 2, 4, 5)),
    "avg_pool3d": (lambda: nn.AvgPool3d(2), (1, 1, 4, 2, 3)),
    "lp_pool1d": (lambda: nn.LPPool1d(2, 2), (2, 2, 6)),
    "lp_pool2d": (lambda: nn.LPPool2d(3, 2, 1, mean=True), (1, 2, 4, 4)),
    "lp_pool3d": (lambda: nn.LPPool3d(2, 2), (1, 1, 2, 4, 2)),
    "adaptive_avg_pool1d": (lambda: nn.AdaptiveAvgPool1d(3), (2, 2, 7)),
    "adaptive_avg_pool2d": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (2, 2, 5, 4)),
    "adaptive_avg_pool3d": (lambda: nn.AdaptiveAvgPool3d(2), (1, 1, 3, 4, 3)),
    "adaptive_max_pool1d": (lambda: nn.AdaptiveMaxPool1d(3), (2, 2, 7)),
    "adaptive_max_pool2d": (lambda: nn.AdaptiveMaxPool2d((2, 3)), (2, 2, 5, 4)),
    "adaptive_max_pool3d": (lambda: nn.AdaptiveMaxPool3d(2), (1, 1, 3, 4, 3)),
    "fractional_max_pool2d": (lambda: nn.FractionalMaxPool2d(2, output_ratio=0.6), (2, 2, 6, 5)),
    "fractional_max_pool3d": (lambda: nn.FractionalMaxPool3d(2, output_size=2), (1, 1, 4, 4, 4)),
    "global_avg_pool": (lambda: nn.GlobalAvgPool(), (2, 3, 3, 2)),
    "global_max_pool": (lambda: nn.GlobalMaxPool(), (2, 3, 3, 2)),
    "channel_max_pool": (lambda: nn.ChannelMaxPool(2), (2, 4, 3, 2)),
    "residual": (lambda: nn.Residual(nn.Conv2d(2, 2, 3, padding=1)), (1, 2, 3, 3)),
    "residual-shortcut": (lambda: nn.Residual(nn.Linear(3, 2), nn.Linear(3, 2, bias=False)), (4, 3)),
    "concat": (lambda: nn.Concat(nn.Conv2d(2, 1, 1), nn.Conv2d(2, 2, 3, padding=1), FixedEval()), (2, 2, 3, 3)),
}


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_unpooling(nd: int) -> None:
    x = spread(2, 2, *(5, 4, 6)[:nd])
    pooled, indices = getattr(fc, f"max_pool{nd}d")(x, 3, stride=2, padding=1, return_indices=True)
    layer = getattr(nn, f"MaxUnpool{nd}d")(3, stride=2, padding=1)
    restored = layer(pooled, indices, x.shape)
    kept = restored != 0
    np.testing.assert_array_equal(restored[kept], x[kept])
    assert sorted(set(restored[kept])) == sorted(set(pooled.ravel()))
    weights = RNG.standard_normal(x.shape)
    grad = layer.backward(weights)
    np.testing.assert_array_equal(
        grad, np.take_along_axis(weights.reshape(2, 2, -1), indices.reshape(2, 2, -1), 2).reshape(indices.shape)
    )
    assert repr(layer) == f"MaxUnpool{nd}d(3, stride=2, padding=1)"

    class Fixed(type(layer)):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return super().forward(x, indices)

    pooled, indices = getattr(fc, f"max_pool{nd}d")(x, 2, return_indices=True)
    assert nn.gradcheck(Fixed(2), spread(*pooled.shape))


@pytest.mark.parametrize("name", LAYERS)
def test_backward_is_the_derivative(name: str) -> None:
    make, shape = LAYERS[name]
    nn.manual_seed(3)
    assert nn.gradcheck(make(), spread(*shape))


def test_gradcheck_finds_a_wrong_gradient() -> None:
    class Wrong(nn.Tanh):
        def backward(self, grad: np.ndarray, need_input_grad: bool = True) -> np.ndarray:
            result = super().backward(grad)
            result[1, 0] *= 1.001
            return result

    with pytest.raises(AssertionError, match=r"gradient of input is wrong at 1 of 6 places, most at \(1, 0\)"):
        nn.gradcheck(Wrong(), spread(3, 2))


def test_gradcheck_finds_a_wrong_parameter_gradient() -> None:
    class Forgetful(nn.Linear):
        def backward(self, grad: np.ndarray, need_input_grad: bool = True) -> np.ndarray:
            result = super().backward(grad)
            self.bias.grad[...] = 0
            return result

    with pytest.raises(AssertionError, match="gradient of bias"):
        nn.gradcheck(Forgetful(3, 2), spread(2, 3))


@pytest.mark.parametrize("name", LAYERS)
def test_batch_of_none(name: str) -> None:
    make, shape = LAYERS[name]
    if "norm" in name:
        pytest.skip("batch normalisation has no statistics of nothing")
    layer = make()
    x = np.zeros((0, *shape[1:]), np.float32)
    y = layer.train().forward(x)
    assert y.shape[0] == 0 and y.dtype == np.float32
    assert layer.backward(np.zeros_like(y)).shape == x.shape
    assert all(not p.grad.any() for p in layer.parameters())


def test_float32_in_float32_out() -> None:
    for name, (make, shape) in LAYERS.items():
        x = spread(*shape).astype(np.float32)
        layer = make()
        y = layer.forward(x)
        assert y.dtype == np.float32, name
        assert layer.backward(np.ones_like(y)).dtype == np.float32, name


def test_eval_leaves_nothing_behind_and_backward_says_so() -> None:
    layer = nn.Linear(2, 2).eval()
    layer(np.ones((1, 2), np.float32))
    with pytest.raises(RuntimeError, match="Linear.backward: call forward in training mode"):
        layer.backward(np.ones((1, 2), np.float32))


def test_results_still_held_are_never_overwritten() -> None:
    layer = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).eval()
    a, b = (RNG.standard_normal((2, 1, 4, 4)).astype(np.float32) for _ in range(2))
    first = layer(a)
    kept = first.copy()
    second = layer(b)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, kept)
    view = second[0]
    kept = view.copy()
    del first, second
    layer(a)
    np.testing.assert_array_equal(view, kept)


@pytest.mark.parametrize("make", [lambda: nn.Conv2d(1, 4, 3), lambda: nn.MaxPool2d(2), lambda: nn.AvgPool2d(3)])
def test_a_view_of_a_large_result_keeps_it(make: Callable[[], nn.Module]) -> None:
    layer = nn.Sequential(make(), nn.Flatten()).eval()
    x = RNG.standard_normal((8, 1, 40, 40)).astype(np.float32)
    view = layer(x)
    kept = view.copy()
    layer(2 * x)
    np.testing.assert_array_equal(view, kept)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.Linear(3, 50), (7, 3)), (nn.Conv2d(1, 4, 3), (8, 1, 40, 40)), (nn.MaxPool2d(2), (8, 1, 80, 80))],
)
def test_buffers_are_reused_once_free(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    addresses = set()
    for _ in range(5):
        y = layer(x)
        addresses.add(y.ctypes.data)
        layer.backward(np.ones_like(y))
        del y
    assert len(addresses) == 1


def test_many_threads_can_share_a_model_in_inference() -> None:
    nn.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(100, 3)).eval()
    inputs = [RNG.standard_normal((3, 1, 12, 12)).astype(np.float32) for _ in range(40)]
    alone = [model(x).copy() for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for mine, theirs in zip(alone, pool.map(model, inputs), strict=True):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_fused_steps_give_what_the_layers_give(mode: str) -> None:
    nn.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2, 1),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.ChannelMaxPool(2), nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(),
        nn.Conv2d(3, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3),
        nn.Flatten(), nn.Linear(27, 5), nn.ReLU(), nn.Dropout(0.2), nn.Linear(5, 2),
    )  # fmt: skip
    model.to(np.float64)
    model.train()
    x = RNG.standard_normal((3, 2, 10, 10))
    model(x)
    model[1].running_mean[...] = RNG.standard_normal(4)
    getattr(model, mode)()
    state = {name: array.copy() for name, array in model.state_dict().items()}
    model.seed(np.random.default_rng(1))
    fused = model(x)
    if mode == "train":
        fused_grad = model.backward(np.ones_like(fused)).copy()
        grads = [p.grad.copy() for p in model.parameters()]
    model.load_state_dict(state)
    model.fused = False
    model.seed(np.random.default_rng(1))
    plain = model(x)
    np.testing.assert_allclose(fused, plain, rtol=1e-12, atol=1e-13)
    if mode == "train":
        np.testing.assert_allclose(fused_grad, model.backward(np.ones_like(plain)), rtol=1e-12, atol=1e-13)
        for mine, p in zip(grads, model.parameters(), strict=True):
            np.testing.assert_allclose(mine, p.grad, rtol=1e-12, atol=1e-13)


def test_no_input_gradient_when_nobody_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    asked = []
    for i in (1, 3):
        layer = model[i]
        backward = layer.backward
        monkeypatch.setattr(
            layer, "backward", lambda g, need=True, i=i, b=backward: asked.append((i, need)) or b(g, need)
        )
    y = model(np.ones((2, 2, 2), np.float32))
    assert model.backward(np.ones_like(y), need_input_grad=False) is None
    assert asked == [(3, True), (1, False)]
    y = model(np.ones((2, 2, 2), np.float32))
    assert model.backward(np.ones_like(y)).shape == (2, 2, 2)


def test_batchnorm_statistics_and_inference() -> None:
    layer = nn.BatchNorm2d(2, momentum=0.5)
    x = RNG.standard_normal((4, 2, 3, 3)).astype(np.float32) * 3 + 1
    y = layer(x)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1, atol=1e-4)
    np.testing.assert_allclose(layer.running_mean, 0.5 * x.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, 0.5 + 0.5 * x.var(axis=(0, 2, 3), ddof=1), rtol=1e-5)
    layer.eval()
    expected = (x - layer.running_mean.reshape(2, 1, 1)) / np.sqrt(layer.running_var.reshape(2, 1, 1) + 1e-5)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_dropout_keeps_the_mean_and_does_nothing_at_inference() -> None:
    layer = nn.Dropout(0.25, rng=np.random.default_rng(0))
    x = np.ones((200, 500), np.float32)
    y = layer(x)
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert abs(y.mean() - 1) < 5 * np.sqrt(1 / 3 / x.size)  # five standard errors
    assert layer.eval()(x) is x


@pytest.mark.parametrize(("name", "variance"), [("he_", 2 / 72), ("glorot_", 2 / (72 + 2304)), ("lecun_", 1 / 72)])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_initial_variance(name: str, variance: float, distribution: str) -> None:
    weight = np.empty((256, 8, 3, 3), np.float32)
    getattr(nn.init, name)(weight, np.random.default_rng(1), distribution=distribution)
    assert abs(weight.var() / variance - 1) < 0.05 and abs(weight.mean()) < 0.05 * np.sqrt(variance)


def test_same_seed_same_weights() -> None:
    nn.manual_seed(11)
    first = nn.Conv2d(2, 3, 3).weight.data.copy()
    nn.manual_seed(11)
    np.testing.assert_array_equal(first, nn.Conv2d(2, 3, 3).weight.data)


def test_state_round_trip_and_errors() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = {name: array + 1 for name, array in model.state_dict().items()}
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]
    model.load_state_dict(state)
    np.testing.assert_array_equal(model[1].running_mean, 1)
    with pytest.raises(ValueError, match=r"missing \['1.running_var'\], unexpected \['x'\]"):
        model.load_state_dict({("x" if k == "1.running_var" else k): v for k, v in state.items()})
    with pytest.raises(ValueError, match=r"state\['0.bias'\] has shape \(4,\), the model has \(3,\)"):
        model.load_state_dict({**state, "0.bias": np.zeros(4)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels 3 and out_channels 4"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size must be a positive int or 2"),
        (lambda: nn.Conv2d(3, 4, 3.5), "kernel_size must be a positive int or 2 of them, got 3.5"),
        (lambda: nn.Conv1d(3, 4, "3"), "kernel_size must be a positive int or 1 of them, got '3'"),
        (lambda: nn.Dropout(1.0), "p must be in"),
        (lambda: nn.Softmax(temperature=0), "temperature must be above 0"),
        (lambda: nn.LocallyConnected2d(1, 1, 2, 3), "kernel_size"),
        (lambda: nn.Maxout(1, 1, 0), "pieces"),
        (lambda: nn.Linear(0, 1), "in_features"),
        (lambda: nn.Concat(), "branches"),
        (lambda: nn.Linear(2, 2)(np.ones((1, 3), np.float32)), "input must have 2 features"),
        (lambda: nn.BatchNorm2d(2)(np.ones((1, 2, 1, 1), np.float32)), "at least two values"),
        (lambda: nn.BatchNorm2d(2)(np.ones((4, 2), np.float32)), "input must have 4 axes"),
        (lambda: nn.Residual(nn.Linear(2, 3))(np.ones((1, 2), np.float32)), "must be equal"),
        (lambda: nn.init.he_(np.empty(3)), "at least two axes"),
    ],
)
def test_wrong_arguments(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d("3", 4, 3), "in_channels must be an integer, got '3'"),
        (lambda: nn.ConvTranspose1d(3, None, 3), "out_channels must be an integer, got None"),
        (lambda: nn.Conv3d(3, 4, 3, groups=1.0), "groups must be an integer, got 1.0"),
        (lambda: nn.LocallyConnected2d(True, 1, 3, 3), "in_channels must be an integer, got True"),
        (lambda: nn.Linear(2, 3.0), "out_features must be an integer, got 3.0"),
        (lambda: nn.Maxout(2, 3, "2"), "pieces must be an integer, got '2'"),
        (lambda: nn.BatchNorm2d([3]), r"num_features must be an integer, got \[3\]"),
        (lambda: nn.BatchNorm2d(3, eps=None), "eps must be a number, got None"),
        (lambda: nn.Dropout("0.5"), "p must be a number, got '0.5'"),
        (lambda: nn.Dropout(rng=7), "rng must be a numpy.random.Generator or None, got 7"),
        (lambda: nn.FractionalMaxPool2d(2, 3, rng=7), "rng must be .* got 7"),
        (lambda: nn.Softmax(temperature="1"), "temperature must be a number, got '1'"),
        (lambda: nn.LeakyReLU(None), "negative_slope must be a number, got None"),
        (lambda: nn.ELU("1"), "alpha must be a number, got '1'"),
        (lambda: nn.L2("1"), "strength must be a number, got '1'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=None), "label_smoothing must be a number, got None"),
    ],
)
def test_arguments_of_other_types(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


ELEMENTWISE = [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.Softmax, nn.LogSoftmax]


@pytest.mark.parametrize("make", [*ELEMENTWISE, lambda: nn.Linear(3, 2)])
@pytest.mark.parametrize("x", [None, "abc", [["a"]], np.arange(6).reshape(2, 3), np.ma.ones((2, 3)), np.float16([[1]])])
def test_inputs_that_are_no_arrays_of_floats(make: Callable[[], nn.Module], x: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^(input|x) (is|has|must)"):
        make()(x)


@pytest.mark.parametrize("name", ["relu", "elu", "softmax", "dropout", "maxout", "batchnorm1d", "linear", "flatten"])
def test_gradients_that_do_not_fit(name: str) -> None:
    make, shape = LAYERS[name]
    for change in (
        lambda g: g[:1],
        lambda g: g[0],
        lambda g: np.ones((9, *g.shape[1:])),
        lambda g: g.T,
        lambda g: None,
    ):
        layer = make().to(np.float64)
        y = layer(spread(*shape))
        with pytest.raises((TypeError, ValueError), match="^grad must"):
            layer.backward(change(np.ones(y.shape)))


def test_gradients_of_other_kinds() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    y = model(np.ones((1, 1, 3, 3), np.float32))
    with pytest.raises(TypeError, match="grad must be an array of float32 or float64, got None"):
        model.backward(None)
    assert model.backward(memoryview(np.ones_like(y))).shape == (1, 1, 3, 3)


def test_locally_connected_refuses_another_dtype() -> None:
    with pytest.raises(TypeError, match="input is float64, the layer is float32"):
        nn.LocallyConnected2d(1, 1, 2, 1)(np.ones((1, 1, 2, 2)))


def test_inputs_of_other_libraries() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(1, 2, 4, 4)
    model = nn.Sequential(nn.ReLU(), nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2))
    np.testing.assert_array_equal(model(x), model(x.numpy()))


def test_numbers_of_numpy_do_not_decide_the_dtype() -> None:
    x = np.ones((2, 3, 4, 4), np.float32)
    assert nn.ELU(np.float64(0.5))(-x).dtype == np.float32
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2, eps=np.float64(1e-3))).eval()
    assert model(x).dtype == np.float32


@pytest.mark.parametrize("make", [nn.ReLU, nn.ELU])
def test_gradients_pass_through_nan(make: Callable[[], nn.Module]) -> None:
    layer = make()
    assert np.isnan(layer(np.array([np.nan, 2.0]))).tolist() == [True, False]
    assert layer.backward(np.array([3.0, 4.0])).tolist() == [3, 4]


def test_max_pool_takes_ceil_mode_by_name() -> None:
    """PyTorch's fifth argument is return_indices."""
    with pytest.raises(TypeError, match="positional"):
        nn.MaxPool2d(2, 2, 0, 1, True)


def test_sequential_takes_modules_only() -> None:
    with pytest.raises(TypeError, match=r"layers\[1\] must be a fastconv.nn.module.Module, got 3"):
        nn.Sequential(nn.ReLU(), 3)


def test_own_modules_may_keep_layers_in_lists() -> None:
    class Tower(nn.Module):
        def __init__(self) -> None:
            self.floors = [nn.Linear(2, 2), nn.Linear(2, 2)]

    assert [name for name, _ in Tower().named_parameters()] == [
        "floors.0.weight", "floors.0.bias", "floors.1.weight", "floors.1.bias"
    ]  # fmt: skip


def test_manual_seed_fixes_dropout_too() -> None:
    masks = []
    for _ in range(2):
        nn.manual_seed(4)
        masks.append(nn.Dropout(0.5)(np.ones((5, 40), np.float32)))
    np.testing.assert_array_equal(*masks)


def test_slices_share_layers_and_repr_names_them() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Dropout(0.1)))
    assert model[:1][0] is model[0] and len(model) == 2
    assert "(0): Linear(2, 3)" in repr(model) and "(1): Dropout(p=0.1)" in repr(model)


def test_conv_layer_computes_the_worked_example() -> None:
    image = np.float32([[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]])
    layer = nn.Conv2d(1, 1, 3)
    layer.weight.data[...] = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    layer.bias.data[...] = 0
    y = layer(image[None, None])
    np.testing.assert_array_equal(y[0, 0], [[4, 3, 4], [2, 4, 3], [2, 3, 4]])
    grad = layer.backward(np.ones_like(y))
    np.testing.assert_array_equal(layer.weight.grad[0, 0], [[6, 7, 6], [4, 7, 7], [4, 6, 6]])
    np.testing.assert_array_equal(
        grad[0, 0], [[1, 1, 2, 1, 1], [1, 2, 3, 2, 1], [2, 3, 5, 3, 2], [1, 2, 3, 2, 1], [1, 1, 2, 1, 1]]
    )
    assert layer.bias.grad == 9


def test_locally_connected_with_equal_kernels_is_a_convolution() -> None:
    conv, local = nn.Conv2d(2, 3, 3), nn.LocallyConnected2d(2, 3, 5, 3)
    local.weight.data[...] = conv.weight.data.reshape(3, -1).T
    local.bias.data[...] = conv.bias.data[:, None, None]
    x = RNG.standard_normal((2, 2, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(local(x), conv(x), rtol=1e-5, atol=1e-6)
    assert local.weight.data.size == conv.weight.data.size * 9


def test_summary_of_lenet5() -> None:
    found = nn.summary(nn.models.lenet5(), (1, 28, 28))
    assert found.parameters == 61_706
    assert found.macs == 6 * 25 * 784 + 16 * 150 * 100 + 400 * 120 + 120 * 84 + 84 * 10
    rows = [(type(r.layer).__name__, r.output_shape, r.parameters, r.field) for r in found.layers]
    assert rows[:6] == [
        ("Conv2d", (6, 28, 28), 156, (5, 5)),
        ("ReLU", (6, 28, 28), 0, (5, 5)),
        ("MaxPool2d", (6, 14, 14), 0, (6, 6)),
        ("Conv2d", (16, 10, 10), 2416, (14, 14)),
        ("ReLU", (16, 10, 10), 0, (14, 14)),
        ("MaxPool2d", (16, 5, 5), 0, (16, 16)),
    ]
    assert rows[7] == ("Linear", (120,), 48_120, None)
    assert found.layers[0].bytes == 4 * (6 * 784 + 156)
    assert str(found).splitlines()[-1].split() == ["total", "61,706", "416,520", f"{found.bytes:,}"]


@pytest.mark.parametrize(
    ("layer", "shape", "macs", "field"),
    [
        (lambda: nn.Conv1d(4, 6, 3, stride=2, dilation=2, groups=2), (4, 11), 6 * 2 * 3 * 4, (5,)),
        (lambda: nn.Conv3d(1, 2, (1, 2, 3), padding="same"), (1, 4, 4, 4), 2 * 64 * 6, (1, 2, 3)),
        (lambda: nn.ConvTranspose2d(3, 2, 2, stride=2), (3, 4, 4), 48 * 8, (1, 1)),
        (lambda: nn.ConvTranspose1d(3, 2, 5, stride=2, dilation=2), (3, 9), 27 * 10, (5,)),
        (lambda: nn.ConvTranspose2d(1, 1, 3), (1, 4, 4), 16 * 9, (3, 3)),
        (lambda: nn.LocallyConnected2d(1, 2, 5, 3), (1, 5, 5), 9 * 18, (3, 3)),
        (lambda: nn.GlobalAvgPool(), (2, 6, 5), 0, (6, 5)),
        (lambda: nn.Linear(7, 3), (7,), 21, None),
    ],
)
def test_summary_of_single_layers(
    layer: Callable[[], nn.Module], shape: tuple[int, ...], macs: int, field: tuple[int, ...] | None
) -> None:
    found = nn.summary(nn.Sequential(layer()), shape)
    assert found.macs == macs and found.layers[0].field == field


@pytest.mark.parametrize("name", sorted(nn.models.MODELS))
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_models_take_images_and_give_logits(name: str, shape: tuple[int, int, int]) -> None:
    model = nn.models.build(name, shape, 7, seed=1)
    assert model(np.ones((2, *shape), np.float32)).shape == (2, 7)
    with pytest.raises(ValueError, match="model must be one of lenet5"):
        nn.models.build("resnet", shape, 7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F", "gaps"])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 37, 130])
def test_dense_layer_of_any_order_of_memory(dtype: type, order: str, n: int) -> None:
    rng = np.random.default_rng(n)
    layer = nn.Linear(19, 7).to(dtype)
    layer.weight.data[...] = rng.integers(-4, 5, (7, 19))
    layer.bias.data[...] = rng.integers(-4, 5, 7)
    x, grad = rng.integers(-4, 5, (n, 19)).astype(dtype), rng.integers(-4, 5, (n, 7)).astype(dtype)
    given = np.repeat(x, 2, axis=1)[:, ::2] if order == "gaps" else np.asarray(x, order=order)
    y = x @ layer.weight.data.T + layer.bias.data
    for mode in (layer.eval, layer.train):
        mode()
        np.testing.assert_array_equal(layer.forward(given), y)
        np.testing.assert_array_equal(layer.forward(given, activation="relu"), np.maximum(y, 0))
    for seen in (grad, np.asfortranarray(grad)):
        layer.forward(given)
        np.testing.assert_array_equal(layer.backward(seen), grad @ layer.weight.data)
        np.testing.assert_array_equal(layer.weight.grad, grad.T @ x)
        np.testing.assert_array_equal(layer.bias.grad, grad.sum(axis=0))


def test_dense_layer_refuses_another_dtype() -> None:
    with pytest.raises(TypeError, match="input is float64, the layer is float32"):
        nn.Linear(3, 2)(np.ones((2, 3)))
