"""fastconv in a network that exists already."""

from __future__ import annotations

import copy

from torch import nn

from fastconv.torch import fusing, modules

_OURS: dict[type[nn.Module], type[nn.Module]] = {
    getattr(nn, name): ours
    for name, ours in vars(modules).items()
    if isinstance(ours, type) and issubclass(ours, nn.Module) and not name.startswith("_") and hasattr(nn, name)
}
_THEIRS = {ours: theirs for theirs, ours in (*_OURS.items(), *fusing.CLASSES.items())}
_CONVOLUTIONS = tuple(kind for pair in _OURS.items() if issubclass(pair[1], modules._Conv) for kind in pair)


def accelerate(model: nn.Module, inplace: bool = True, *, pack_weights: bool = False, fuse: bool = False) -> nn.Module:
    """Let fastconv compute the convolutions and pools of a network. Undone by :func:`restore`.

    The modules stay the objects they are and only change their class, ``torch.nn.Conv2d`` to ``fastconv.torch.Conv2d``
    and so on: parameters, buffers, hooks, names and whoever holds a reference see the same network. Modules of other
    classes, subclasses of PyTorch's included, are left alone.

    inplace: False leaves the network as it is and returns a second one, with the same parameters and buffers.
    pack_weights: in eval mode without gradients keep the weights of convolutions in the form the kernels read: quicker
        for small networks alone, and up to four times their memory more. See :class:`fastconv.torch.Conv2d`.
    fuse: in eval mode without gradients let a convolution do the work of the batch normalisation and the ReLU modules
        behind it, which then pass its result on. Those are meant that ``torch.fx`` finds behind one another, with
        nothing between or beside them. The convolution's own result is not there then: not for hooks, and not for who
        calls it by itself. Weights are folded again when a parameter or buffer changes.

    Returns the network. Raises ValueError with ``fuse`` for a network that ``torch.fx`` cannot trace.
    """
    if not inplace:
        shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        model = copy.deepcopy(model, shared)
    found = fusing.find(model, _CONVOLUTIONS) if fuse else []
    for module in model.modules():
        if type(module) in _OURS:
            module.__class__ = _OURS[type(module)]
        if isinstance(module, modules._Conv):
            module.pack_weights = pack_weights
            module.behind = None
    for convolution, behind, others in found:
        convolution.behind = behind
        for module in others:
            module.__class__ = fusing.CLASSES.get(type(module), type(module))
    return model


def restore(model: nn.Module) -> nn.Module:
    """Give every module of a network PyTorch's class back: the inverse of :func:`accelerate`. Returns the network."""
    for module in model.modules():
        if type(module) in _THEIRS:
            module.__class__ = _THEIRS[type(module)]
            for added in ("_packed", "pack_weights", "behind"):
                module.__dict__.pop(added, None)
    return model
