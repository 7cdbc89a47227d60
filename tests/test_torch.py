"""PyTorch as a second opinion, where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import assert_exact
from cases import CONV, TRANSPOSE, Case, TransposedCase, sample, sample_transposed
from oracle import per_axis

torch = pytest.importorskip("torch")
F: Any = torch.nn.functional

CONVS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSES = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
TORCH_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


def within_torch(case: Case) -> bool:
    """One of its four modes for all axes, circular and reflect padding no larger than the image."""
    beyond = {"zeros": 1 << 30, "replicate": 1 << 30, "reflect": -1, "circular": 0}  # how much more than the image
    same = len({a.mode for a in case.axes}) == 1
    return same and all(a.mode in beyond and max(a.before, a.after) <= a.n + beyond[a.mode] for a in case.axes)


def padded(x: Any, case: Case) -> Any:
    amounts = [n for a in reversed(case.axes) for n in (a.before, a.after)]
    return F.pad(x, amounts, TORCH_MODES[case.axes[0].mode])


def tensors(*arrays: Any) -> list[Any]:
    return [torch.from_numpy(np.array(a, order="C")).requires_grad_() for a in arrays]


def torch_options(case: Case) -> dict[str, Any]:
    return {"stride": case.stride, "dilation": case.dilation, "groups": case.groups}


@pytest.mark.parametrize("case", [c for c in sample(51, 250) if within_torch(c)], ids=str)
def test_convolution_and_gradients(case: Case, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    tx, tw, tb = tensors(x, case._oriented(w), b)
    ty = CONVS[case.nd](padded(tx, case), tw, tb, **torch_options(case))
    ty.backward(torch.from_numpy(g))
    assert_exact(case.forward(x, w, b), ty.detach().numpy(), dtype)
    grads = case.backward(g, x, w)
    assert_exact(grads.input, tx.grad.numpy(), dtype)
    assert_exact(grads.weight, case._oriented(tw.grad.numpy()), dtype)
    assert_exact(grads.bias, tb.grad.numpy(), dtype)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_named_padding(k: int, padding: str, dtype: Any) -> None:
    case = Case((9, 11), (k, k + 1), padding=padding, dilation=2, ic=2, oc=3, batch=2)
    if not case.valid:
        pytest.skip("the kernel does not fit")
    x, w, b, _ = case.data(dtype)
    expected = F.conv2d(*map(torch.from_numpy, (x, w, b)), padding=padding, dilation=2)
    assert_exact(CONV[2](x, w, b, padding=padding, dilation=2), expected.numpy(), dtype)


def transposed_within_torch(case: TransposedCase) -> bool:
    """Zeros, as many before as after, and the output size of its formula, which padding="same" here need not have."""
    by_formula = (
        (m - 1) * a.stride - a.before - a.after + a.extent + extra == a.n
        for m, a, extra in zip(case.sizes, case.axes, per_axis(case.output_padding, case.nd), strict=True)
    )
    symmetric = all(a.mode == "zeros" and a.before == a.after for a in case.axes)
    return symmetric and all(by_formula) and not case.flip


@pytest.mark.parametrize("case", [c for c in sample_transposed(52, 400) if transposed_within_torch(c)], ids=str)
def test_transposed_convolution_and_gradients(case: TransposedCase, dtype: Any) -> None:
    x, w, b, g = case.data(dtype)
    tx, tw, tb = tensors(x, w, b)
    options = torch_options(case) | {"padding": [a.before for a in case.axes], "output_padding": case.output_padding}
    ty = TRANSPOSES[case.nd](tx, tw, tb, **options)
    assert_exact(TRANSPOSE[case.nd](x, w, b, **case.options), ty.detach().numpy(), dtype)
    ty.backward(torch.from_numpy(g))
    grads = case.backward(g, x, w)
    assert_exact(grads.input, tx.grad.numpy(), dtype)
    assert_exact(grads.weight, tw.grad.numpy(), dtype)
    assert_exact(grads.bias, tb.grad.numpy(), dtype)


@pytest.mark.parametrize(
    "layer",
    [
        (1, 3, 37, 41, 16, 7, 2, 3, 1),
        (2, 16, 19, 23, 24, 3, 1, 1, 1),
        (1, 32, 15, 17, 32, 3, 1, 1, 32),
        (2, 33, 9, 9, 65, 1, 1, 0, 1),
    ],
    ids=str,
)
def test_layers_on_random_data(layer: tuple[int, ...], rng: np.random.Generator) -> None:
    n, c, h, w_, o, k, stride, padding, groups = layer
    x = rng.standard_normal((n, c, h, w_)).astype(np.float32)
    w = rng.standard_normal((o, c // groups, k, k)).astype(np.float32)
    expected = F.conv2d(
        torch.from_numpy(x).double(), torch.from_numpy(w).double(), None, stride, padding, 1, groups
    ).numpy()
    got = CONV[2](x, w, stride=stride, padding=padding, groups=groups, algorithm="direct")
    theirs = F.conv2d(torch.from_numpy(x), torch.from_numpy(w), None, stride, padding, 1, groups).numpy()
    ours_off, theirs_off = np.abs(got - expected).max(), np.abs(theirs - expected).max()
    assert ours_off <= max(4 * theirs_off, 1e-5)
