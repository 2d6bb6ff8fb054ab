"""``LRScheduler``: what every schedule of learning rates shares.

A schedule tells the rate of each parameter group from the last one (``get_lr``), so that several
can be chained; those with a closed form also tell it from the epoch alone.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from dovetail.optim.optimizer import Optimizer
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = [
    "FactorLR", "LRScheduler", "check_optimizer", "per_group", "rates", "set_rate",
    "warn_of_epoch", "without",
]  # fmt: skip


def rates(optimizer: Optimizer, key: str = "lr") -> list[Any]:
    """One option of all groups; tensors are copied."""
    return [_copied(group[key]) for group in optimizer.param_groups]


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """An argument as a list with one entry per parameter group.

    Raises:
        ValueError: a list of another length.
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        value = [value] * groups
    elif len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has "
            f"{len(value)} values, param_groups has {groups}."
        )
    return [_copied(v) for v in value]


def set_rate(group: dict[str, Any], value: Any, key: str = "lr") -> None:
    """Set an option; one that is a tensor keeps being the same tensor."""
    if isinstance(group[key], Tensor):
        group[key].fill_(float(value))
    else:
        group[key] = value


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is no optimizer.

    Raises:
        TypeError: in PyTorch's words.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def warn_of_epoch() -> None:
    """Say that ``step(epoch)`` is on its way out."""
    warn(
        "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated "
        "where possible. Please use `scheduler.step()` to step the scheduler. During the "
        "deprecation, if epoch is different from None, the closed form is used instead of the "
        "new chainable form, where available.",
        UserWarning,
    )


def without(state: dict[str, Any], *names: str) -> dict[str, Any]:
    """A dict without the optimizer and the entries ``names``."""
    return {key: value for key, value in state.items() if key not in ("optimizer", *names)}


def _note_steps(optimizer: Any) -> None:
    """Have the optimizer's ``step`` leave a mark, by which the order of calls is checked."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    reference, function = weakref.ref(optimizer), optimizer.step.__func__

    @functools.wraps(function)
    def step(*args: Any, **kwargs: Any) -> Any:
        owner = reference()
        assert owner is not None
        owner._opt_called = True
        return function(owner, *args, **kwargs)

    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = step


class _Marked:
    """Sets an attribute of a scheduler for a block."""

    def __init__(self, scheduler: Any, name: str) -> None:
        self.scheduler, self.name = scheduler, name

    def __enter__(self) -> None:
        setattr(self.scheduler, self.name, True)

    def __exit__(self, *error: object) -> None:
        setattr(self.scheduler, self.name, False)


class LRScheduler:
    """Base class of schedules: sets ``lr`` of an optimizer's groups at every ``step``.

    Args:
        optimizer: its groups' ``lr`` are the rates to start from.
        last_epoch: -1 to start; else the number of the last epoch done, with ``initial_lr`` in
            each group (as a loaded state dict has it).

    Raises:
        TypeError: ``optimizer`` is none.
        KeyError: resuming without ``initial_lr``.

    A subclass defines ``get_lr``, and ``_get_closed_form_lr`` where there is one.
    """

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False
    _get_closed_form_lr: Callable[[], list[Any]]
    _last_lr: list[Any]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                    "scheduler with last_epoch >= 0.\nThis typically happens when:\n"
                    "1. You're trying to resume training from a checkpoint but haven't properly "
                    "loaded the optimizer state\n"
                    "2. You're using last_epoch >= 0 for a fresh training run (not recommended)"
                )
        self.base_lrs: list[Any] = rates(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _note_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        with _Marked(self, "_is_initial"):
            self.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, by attribute name."""
        return without(self.__dict__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates that the last step has set, one per group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The rates of this epoch, one per group; for ``step`` to call, users ask get_last_lr."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Go on by one epoch, or to ``epoch`` (deprecated) by the closed form."""
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warn_of_epoch()
        self._update_lr(epoch)

    def _check_order(self) -> None:
        """Warn where the optimizer has made no step yet."""
        if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
            warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
                "initialization. Please, make sure to call `optimizer.step()` before "
                "`lr_scheduler.step()`.",
                UserWarning,
            )
        elif not getattr(self.optimizer, "_opt_called", False):
            warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should "
                "call them in the opposite order: `optimizer.step()` before "
                "`lr_scheduler.step()`. Failure to do this will result in skipping the first "
                "value of the learning rate schedule.",
                UserWarning,
            )

    def _update_lr(self, epoch: int | None = None) -> None:
        with _Marked(self, "_get_lr_called_within_step"):
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed = epoch is not None and hasattr(self, "_get_closed_form_lr")
            self._set(self._get_closed_form_lr() if closed else self.get_lr())

    def _set(self, values: list[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_rate(group, lr)
        self._last_lr = rates(self.optimizer)

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warn(
                "To get the last learning rate computed by the scheduler, "
                "please use `get_last_lr()`.",
                UserWarning,
            )


class FactorLR(LRScheduler):
    """Base of schedules that multiply all rates by one factor."""

    def get_lr(self) -> list[Any]:
        """The rates of this epoch, from those of the last one."""
        self._warn_outside_step()
        factor = self._factor()
        if factor is None:
            return rates(self.optimizer)
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _factor(self) -> float | None:
        """This epoch's rate over the last one's; None: nothing changes."""
        raise NotImplementedError


class _LRScheduler(LRScheduler):
    """The name of the base class before PyTorch 2.0, for others' schedules."""
