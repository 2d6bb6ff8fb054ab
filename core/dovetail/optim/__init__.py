"""Optimizers: ``SGD``, ``Adam`` and ``AdamW`` over parameter groups (PyTorch's ``torch.optim``)."""

from dovetail.optim.adam import Adam
from dovetail.optim.adamw import AdamW
from dovetail.optim.optimizer import Optimizer
from dovetail.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
