"""Another set of parameters and state in an optimizer for a while (``torch.optim``)."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.tensor import Tensor

if TYPE_CHECKING:
    from dovetail.optim.optimizer import Optimizer

__all__ = ["swap_in_optimizer_params_and_state"]


@contextlib.contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer,
    swapin_parameters: Mapping[str, Tensor],
    swapin_optim_state: dict[str, Any],
) -> Iterator[None]:
    """Let ``optimizer`` work on other tensors inside the block; afterwards it is as before.

    Args:
        optimizer: one whose state has been made.
        swapin_parameters: tensors by name, in the order of the optimizer's own parameters.
        swapin_optim_state: options and state of those, as ``optimizer.state_dict()`` gives them;
            what the steps write in place into its tensors stays there.

    Raises:
        RuntimeError: it has no state yet, or what is given does not fit its groups.

    Source: PyTorch's ``torch.optim.swap_in_optimizer_params_and_state``.
    """
    state, groups = _checked(optimizer, swapin_optim_state)
    tensors = list(swapin_parameters.values())
    if len(tensors) < sum(len(group["params"]) for group in groups):
        raise _wrong("the explicit parameter state to match optimizer.param_groups ordering.")
    own_state, own_groups = optimizer.state, [dict(g) for g in optimizer.param_groups]
    given: defaultdict[Any, Any] = defaultdict(dict)
    try:
        place = 0
        for group, new in zip(optimizer.param_groups, groups, strict=True):
            chosen = tensors[place : place + len(new["params"])]
            place += len(chosen)
            group.update(new)
            group["params"] = chosen
            for tensor, number in zip(chosen, new["params"], strict=True):
                given[tensor] = dict(state.get(number, {}))
        optimizer.state = given
        yield
    finally:
        for group, old in zip(optimizer.param_groups, own_groups, strict=True):
            group.clear()
            group.update(old)
        optimizer.state = own_state


def _wrong(text: str) -> RuntimeError:
    return RuntimeError(f"swap_in_optimizer_params_and_state requires {text}")


def _checked(optimizer: Optimizer, given: Any) -> tuple[dict[Any, Any], list[dict[str, Any]]]:
    if not optimizer.state:
        raise _wrong("initialized optimizer state.")
    if not isinstance(given, dict):
        raise _wrong("a DCP-style optimizer state_dict.")
    state, groups = given.get("state"), given.get("param_groups")
    if not isinstance(state, dict):
        raise _wrong(
            "swapin_optim_state['state'] to be a dict mapping packed parameter ids to per-param "
            f"state dicts, got {type(state).__name__}."
        )
    if any(isinstance(key, Tensor) for key in state):
        raise _wrong("optimizer.state_dict()-style state keyed by packed parameter ids.")
    if any(isinstance(k, int) and not isinstance(v, dict) for k, v in state.items()):
        raise _wrong("per-parameter optimizer state entries to be dictionaries.")
    if not isinstance(groups, list):
        raise _wrong(
            "swapin_optim_state['param_groups'] to be a list of param-group dicts, got "
            f"{type(groups).__name__}."
        )
    if len(groups) != len(optimizer.param_groups):
        raise RuntimeError(
            "swapin_optim_state has a different number of parameter groups than the live optimizer."
        )
    numbers: set[int] = set()
    for i, (group, new) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        numbers.update(_group_numbers(i, group, new))
    extra = [key for key in state if key not in numbers]
    if extra:
        raise _wrong(
            "swapin_optim_state['state'] to be keyed only by packed parameter ids from "
            f"param_groups[*]['params']; got extra keys {extra!r}."
        )
    return state, groups


def _group_numbers(i: int, group: dict[str, Any], new: Any) -> list[int]:
    if not isinstance(new, dict):
        raise _wrong("each optimizer param group to be a dictionary.")
    numbers = new.get("params")
    if not isinstance(numbers, list) or not all(isinstance(n, int) for n in numbers):
        raise _wrong(
            "optimizer.state_dict()-style param_groups[*]['params'] entries keyed by packed "
            "parameter ids."
        )
    if len(numbers) != len(group["params"]):
        raise RuntimeError(
            f"swapin_optim_state param group {i} has a different number of params than the live "
            "optimizer param group."
        )
    added, missing = [k for k in new if k not in group], [k for k in group if k not in new]
    if added or missing:
        raise _wrong(
            "optimizer.state_dict()-style param group keys to exactly match the live optimizer "
            f"group keys for group {i}. Keys only in swap-in: {added}. "
            f"Keys only in live: {missing}."
        )
    return numbers
