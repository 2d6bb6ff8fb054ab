"""Optimizers over parameter groups, schedules of their options and averages of their parameters.

Names and meanings are those of PyTorch's ``torch.optim``.
"""

from typing import Any

from dovetail.optim import lr_scheduler, swa_utils
from dovetail.optim.adadelta import Adadelta
from dovetail.optim.adafactor import Adafactor
from dovetail.optim.adagrad import Adagrad
from dovetail.optim.adam import Adam
from dovetail.optim.adamax import Adamax
from dovetail.optim.adamw import AdamW
from dovetail.optim.asgd import ASGD
from dovetail.optim.lbfgs import LBFGS
from dovetail.optim.muon import Muon
from dovetail.optim.nadam import NAdam
from dovetail.optim.optimizer import Optimizer
from dovetail.optim.radam import RAdam
from dovetail.optim.rmsprop import RMSprop
from dovetail.optim.rprop import Rprop
from dovetail.optim.sgd import SGD
from dovetail.optim.swap import swap_in_optimizer_params_and_state

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
    "swap_in_optimizer_params_and_state",
]


def __getattr__(name: str) -> Any:
    from dovetail.near_names import AbsentName

    raise AbsentName(__name__, name)
