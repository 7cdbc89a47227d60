"""fastconv: convolution on the CPU, forward and backward, for numpy arrays."""

from __future__ import annotations

from pathlib import Path as _Path


def _prefer_compiled_package() -> None:
    """Started in a checkout, Python finds this source folder before the installed package with its compiled core.

    The folder has no ``_core``; point the package's path at the installed one, so that all submodules come from there.
    """
    here = _Path(__file__).parent
    if any(here.glob("_core*.so")) or any(here.glob("_core*.pyd")):
        return
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution("fastconv").files or []
    except PackageNotFoundError:
        return
    for file in files:
        if file.name.startswith("_core"):
            __path__.insert(0, str(_Path(str(file.locate())).parent))
            return


_prefer_compiled_package()

from fastconv._core import version as __version__  # noqa: E402
from fastconv.embedding import get_cmake_dir, get_include, get_library_dir, get_pkgconfig_dir  # noqa: E402
from fastconv.functional import (  # noqa: E402
    ConvGrads,
    conv1d,
    conv1d_backward,
    conv1d_grad_bias,
    conv1d_grad_input,
    conv1d_grad_weight,
    conv2d,
    conv2d_backward,
    conv2d_grad_bias,
    conv2d_grad_input,
    conv2d_grad_weight,
    conv3d,
    conv3d_backward,
    conv3d_grad_bias,
    conv3d_grad_input,
    conv3d_grad_weight,
    conv_transpose1d,
    conv_transpose1d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    conv_transpose3d,
    conv_transpose3d_backward,
    explain,
)
from fastconv.packed import PackedConv1d, PackedConv2d, PackedConv3d  # noqa: E402
from fastconv.padding import pad, pad_backward  # noqa: E402
from fastconv.pooling import (  # noqa: E402
    adaptive_avg_pool1d,
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool3d,
    adaptive_avg_pool3d_backward,
    adaptive_max_pool1d,
    adaptive_max_pool1d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    adaptive_max_pool3d,
    adaptive_max_pool3d_backward,
    avg_pool1d,
    avg_pool1d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    avg_pool3d,
    avg_pool3d_backward,
    channel_max_pool,
    channel_max_pool_backward,
    fractional_max_pool2d,
    fractional_max_pool2d_backward,
    fractional_max_pool3d,
    fractional_max_pool3d_backward,
    global_avg_pool,
    global_avg_pool_backward,
    global_max_pool,
    global_max_pool_backward,
    lp_pool1d,
    lp_pool1d_backward,
    lp_pool2d,
    lp_pool2d_backward,
    lp_pool3d,
    lp_pool3d_backward,
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool3d,
    max_pool3d_backward,
    max_unpool1d,
    max_unpool1d_backward,
    max_unpool2d,
    max_unpool2d_backward,
    max_unpool3d,
    max_unpool3d_backward,
)
from fastconv.runtime import get_num_threads, set_num_threads, show_config, threads  # noqa: E402
from fastconv.unfolding import fold, unfold  # noqa: E402

__all__ = [
    "__version__",
    "ConvGrads",
    "PackedConv1d",
    "PackedConv2d",
    "PackedConv3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_backward",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "channel_max_pool",
    "channel_max_pool_backward",
    "conv1d",
    "conv1d_backward",
    "conv1d_grad_bias",
    "conv1d_grad_input",
    "conv1d_grad_weight",
    "conv2d",
    "conv2d_backward",
    "conv2d_grad_bias",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "conv3d",
    "conv3d_backward",
    "conv3d_grad_bias",
    "conv3d_grad_input",
    "conv3d_grad_weight",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
    "explain",
    "fold",
    "fractional_max_pool2d",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d",
    "fractional_max_pool3d_backward",
    "get_cmake_dir",
    "get_include",
    "get_library_dir",
    "get_num_threads",
    "get_pkgconfig_dir",
    "global_avg_pool",
    "global_avg_pool_backward",
    "global_max_pool",
    "global_max_pool_backward",
    "lp_pool1d",
    "lp_pool1d_backward",
    "lp_pool2d",
    "lp_pool2d_backward",
    "lp_pool3d",
    "lp_pool3d_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "max_unpool1d",
    "max_unpool1d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "max_unpool3d",
    "max_unpool3d_backward",
    "pad",
    "pad_backward",
    "set_num_threads",
    "show_config",
    "threads",
    "unfold",
]

_SUBPACKAGES = ("analysis", "data", "interop", "ndimage", "nn", "optim", "signal", "torch", "train", "viz")


def __getattr__(name: str) -> object:
    """Import ``fastconv.nn`` and its like when they are first used, so that importing the kernels stays quick."""
    if name in _SUBPACKAGES:
        from importlib import import_module

        return import_module(f"fastconv.{name}")
    raise AttributeError(f"module 'fastconv' has no attribute {name!r}")
