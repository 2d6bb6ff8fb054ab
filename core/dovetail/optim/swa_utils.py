"""Averages of weights (PyTorch's ``torch.optim.swa_utils``).

Stochastic weight averaging is from Izmailov et al., UAI 2018; with ``get_ema_*`` the average is
exponential (Polyak and Juditsky).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn.module import Module
from dovetail.nn.running_norm import _BatchNorm
from dovetail.ops.layers.optimizer_steps import fused_step
from dovetail.optim.lr_scheduler.base import LRScheduler, per_group
from dovetail.tensor import Tensor

if TYPE_CHECKING:
    from dovetail.optim.optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

AverageOne = Callable[[Any, Any, Any], Any]
AverageMany = Callable[[Sequence[Any], Sequence[Any], Any], None]


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def _is_inexact(x: Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()


def _moved(averages: list[Tensor], values: list[Tensor], weight: float) -> bool:
    """Whether the device could move all averages towards the values, by a share, in one kernel."""
    with dovetail.no_grad():
        return fused_step("lerp_step", [averages, values], {"weight": weight})


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageMany:
    """A function of lists: average · decay + parameter · (1 - decay), written to the averages."""
    _check_decay(decay)

    @dovetail.no_grad()
    def ema_update(averages: Sequence[Any], params: Sequence[Any], _: Any) -> None:
        if _moved([*averages], [*params], 1 - decay):
            return
        for average, param in zip(averages, params, strict=True):
            if _is_inexact(averages[0]):
                average.lerp_(param, 1 - decay)
            else:
                average.copy_(average * decay + param * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> AverageMany:
    """A function of lists: the mean of all parameters so far, written to the averages."""

    @dovetail.no_grad()
    def swa_update(averages: Sequence[Any], params: Sequence[Any], num_averaged: Any) -> None:
        weight = float(1 / (num_averaged + 1))
        if _moved([*averages], [*params], weight):
            return
        for average, param in zip(averages, params, strict=True):
            if _is_inexact(averages[0]):
                average.lerp_(param, weight)
            else:
                average.add_((param - average) / (num_averaged + 1))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> AverageOne:
    """A function of one parameter: decay · average + (1 - decay) · parameter."""
    _check_decay(decay)

    @dovetail.no_grad()
    def ema_update(average: Any, param: Any, num_averaged: Any) -> Any:
        return decay * average + (1 - decay) * param

    return ema_update


def get_swa_avg_fn() -> AverageOne:
    """A function of one parameter: the mean of all its values so far."""

    @dovetail.no_grad()
    def swa_update(average: Any, param: Any, num_averaged: Any) -> Any:
        return average + (param - average) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a module whose parameters are averages of that module's over time.

    Args:
        model: the module that is trained.
        device: where the averages are kept; None: where the parameters are.
        avg_fn: ``avg_fn(average, parameter, number of averaged)``, the new average; None: the mean.
        multi_avg_fn: the same for lists of tensors of one device and dtype, in place.
        use_buffers: average the buffers too, instead of taking over the last ones.

    Raises:
        AssertionError: both functions were given.

    >>> import dovetail as dt
    >>> model = dt.nn.Linear(2, 1)
    >>> average = dt.optim.swa_utils.AveragedModel(model)
    >>> average.update_parameters(model)
    >>> average.n_averaged
    tensor(1)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: AverageOne | None = None,
        multi_avg_fn: AverageMany | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        count = dovetail.tensor(0, dtype=dovetail.int64, device=device)
        self.register_buffer("n_averaged", count)
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes with the averages."""
        return self.module(*args, **kwargs)

    def _averaged(self, module: Module) -> list[Any]:
        """The tensors of ``module`` that are averaged, cut off from any graph."""
        buffers = module.buffers() if self.use_buffers else ()
        return [x.detach() for x in itertools.chain(module.parameters(), buffers)]

    def update_parameters(self, model: Module) -> None:
        """Take the module's present parameters into the averages."""
        averages, values = self._averaged(self.module), self._averaged(model)
        pairs = [(a, v.to(a.device)) for a, v in zip(averages, values, strict=False)]
        count = int(self.n_averaged)
        if count == 0:
            for average, value in pairs:
                average.copy_(value)
        elif self.avg_fn is None:
            groups: dict[Any, list[tuple[Any, Any]]] = {}
            for average, value in pairs:
                groups.setdefault((average.device, average.dtype), []).append((average, value))
            for (device, _), group in groups.items():
                own, new = map(list, zip(*group, strict=True))
                if self.multi_avg_fn is not None:
                    self.multi_avg_fn(own, new, self.n_averaged.to(device))
                elif not _moved(own, new, 1 / (count + 1)):
                    self._each(group, get_swa_avg_fn())
        else:
            self._each(pairs, self.avg_fn)
        if not self.use_buffers:
            for buffer, last in zip(self.module.buffers(), model.buffers(), strict=True):
                buffer.detach().copy_(last.detach().to(buffer.device))
        self.n_averaged += 1

    def _each(self, pairs: Iterable[tuple[Any, Any]], average_of: AverageOne) -> None:
        for average, value in pairs:
            average.copy_(average_of(average, value, self.n_averaged.to(average.device)))


@dovetail.no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Measure the running statistics of a module's batch norms anew over some data.

    Args:
        loader: batches; of a list or tuple the first entry counts.
        model: the module, which may be an :class:`AveragedModel`.
        device: where batches are moved first.
    """
    momenta = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # the mean over all batches
    for batch in loader:
        data = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(data if device is None else data.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """The rates go from what they are to ``swa_lr`` and stay there.

    Args:
        optimizer: the optimizer.
        swa_lr: the rate in the end, or one per group.
        anneal_epochs: epochs on the way.
        anneal_strategy: ``cos`` or ``linear``.
        last_epoch: the last epoch done.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for lr, group in zip(
            per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True
        ):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _part(self, step: int) -> float:
        """How much of the way is done after ``step`` epochs."""
        part = max(0, min(1, step / max(1, self.anneal_epochs)))
        return part if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * part)) / 2

    def get_lr(self) -> list[Any]:
        """The rates of this epoch, from those of the last one."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        made = []
        for group in self.optimizer.param_groups:
            lr, goal = group["lr"], group["swa_lr"]
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            made.append(goal * now + start * (1 - now))
        return made
