"""Layers with PyTorch's names, each with ``forward`` and an explicit ``backward``; losses, initial weights, checks.

    model = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1176, 10))
    loss = nn.CrossEntropyLoss()
    value = loss(model(images), labels)
    model.backward(loss.backward(), need_input_grad=False)      # every parameter.grad is filled

``train``, ``optim`` and ``data`` do the rest.
"""

from fastconv.nn import init, models
from fastconv.nn.activation import (
    ELU,
    Dropout,
    Flatten,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    log_softmax,
    sigmoid,
    softmax,
)
from fastconv.nn.container import Concat, Residual, Sequential
from fastconv.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    LocallyConnected2d,
)
from fastconv.nn.gradcheck import gradcheck, numerical_gradient
from fastconv.nn.init import manual_seed
from fastconv.nn.linear import Linear, Maxout
from fastconv.nn.loss import (
    L1,
    L2,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    KLDivLoss,
    Loss,
    MSELoss,
    Penalty,
    cross_entropy,
    entropy,
    kl_divergence,
    one_hot,
)
from fastconv.nn.module import Module, Parameter
from fastconv.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from fastconv.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    ChannelMaxPool,
    FractionalMaxPool2d,
    FractionalMaxPool3d,
    GlobalAvgPool,
    GlobalMaxPool,
    LPPool1d,
    LPPool2d,
    LPPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from fastconv.nn.summary import Summary, summary

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "ChannelMaxPool",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "Dropout",
    "ELU",
    "Flatten",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "KLDivLoss",
    "L1",
    "L2",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "LeakyReLU",
    "Linear",
    "LocallyConnected2d",
    "LogSoftmax",
    "Loss",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Maxout",
    "Module",
    "Parameter",
    "Penalty",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Summary",
    "Tanh",
    "cross_entropy",
    "entropy",
    "gradcheck",
    "init",
    "kl_divergence",
    "log_softmax",
    "manual_seed",
    "models",
    "numerical_gradient",
    "one_hot",
    "sigmoid",
    "softmax",
    "summary",
]
