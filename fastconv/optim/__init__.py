"""Optimisers, learning rate schedules and gradient clipping, with PyTorch's names and defaults."""

from fastconv.optim.flat import Flat
from fastconv.optim.optimizer import SGD, Adam, AdamW, Optimizer, clip_grad_norm_, clip_grad_value_
from fastconv.optim.schedule import CosineAnnealingLR, Schedule, StepLR

__all__ = [
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "Flat",
    "Optimizer",
    "SGD",
    "Schedule",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
]
