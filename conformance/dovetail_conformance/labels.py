"""Whether each dispatch was served as the device's table says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import dovetail as dt
from dovetail import observe
from dovetail.capability_rule import expected_label
from dovetail.ops.schema import OpDef
from dovetail_conformance.model import Mismatch, Trial

__all__ = ["watched"]


class _Labels(observe.Watcher):
    """Compares the label of every dispatch on one device with what the table says."""

    def __init__(self, device: str, trial: Trial) -> None:
        self.device = device
        self.trial = trial
        self.wrong: list[str] = []
        self.entered: list[tuple[Any, ...]] = []

    def enter(
        self, op: OpDef, plan: Callable[..., Any], inputs: tuple[Any, ...], attributes: Any
    ) -> None:
        self.entered.append((plan, inputs, attributes))

    def leave(self, op: OpDef, result: Any) -> None:
        plan, inputs, attributes = self.entered.pop()
        outs = [x for x in (result if isinstance(result, tuple) else (result,)) if x is not None]
        places = {str(x.device) for x in (*inputs, *outs) if isinstance(x, dt.Tensor)}
        if places != {self.device}:
            return
        label = getattr(plan, "served_by", "kernel")
        self.trial.saw_label(label)
        wanted = expected_label(op.name, self.device, inputs, attributes, outs)
        if label == "host" and not (op.is_optional and wanted == "host"):
            self.wrong.append(f"{op.name} ran on the host; the table must have a kernel of it")
        elif label != wanted:
            self.wrong.append(f"{op.name} was served as {label}; by the table it is {wanted}")


@contextlib.contextmanager
def watched(trial: Trial, what: str) -> Iterator[None]:
    """Watch the calls inside the block.

    Raises:
        Mismatch: a dispatch was served in another way than the table says.
    """
    labels = _Labels(trial.device, trial)
    observe.active.append(labels)
    try:
        yield
    finally:
        observe.active[:] = [w for w in observe.active if w is not labels]
    if labels.wrong:
        raise Mismatch(f"{what}: {labels.wrong[0]}", "label")
