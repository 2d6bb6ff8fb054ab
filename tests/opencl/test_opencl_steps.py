"""Adam whose numbers of steps are on the device, beside PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

TENSORS = 11  # more than one launch takes


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_steps_counted_on_the_device(queue: Any, kind: str, dtype: str, amsgrad: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    results = []
    runs: list[tuple[Any, str, dict[str, Any]]] = [
        (torch, "cpu", {}), (dt, "opencl:0", {"capturable": True}),
        (dt, "opencl:0", {"fused": True}),
    ]  # fmt: skip
    for library, device, options in runs:
        params = []
        for i in range(TENSORS):
            start = np.random.default_rng(i).standard_normal((3 + i, 4)).astype(dtype)
            params.append(library.from_numpy(start).to(device).requires_grad_(True))
        rule = getattr(library.optim, kind)(
            params, lr=1e-2, weight_decay=0.1, amsgrad=amsgrad, **options
        )
        for step in range(5):
            for i, p in enumerate(params):
                grad = np.random.default_rng(100 * step + i).standard_normal(tuple(p.shape))
                p.grad = library.from_numpy(grad.astype(dtype)).to(device)
            labels: list[str] = []
            if library is dt:
                queue.synchronize()
                queue.watch = lambda label, event, buffers, labels=labels: labels.append(label)
            try:
                rule.step()
                queue.synchronize()  # small launches wait for each other before they are queued
            finally:
                queue.watch = None
            if library is dt and step:
                assert labels.count("adam_step") == 2
                if "capturable" in options:  # what adds one to each count
                    assert labels.count("running_step") == 2
                assert "add" not in labels
        results.append([p.detach().cpu().numpy() for p in params])
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    for other in results[1:]:
        for mine, theirs in zip(other, results[0], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance)


def test_numbers_that_change_reach_the_kernel(opencl: dt.device) -> None:
    """A launch keeps its last call's: a learning rate, and the share of a batch of many."""
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    results = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        start = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")
        p = library.from_numpy(start).to(device).requires_grad_(True)
        rule = library.optim.SGD([p], lr=0.5, momentum=0.9)
        norm = library.nn.BatchNorm1d(4, momentum=None).to(device)
        for rate in (0.5, 0.5, 0.25, 0.25, 0.5):
            rule.param_groups[0]["lr"] = rate
            p.grad = p.detach() * 2 + 1
            rule.step()
            norm(p.detach())
        results.append([t.detach().cpu().numpy() for t in (p, norm.running_mean, norm.running_var)])
    for mine, theirs in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_tensors_that_lie_elsewhere_share_no_numbers(queue: Any) -> None:
    """The same shapes at other places of their memory."""
    whole = dt.arange(24.0, device="opencl:0")
    for begin in (0, 8, 4, 8):
        p = whole[begin : begin + 4].detach()
        expected = whole.cpu().numpy().copy()
        expected[begin : begin + 4] -= 0.5
        p.requires_grad_(True)
        p.grad = dt.ones(4, device="opencl:0")
        dt.optim.SGD([p], lr=0.5).step()
        np.testing.assert_array_equal(whole.cpu().numpy(), expected)
