"""How one operator of fastconv becomes an operator of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from fastconv.torch.tensors import with_torch_threads

_PLAIN = (Tensor, torch.nn.Parameter)


def observed() -> bool:
    """Whether anybody but autograd looks at the calls: a compiler, a function transform, a dispatch mode, a trace."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state() is not None
    )


def is_plain(tensor: Tensor) -> bool:
    """A tensor whose memory we may read without asking PyTorch: on the CPU, and of no unknown subclass."""
    return type(tensor) in _PLAIN and tensor.is_cpu


def _function(name: str, **methods: Callable[..., Any]) -> Any:
    return type(name, (torch.autograd.Function,), {key: staticmethod(method) for key, method in methods.items()})


class Operator:
    """A custom operator ``fastconv::name``, and a short way past PyTorch's dispatcher for plain eager calls.

    The dispatcher takes ten to twenty microseconds for an operator written in Python, more than a small convolution.
    So where nobody but autograd looks on, a call goes to ``torch.autograd.Function``, or straight to the computation
    where no gradient is wanted. Compiled, exported and traced programs contain the registered operator.

    schema: ``"name(Tensor input, ...) -> Tensor"``, tensors first; the computation, the shapes, what is kept for the
        gradient and the gradient itself take these arguments in this order.
    compute: on real CPU tensors. fake: the result's shape and dtype alone, as an empty tensor.
    setup, backward: as of ``torch.autograd.Function``, ``setup(ctx, inputs, output)`` and ``backward(ctx, *grads)``.
    """

    def __init__(
        self,
        schema: str,
        compute: Callable[..., Any],
        fake: Callable[..., Any],
        setup: Callable[[Any, tuple[Any, ...], Any], None],
        backward: Callable[..., Any],
    ) -> None:
        self.name, _, arguments = schema.partition("(")
        self._tensors = arguments.partition(")")[0].count("Tensor")
        self._run = run = with_torch_threads(compute)
        self._registered: Any = torch.library.custom_op(
            f"fastconv::{self.name}", run, mutates_args=(), device_types="cpu", schema=f"({arguments}"
        )
        self._registered.register_fake(fake)
        self._registered.register_autograd(backward, setup_context=setup)

        def forward(ctx: Any, *inputs: Any) -> Any:
            output = run(*inputs)
            setup(ctx, inputs, output)
            return output

        self._function = _function(self.name, forward=forward, backward=backward)
        # What torch.func asks for; slower, as PyTorch binds the arguments by name at each call.
        self._transformed = _function(
            self.name, forward=run, setup_context=setup, backward=backward, vmap=self._one_by_one
        )

    def __call__(self, *inputs: Any) -> Any:
        if observed():
            transformed = torch._C._are_functorch_transforms_active() and not torch.compiler.is_compiling()
            return self._transformed.apply(*inputs) if transformed else self._registered(*inputs)
        differentiable = forward_ad._current_level >= 0  # the Function will say that there is no forward mode
        for tensor in inputs[: self._tensors]:
            if tensor is not None:
                if not is_plain(tensor):
                    return self._unusual(tensor, inputs)
                differentiable = differentiable or tensor.requires_grad
        if differentiable and torch.is_grad_enabled():
            return self._function.apply(*inputs)
        return self._run(*inputs)

    def _one_by_one(self, info: Any, dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        """torch.func.vmap: a call for every entry of the mapped axis, which ``dims`` tells of each input."""
        mapped = [
            (x.unbind(dim) if isinstance(dim, int) else [x] * info.batch_size)
            for x, dim in zip(inputs, dims, strict=True)
        ]
        results = [self(*entry) for entry in zip(*mapped, strict=True)]
        if isinstance(results[0], tuple):
            return tuple(map(torch.stack, zip(*results, strict=True))), (0,) * len(results[0])
        return torch.stack(results), 0

    def _unusual(self, tensor: Any, inputs: tuple[Any, ...]) -> Any:
        """Subclasses of tensors and tensors without data are the dispatcher's business, other devices an error."""
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{self.name} needs tensors, got {type(tensor)}")
        if tensor.device.type not in ("cpu", "meta"):
            raise TypeError(f"{self.name} computes on the CPU, got a tensor on {tensor.device}")
        return self._registered(*inputs)
