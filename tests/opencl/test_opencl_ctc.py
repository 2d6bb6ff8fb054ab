"""ctc_loss and its gradient, beside PyTorch, in both classes of device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

CASES = """
import numpy as np
import torch
import dovetail as dt

random = np.random.default_rng(0)

def losses(library, device, x, targets, lengths, kind, options):
    logits = library.tensor(x, device=device).to(getattr(library, kind)).requires_grad_()
    log_probs = logits.log_softmax(-1)
    log_probs.retain_grad()
    targets = library.tensor(targets, device=device)
    lengths = map(library.tensor, lengths)
    loss = library.nn.functional.ctc_loss(log_probs, targets, *lengths, **options)
    loss.sum().backward()
    return [x.detach().cpu().double().numpy() for x in (loss, log_probs.grad, logits.grad)]

def beside(steps, sequences, classes, most, kind="float32", bound=2e-4, blank=0, **options):
    x = random.standard_normal((steps, sequences, classes))
    if classes > 2:
        x[:, 0, 1] -= 200  # a class that is all but impossible
    targets = random.integers(0, classes - 1, (sequences, most))
    targets += targets >= blank
    if most > 2:
        targets[:, 1] = targets[:, 0]  # a blank must be between
    said = [max(0, most - n % 3) for n in range(sequences)]
    taken = [max(min(steps, 2 * said[n] + 1), steps - n) for n in range(sequences)]
    options["blank"] = blank
    found, wanted = [
        losses(library, device, x, targets, (taken, said), kind, options)
        for library, device in ((dt, "opencl:0"), (torch, "cpu"))
    ]
    for ours, theirs in zip(found, wanted, strict=True):
        finite = np.abs(theirs[np.isfinite(theirs)])
        atol = bound * max(1, finite.max(initial=0))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)
"""

CHECKS = {
    "sequences": """
beside(9, 5, 6, 4)
beside(12, 3, 4, 5, reduction="none", blank=2)
beside(30, 9, 30, 12, reduction="sum", blank=29)
beside(7, 2, 2, 3)
beside(120, 4, 9, 50)
beside(90, 70, 5, 20)
""",
    "doubles": """
beside(20, 5, 6, 7, kind="float64", bound=1e-11)
beside(5, 1, 3, 1, kind="float64", bound=1e-11)
""",
    "no way": """
for zero_infinity in (True, False):
    # Nine labels do not fit into five steps.
    beside(5, 4, 6, 9, reduction="none", zero_infinity=zero_infinity)
""",
    "padding": """
# What stands behind the labels is not looked at, whatever it is.
log_probs = torch.randn(8, 2, 5).log_softmax(-1)
targets = torch.tensor([[1, 2, 2], [3, 99, -7]])
lengths = (8, 7), (3, 1)
wanted = torch.nn.functional.ctc_loss(log_probs, targets.clamp(0, 4), *lengths, reduction="none")
given = [dt.tensor(x.numpy(), device="opencl:0") for x in (log_probs, targets)]
found = dt.nn.functional.ctc_loss(*given, *lengths, reduction="none")
np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), rtol=1e-5)
""",
    "wrong labels": """
log_probs = dt.randn(8, 2, 5, device="opencl:0").log_softmax(-1)
targets = dt.tensor([[1, 2], [3, 5]], device="opencl:0")
try:
    dt.nn.functional.ctc_loss(log_probs, targets, (8, 8), (2, 2)).item()
except IndexError as error:
    assert "index 5 is out of bounds for dimension 2 with size 5" in str(error), error
else:
    raise AssertionError("5 was taken for one of five classes")
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_pytorch_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


def test_launches(opencl: dt.device, queue: Any) -> None:
    log_probs = dt.randn(9, 3, 5, device=opencl).log_softmax(-1).requires_grad_()
    targets = dt.tensor(np.array([[1, 2], [3, 4], [1, 1]]), device=opencl)

    def losses() -> Any:
        return dt.nn.functional.ctc_loss(log_probs, targets, (9, 8, 7), (2, 2, 1), reduction="none")

    losses()
    before = queue.launches
    made = losses()
    assert queue.launches == before + 1
    weights = dt.ones_like(made)
    dt.autograd.grad(made, log_probs, weights, retain_graph=True)
    before = queue.launches
    dt.autograd.grad(made, log_probs, weights)
    assert queue.launches == before + 1
