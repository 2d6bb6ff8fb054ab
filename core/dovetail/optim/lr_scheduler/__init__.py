"""Schedules of learning rates (PyTorch's ``torch.optim.lr_scheduler``)."""

from dovetail.optim.lr_scheduler.base import LRScheduler
from dovetail.optim.lr_scheduler.base import _LRScheduler as _LRScheduler
from dovetail.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from dovetail.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from dovetail.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from dovetail.optim.lr_scheduler.joined import ChainedScheduler, SequentialLR
from dovetail.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
