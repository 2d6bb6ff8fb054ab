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
                assert labels.count("adam_step") == 2  # and what adds one to each count
        results.append([p.detach().cpu().numpy() for p in params])
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    for other in results[1:]:
        for mine, theirs in zip(other, results[0], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance)
